"""Result files: what the schema lets through, how runs are picked, where the files are looked for."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xferkit as xk
from xferkit import results
from xferkit._schema import canonical, run_key, save, seal, sealed, validate

CODE, DATA = "c" * 64, "d" * 64


def record() -> dict[str, Any]:
    runs = []
    for seed in (1, 0):  # not in order
        for depth in (8, 20):
            for residual in (False, True):
                job = {"depth": depth, "residual": residual, "labels": None if depth == 8 else 5, "seed": seed}
                result = {"error": depth + 100 * residual + seed / 10, "curve": [seed, depth], "accuracy": {"a": 0.5}}
                runs.append({"key": run_key(job, CODE, DATA), "job": job, "result": result, "seconds": 1.5})
    environment = {
        "python": "3.11.7", "torch": "2.13.0", "xferkit": "0.1.0", "device": "cpu", "processor": "P", "threads": 1,
        "code_sha256": CODE,
    }  # fmt: skip
    return {
        "question": "Is it so?", "script": "experiments/toy.py", "settings": {"steps": 3}, "data_sha256": DATA,
        "environment": environment, "runs": runs, "selection": {"chosen": 8}, "test": {"a": {"x": [0.5, 1]}},
    }  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XFERKIT_RESULTS", str(tmp_path))
    save(record(), tmp_path / "toy.json")
    return tmp_path


def test_load_gives_what_was_saved(place: Path) -> None:
    found = xk.results.load("toy")
    assert found == results.load("toy.json")
    assert found.question == "Is it so?" and found.settings == {"steps": 3} and found.environment["threads"] == 1
    assert found.selection == {"chosen": 8} and found.test == {"a": {"x": [0.5, 1]}}
    assert list(json.loads((place / "toy.json").read_text())) == [*record(), "sha256"], "fields in the schema's order"


def test_runs_by_keyword(place: Path) -> None:
    found = results.load("toy")
    assert len(found.runs()) == 8 and [r["seed"] for r in found.runs(depth=8, residual=True)] == [1, 0]
    (one,) = found.runs(depth=20, residual=True, seed=0)
    assert one["error"] == 120.0 and one["seconds"] == 1.5 and len(one["key"]) == 24
    assert len(found.runs(labels=None)) == 4 == len(found.runs(labels=5))
    assert len(found.runs(depth=(8, 20), seed={1})) == 4 == len(found.runs(seed=range(1)))
    assert len(found.runs(curve=[0, 8])) == 2
    with pytest.raises(ValueError, match=r"no run has 'dept'.*depth"):
        found.runs(dept=8)
    with pytest.raises(ValueError, match=r"no run with depth=9.*20, 8"):
        found.runs(depth=9)
    with pytest.raises(ValueError, match=r"no run with residual=1"):
        found.runs(residual=1)  # True is no number of anything


def test_runs_are_copies(place: Path) -> None:
    found = results.load("toy")
    found.runs()[0]["curve"].append(1)
    found.runs()[0]["error"] = 0
    assert found.runs() == results.load("toy").runs()


def test_array_by_seed_and_point(place: Path) -> None:
    found = results.load("toy")
    by_seed = found.array("error", depth=8, residual=False)
    np.testing.assert_allclose(by_seed, [8.0, 8.1])
    np.testing.assert_allclose(found.array("error", over="depth", residual=True), [[108, 120], [108.1, 120.1]])
    backwards = found.array("error", over="depth", points=(20, 8), residual=True)
    np.testing.assert_allclose(backwards, [[120, 108], [120.1, 108.1]])
    np.testing.assert_allclose(found.array("curve", depth=20, residual=True), [[0, 20], [1, 20]])
    assert found.array("curve", over="depth", residual=True).shape == (2, 2, 2)
    np.testing.assert_allclose(found.array("accuracy.a", depth=8, residual=True), [0.5, 0.5])
    doubled = found.array(lambda run: 2 * run["error"], depth=8, residual=False)
    np.testing.assert_allclose(doubled, 2 * by_seed)
    for wrong, says in (
        ({"value": "error"}, "exactly one is needed"),
        ({"value": "error", "over": "depth", "points": (8, 9), "residual": True}, "0 runs with seed=0, depth=9"),
        ({"value": "eror", "depth": 8, "residual": True}, "no 'eror'"),
        ({"value": "accuracy.b", "depth": 8, "residual": True}, "no 'accuracy.b'"),
        ({"value": "error", "over": "width", "residual": True}, "'width'"),
    ):
        with pytest.raises(ValueError, match=says):
            found.array(**wrong)


def changed(path: str, value: Any) -> dict[str, Any]:
    """A record with one place changed, or with a field removed where the value is Ellipsis."""
    whole = copy.deepcopy(record())
    *way, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    inside: Any = whole
    for part in way:
        inside = inside[part]
    if value is ...:
        del inside[last]
    else:
        inside[last] = value
    return whole


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("question", ..., "its fields"),
        ("more", 1, "its fields"),
        ("question", "It is so", "question"),
        ("script", "/tmp/toy.py", "script"),
        ("settings", {}, "settings"),
        ("settings", [1], "settings"),
        ("data_sha256", "d" * 63, "data_sha256"),
        ("data_sha256", "g" * 64, "data_sha256"),
        ("environment/processor", ..., "environment"),
        ("environment/processor", "", "environment.processor"),
        ("environment/threads", None, "environment.threads"),
        ("environment/code_sha256", "e" * 64, r"runs\[0\].key"),
        ("runs", [], "runs"),
        ("runs", {}, "runs"),
        ("runs/2", 5, r"runs\[2\]"),
        ("runs/2/seconds", ..., r"runs\[2\]"),
        ("runs/2/seconds", -1, r"runs\[2\].seconds"),
        ("runs/2/seconds", "1", r"runs\[2\].seconds"),
        ("runs/2/job/depth", 9, r"runs\[2\].key"),
        ("runs/2/key", "0" * 24, r"runs\[2\].key"),
        ("runs/2/result/depth", 8, r"runs\[2\] is .*named once"),
        ("runs/2/result/key", "x", r"runs\[2\] is .*named once"),
        ("runs/2", record()["runs"][1], r"runs\[2\] is .*there once"),
        ("selection", 8, "selection"),
        ("test", {}, "test"),
        ("test/a", [0.5], "test.a"),
        ("test/a/x", [], "test.a.x"),
        ("test/a/x", [50.0], "test.a.x"),
        ("test/a/x", [True], "test.a.x"),
    ],
)
def test_wrong_schema_is_named(place: Path, path: str, value: Any, says: str) -> None:
    wrong = changed(path, value)
    before = (place / "toy.json").read_bytes()
    with pytest.raises(ValueError, match=rf"toy.json: {says}"):
        save(wrong, place / "toy.json")
    assert (place / "toy.json").read_bytes() == before and len(list(place.iterdir())) == 1
    (place / "toy.json").write_text(json.dumps(sealed(wrong)))
    with pytest.raises(ValueError, match=rf"toy.json: {says}"):
        results.load("toy")


def leaves(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each number in a record."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    own = [way] if isinstance(value, int | float) and not isinstance(value, bool) else []
    return own + [found for key, part in inside for found in leaves(part, (*way, key))]


def test_every_changed_number_is_noticed(place: Path) -> None:
    whole = json.loads((place / "toy.json").read_text())
    ways = leaves(whole)
    assert len(ways) > 60  # settings, runs, seconds, threads, selection, test
    for way in ways:
        wrong = copy.deepcopy(whole)
        inside = wrong
        for part in way[:-1]:
            inside = inside[part]
        inside[way[-1]] += 1e-9 if isinstance(inside[way[-1]], float) else 1
        with pytest.raises(ValueError):
            validate(wrong)


def test_a_file_without_checksum_can_be_sealed_once(place: Path) -> None:
    path = place / "toy.json"
    text = path.read_text()
    path.write_text(json.dumps(record()))
    with pytest.raises(ValueError, match=r"toy.json has no checksum.*seal"):
        results.load("toy")
    seal(path)
    assert path.read_text() == text
    path.write_text(text.replace("8.1", "8.2"))
    with pytest.raises(ValueError, match="has its checksum"):
        seal(path)
    with pytest.raises(ValueError, match="changed since it was written"):
        results.load("toy")


def test_what_may_be_missing() -> None:
    for path in ("selection", "test", "runs/0/seconds"):
        validate(sealed(changed(path, None)))
    with pytest.raises(ValueError, match="its fields"):
        validate([])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_what_is_no_json_is_refused(tmp_path: Path, value: Any) -> None:
    wrong = changed("runs/0/result/error", value)
    with pytest.raises(ValueError, match="plain JSON"):
        save(wrong, tmp_path / "toy.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", '{"a": NaN}', "\udcff", "[1, 2"])
def test_a_damaged_file_is_an_oserror_with_checksum_and_remedy(place: Path, text: str) -> None:
    (place / "toy.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(OSError, match=r"damaged .*SHA-256 [0-9a-f]{64}.*git checkout"):
        results.load("toy")


def test_a_missing_file_is_named_with_those_that_are_there(place: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"toi\.json is missing.*toy"):
        results.load("toi")


def test_tuples_are_saved_as_lists(tmp_path: Path) -> None:
    save(changed("settings/seeds", (0, 1)), tmp_path / "toy.json")
    assert json.loads((tmp_path / "toy.json").read_text())["settings"]["seeds"] == [0, 1]
    assert canonical({"b": (1,), "a": 2}) == canonical({"a": 2, "b": [1]})


def test_found_from_a_checkout_and_clear_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XFERKIT_RESULTS", raising=False)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "lab.py").touch()
    (tmp_path / "chapters" / "deep").mkdir(parents=True)
    save(record(), tmp_path / "results" / "toy.json")
    monkeypatch.chdir(tmp_path / "chapters" / "deep")
    assert results.load("toy").question == "Is it so?"
    monkeypatch.setattr(results, "__file__", "/usr/lib/site-packages/xferkit/results.py")
    (tmp_path / "experiments" / "lab.py").unlink()
    with pytest.raises(FileNotFoundError, match="XFERKIT_RESULTS"):
        results.load("toy")
