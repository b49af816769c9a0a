"""The harness: what a key covers, and that a run stopped, doubled, damaged or without room loses nothing."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lab as lab_module
import provenance
import pytest
import torch
from lab import Lab, options, taste

import xferkit as xk
from tests.places import EXPERIMENTS, ROOT
from xferkit import results
from xferkit._schema import validate


@dataclass(frozen=True)
class Job:
    size: int
    seed: int = 0


calls: list[Job] = []


def run(job: Job, lab: Lab) -> Any:
    calls.append(job)
    return {"total": job.size + job.seed}, {"w": torch.full((job.size,), float(job.seed))}


def data(value: int = 0) -> dict[str, xk.Domain]:
    x = torch.full((4, 3, 2, 2), value, dtype=torch.uint8)
    split = xk.Split(x, torch.tensor([0, 1, 0, 1]))
    return {"toy": xk.Domain("toy", split, split, split, ("a", "b"))}


@pytest.fixture(autouse=True)
def _nothing_called() -> None:
    calls.clear()


def make(home: Path, execute: Any = run, **kwargs: Any) -> Lab:
    return Lab("experiments/toy.py", execute, home=home, **{"data": data(), **kwargs})


JOBS = [Job(size, seed) for size in (1, 2) for seed in (0, 1)]
PUBLISHED: dict[str, Any] = {"question": "How large is it?", "settings": {"sizes": [1, 2]}}


# ------------------------------------------------------------------------------------------------------------ keys


def test_key_covers_settings_code_and_data(tmp_path: Path) -> None:
    def other(job: Job, lab: Lab) -> Any:
        return {"total": job.size - job.seed}

    job = JOBS[0]
    keys = [make(tmp_path).key(job), make(tmp_path).key(replace(job, seed=1)), make(tmp_path, other).key(job)]
    keys += [make(tmp_path, data=data(1)).key(job)]
    keys += [make(tmp_path, depends=(value,)).key(job) for value in (1, 2, 1.5, "1", [1], xk.few_labels, {"a": other})]
    keys += [make(tmp_path, depends=({"b": other},)).key(job), make(tmp_path, depends=({"a": run},)).key(job)]
    assert len(set(keys)) == len(keys)
    assert make(tmp_path).key(job) == keys[0]


def source(tmp_path: Path, name: str, body: str) -> Any:
    """A function in a file of its own, so that its source can be read."""
    file = tmp_path / f"{name}.py"
    file.write_text(textwrap.dedent(body))
    scope: dict[str, Any] = {}
    exec(compile(file.read_text(), str(file), "exec"), scope)
    return scope["f"]


def test_comments_and_docstrings_are_no_code(tmp_path: Path) -> None:
    bare = source(tmp_path, "a", "def f(x):\n    return x + 1\n")
    told = source(tmp_path, "b", 'def f(x):\n    """Adds."""\n    # one\n\n    return (x + 1)\n')
    other = source(tmp_path, "c", "def f(x):\n    return x + 2\n")
    assert provenance.code_version(bare) == provenance.code_version(told) != provenance.code_version(other)


def test_fingerprint_sees_pixels_labels_groups_names_shapes_and_weights() -> None:
    domain = data()["toy"]

    def having(**changes: Any) -> dict[str, Any]:
        return {"toy": replace(domain, train=replace(domain.train, **changes))}

    flipped = domain.train.x.clone()
    flipped[0, 0, 0, 0] = 1
    reshaped = replace(domain.train, x=domain.train.x.reshape(4, 3, 4, 1))
    named = replace(domain.train, classes=("a", "c"))
    layer = torch.nn.Linear(2, 2)
    others = [
        having(x=flipped),
        {"toy": replace(domain, **dict.fromkeys(("train", "val", "test"), reshaped))},
        having(y=torch.tensor([0, 1, 1, 1])),
        having(groups=torch.zeros(4, dtype=torch.int64)),
        {"toy": xk.Domain("toy", named, named, named)},
        {"toy": domain.train},
        {"toy": named},
        {"toy": domain, "net": layer},
        {"net": domain},
    ]
    marks = [provenance.fingerprint(data()), *map(provenance.fingerprint, others)]
    with torch.no_grad():
        layer.weight[0, 0] += 1
    marks.append(provenance.fingerprint({"toy": domain, "net": layer}))
    assert len(set(marks)) == len(marks)
    assert provenance.fingerprint(data()) == marks[0]


def test_environment_names_the_machine() -> None:
    found = provenance.environment()
    assert {"python", "torch", "torchvision", "xferkit", "device", "processor", "threads"} <= set(found)
    assert found["processor"] and found["threads"] == torch.get_num_threads()
    assert ("timm" in found) == ("timm" in sys.modules)
    if sys.platform == "linux" and "model name" in Path("/proc/cpuinfo").read_text():
        assert str(found["processor"]) in Path("/proc/cpuinfo").read_text()


# ---------------------------------------------------------------------------------------------------------- resume


def test_finished_jobs_are_not_repeated(tmp_path: Path) -> None:
    first = make(tmp_path)
    assert [r["total"] for r in first.run(JOBS)] == [1, 2, 2, 3]
    again = make(tmp_path)
    records = again.run([*JOBS, Job(3)])
    assert calls == [*JOBS, Job(3)] and [r["total"] for r in records] == [1, 2, 2, 3, 3]
    assert torch.equal(again.weights(JOBS[3])["w"], torch.ones(2))
    make(tmp_path, depends=(1,)).run(JOBS[:1])
    assert calls[-1] == JOBS[0] and len(calls) == 6


def test_the_same_job_twice_is_one_run(tmp_path: Path) -> None:
    lab = make(tmp_path)
    lab.run(JOBS[:2])
    assert len(lab.run([JOBS[0], JOBS[0]])) == 2
    lab.publish(**PUBLISHED)
    assert calls == JOBS[:2]
    assert len(json.loads(lab.out.read_text())["runs"]) == 2


@pytest.mark.parametrize("damage", ["truncate", "empty", "other record", "NaN", "no weights", "other weights"])
def test_a_damaged_outcome_is_noticed_and_done_again(tmp_path: Path, damage: str) -> None:
    lab = make(tmp_path)
    lab.run(JOBS[:2])
    file, weights = (lab.kept / f"{lab.key(JOBS[0])}.{kind}" for kind in ("json", "safetensors"))
    text = file.read_text()
    other = lab.kept / f"{lab.key(JOBS[1])}"
    if damage == "no weights":
        weights.unlink()
    elif damage == "other weights":
        weights.write_bytes(Path(f"{other}.safetensors").read_bytes())
    else:
        texts = {"truncate": text[:40], "empty": "", "other record": Path(f"{other}.json").read_text()}
        file.write_text(texts.get(damage, text.replace('"total": 1', '"total": NaN')))
    with pytest.warns(UserWarning, match="damaged .*done again"):
        assert make(tmp_path).run(JOBS[:2])[0]["total"] == 1
    assert calls == [*JOBS[:2], JOBS[0]]
    assert torch.equal(lab.weights(JOBS[0])["w"], torch.zeros(1)) and file.read_text() != ""


SCRIPT = """
import os, sys, time
from dataclasses import dataclass
from pathlib import Path
import torch
import xferkit as xk
from lab import Lab

HOME = Path(sys.argv[1])

@dataclass(frozen=True)
class Job:
    seed: int
    steps: int = 6

def run(job, lab):
    draft = lab.load_draft(job) or {"step": 0, "sum": 0, "seconds": 0.0}
    began, spent = time.perf_counter(), draft["seconds"]
    for step in range(draft["step"], job.steps):
        with open(HOME / "log", "a") as log:
            log.write(f"{job.seed} {step}\\n")
        if Path(HOME / "slow").exists():
            time.sleep(0.05)
        seconds = spent + time.perf_counter() - began
        draft = {"step": step + 1, "sum": draft["sum"] + job.seed * step, "seconds": seconds}
        lab.save_draft(job, draft)
    return {"sum": draft["sum"], "seconds": draft["seconds"]}, {"w": torch.full((3,), float(job.seed))}

def main():
    split = xk.Split(torch.zeros(2, 3, 2, 2, dtype=torch.uint8), torch.tensor([0, 1]))
    lab = Lab("experiments/killed.py", run, data={"toy": split}, home=HOME)
    lab.run(Job(seed) for seed in range(4))
    lab.publish(question="What is the sum?", settings={"steps": 6})

main()
"""


@pytest.fixture
def script(tmp_path: Path) -> Iterator[tuple[list[str], dict[str, str]]]:
    path = tmp_path / "killed.py"
    path.write_text(SCRIPT)
    yield [sys.executable, str(path)], os.environ | {"PYTHONPATH": f"{EXPERIMENTS}:{ROOT}", "OMP_NUM_THREADS": "1"}


def finished(home: Path) -> list[dict[str, Any]]:
    record = json.loads((home / "results" / "killed.json").read_text())
    validate(record)
    return record["runs"]


def test_killed_in_the_middle_nothing_is_lost_or_doubled(tmp_path: Path, script: Any) -> None:
    command, env = script
    home = tmp_path / "home"
    home.mkdir()
    (home / "slow").touch()
    process = subprocess.Popen([*command, str(home)], env=env, stderr=subprocess.DEVNULL)
    log = home / "log"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not log.exists() or len(log.read_text().splitlines()) < 9):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = log.read_text().splitlines()
    assert 9 <= len(before) < 24, "killed in the middle"
    assert not (home / "results" / "killed.json").exists()

    (home / "slow").unlink()
    subprocess.run([*command, str(home)], env=env, check=True, capture_output=True)
    runs = finished(home)
    assert [(r["job"]["seed"], r["result"]["sum"]) for r in runs] == [(seed, 15 * seed) for seed in range(4)]
    steps = log.read_text().splitlines()
    repeated = {line: steps.count(line) for line in steps if steps.count(line) > 1}
    assert set(steps) == {f"{seed} {step}" for seed in range(4) for step in range(6)}
    assert len(repeated) <= 1 and all(n == 2 for n in repeated.values()), "at most the step that was cut off, once more"
    assert runs[0]["seconds"] >= 0.3 and runs[1]["seconds"] >= 0.1, "the first session's seconds count too"
    assert [p.name for p in (home / "data" / "experiments" / "killed").iterdir() if p.suffix == ".draft"] == []


def test_two_processes_at_once(tmp_path: Path, script: Any) -> None:
    command, env = script
    (tmp_path / "slow").touch()
    both = [subprocess.Popen([*command, str(tmp_path)], env=env, stderr=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    runs = finished(tmp_path)
    assert [(r["job"]["seed"], r["result"]["sum"]) for r in runs] == [(seed, 15 * seed) for seed in range(4)]
    assert len(list((tmp_path / "data" / "experiments" / "killed").glob("*.json"))) == 4


def test_a_draft_belongs_to_its_job(tmp_path: Path) -> None:
    lab = make(tmp_path)
    lab.save_draft(JOBS[0], {"step": 3})
    assert make(tmp_path).load_draft(JOBS[0]) == {"step": 3}
    assert lab.load_draft(JOBS[1]) is None and make(tmp_path, data=data(1)).load_draft(JOBS[0]) is None
    assert make(tmp_path, depends=(1,)).load_draft(JOBS[0]) is None
    (lab.kept / f"{lab.key(JOBS[0])}.draft").write_bytes(b"cut off")
    with pytest.warns(UserWarning, match="damaged .*starts anew"):
        assert lab.load_draft(JOBS[0]) is None


# --------------------------------------------------------------------------------------------------------- writing


def test_publish_follows_the_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    lab = make(tmp_path)
    lab.run(JOBS)
    lab.note(JOBS[0], accuracy={"toy": 0.5})
    path = lab.publish(
        **PUBLISHED, selection={"chosen": (1, 2)}, test={"toy": {"one": [0.5]}}, environment={"libc": "g"}
    )
    assert "4 runs" in capsys.readouterr().out
    monkeypatch.setenv("XFERKIT_RESULTS", str(path.parent))
    found = results.load("toy")
    assert found.script == "experiments/toy.py" and found.selection == {"chosen": [1, 2]}
    assert found.environment["libc"] == "g"
    assert found.environment["code_sha256"] == lab.code and found.data_sha256 == lab.data_sha256
    assert found.array("total", over="size").tolist() == [[1, 2], [2, 3]]
    assert found.runs(size=1, seed=0)[0]["accuracy"] == {"toy": 0.5}
    assert "accuracy" not in (lab.kept / f"{lab.key(JOBS[0])}.json").read_text(), "test labels stay out of what is kept"


def test_sessions_on_other_machines_are_all_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path).run(JOBS[:1])
    monkeypatch.setattr(
        lab_module, "environment", lambda: provenance.environment() | {"processor": "Abacus", "gpu": "G"}
    )
    lab = make(tmp_path)
    lab.run(JOBS)
    found = json.loads(lab.publish(**PUBLISHED).read_text())["environment"]
    assert found["processor"] == f"{provenance.processor()} and Abacus" and found["gpu"] == "not recorded and G"
    assert found["threads"] == torch.get_num_threads()


@pytest.mark.parametrize("full", [True, False])
def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool) -> None:
    lab = make(tmp_path)
    lab.run(JOBS[:1])
    path = lab.publish(**PUBLISHED)
    old = path.read_bytes()

    def no_room(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device") if full else KeyboardInterrupt

    lab.run(JOBS[:2])
    monkeypatch.setattr(os, "fsync" if full else "replace", no_room)
    with pytest.raises(OSError if full else KeyboardInterrupt):
        lab.publish(**PUBLISHED)
    assert path.read_bytes() == old and [p.name for p in path.parent.iterdir()] == ["toy.json"]


def test_figures_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    def diverged(job: Job, lab: Lab) -> dict[str, float]:
        return {"loss": float("nan")}

    lab = make(tmp_path, diverged)
    with pytest.raises(ValueError, match="NaN"):
        lab.run(JOBS[:1])
    assert list(lab.kept.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named_before_anything_runs() -> None:
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        (home / "results").mkdir()
        os.chmod(home / "results", 0o555)
        os.chmod(home, 0o777)
        me = os.geteuid()
        if me == 0:  # whom permissions do not bind
            os.seteuid(65534)
        try:
            with pytest.raises(OSError, match=r"results must be writable"):
                make(home)
        finally:
            os.seteuid(me)
    assert calls == []


def test_smoke_writes_to_a_temporary_folder_alone(tmp_path: Path) -> None:
    lab = make(tmp_path, smoke=True)
    lab.run(JOBS)
    assert lab.publish(**PUBLISHED).is_file() and tmp_path not in lab.out.parents and list(tmp_path.iterdir()) == []


def test_taste_keeps_a_few_of_each_class() -> None:
    domain = data()["toy"]
    small = taste(domain, 1)
    assert [len(part) for part in (small.train, small.val, small.test)] == [2, 2, 2]
    assert small.classes == domain.classes and sorted(small.test.y.tolist()) == [0, 1]


def test_options() -> None:
    assert options("", ["--smoke"], check="…").smoke and not options("", [], check="…").check
