"""A mistake is paid for once, whatever the secret; what is public can be varied; a mended check is run again alone."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hostile.cases import ASSIGNMENT, CASES, FULL, MEANS, NEAREST, notebook, text
from isolation import isolated
from where import SECRET, SOURCES

from xfergrade import Check, Close, similarity
from xfergrade.answers import Job, Stage
from xfergrade.assignment import AssignmentError, load_assignment
from xfergrade.calling import Student
from xfergrade.draws import draw
from xfergrade.grade import grade_class
from xfergrade.notebook import Notebook, NotebookError, read_notebook
from xfergrade.records import read_journal
from xfergrade.release import release
from xfergrade.sandbox import Sandbox
from xfergrade.source import with_variants
from xfergrade.spec import Limits
from xfergrade.testing import grade_sources
from xfergrade.text import clean_text

CALL = {"target": "f", "seed": 1, "args": {"tuple": []}}


# ---------------------------------------------------------------------------------------------------- given functions


def test_drivers_stand_in_functions_and_put_the_students_back() -> None:
    namespace = {"f": lambda: "own", "g": lambda: namespace["f"]() + namespace["h"]()}
    student = Student(namespace)
    with student.stand_in(f=lambda: "right", h=lambda: "!"):
        assert student.g() == "right!"
    assert student.f() == "own" and "h" not in namespace
    with pytest.raises(ZeroDivisionError), student.stand_in(f=None):
        raise ZeroDivisionError
    assert student.f() == "own"


@isolated
def test_what_is_given_in_one_process_cannot_be_handed_to_another() -> None:
    """Part C of an assignment without writing it: keep the function that part D is given."""
    thief = """
import os, sys
def helper():
    return "own"
def f():
    frame = sys._getframe()
    while frame is not None:
        for value in frame.f_locals.values():
            if isinstance(value, dict) and value.get("given_cells"):
                return "found"
        frame = frame.f_back
    return helper() + str(os.path.exists(os.environ["TMPDIR"] + "/loot"))
def g():
    open(os.environ["TMPDIR"] + "/loot", "w").close()
    return helper()
"""
    stage = Stage(("g#0",), ("helper",), ("def helper():\n    return 'right'\n",))
    with Sandbox(("numpy",), Limits(seconds=5)) as box:
        box.set_inputs(None, {"f#0": CALL, "g#0": {**CALL, "target": "g"}, "f#1": CALL}, b"")
        answers = box.run(Job((("one", thief),), ("f#0",), (stage, Stage(("f#1",)))))
    assert answers["call f#0"].value == answers["call f#1"].value == "ownFalse"
    assert answers["call g#0"].value == "right"


@pytest.mark.parametrize("folder", SOURCES, ids=lambda p: p.name[:2])
def test_given_cells_hold_nothing_that_the_same_process_asks_for(folder: Path) -> None:
    loaded = load_assignment(folder)
    assert any(check.given for check in loaded.spec.checks)
    cells = {cell_id: code for cell_id, code, own in loaded.source.run if own}
    defines = {i: {n.name for n in ast.parse(c).body if isinstance(n, ast.FunctionDef)} for i, c in cells.items()}
    drivers = ast.parse(loaded.drivers or "")
    for check in loaded.spec.checks:
        asked = {check.call}
        for node in drivers.body:
            if isinstance(node, ast.FunctionDef) and check.call == f"drivers.{node.name}":
                uses = [n for n in ast.walk(node) if isinstance(n, ast.Attribute)]
                asked = {n.attr for n in uses if ast.unparse(n.value) == "student"}
        given = {name for i, code in cells.items() if code in loaded.given_cells(check) for name in defines[i]}
        assert not asked & given, check.id


@pytest.mark.parametrize("folder", SOURCES, ids=lambda p: p.name[:2])
def test_drivers_hold_no_function_under_a_name_that_students_write(folder: Path) -> None:
    """Students get the drivers; right answers come from the source, which they do not get."""
    loaded = load_assignment(folder)
    names = {n.name for n in ast.parse(loaded.drivers or "").body if isinstance(n, ast.FunctionDef)}
    assert not [name for name in names if name.startswith(("_right", "right"))]
    assert "_namespace" not in (loaded.drivers or "")


LOST = [  # an earlier function is missing altogether: its own checks are lost, and no others
    ("01", "log_softmax", {"log_softmax.values", "log_softmax.extreme"}, 6),
    ("01", "probe_gradient", {"probe_gradient.data", "probe_gradient.penalty"}, 7),
    ("02", "hold_statistics", {"hold.statistics", "hold.dropout", "hold.weights_free"}, 11),
    ("03", "domain_loss", {"loss.value", "loss.gradient", "loss.stable", "accuracy.value", "accuracy.ties"}, 14),
]


@isolated
@pytest.mark.slow
@pytest.mark.parametrize(("number", "cell", "loses", "points"), LOST)
def test_a_missing_function_is_paid_for_once(number: str, cell: str, loses: set[str], points: float) -> None:
    (folder,) = [f for f in SOURCES if f.name.startswith(number)]
    verdicts = grade_sources(folder, secret=SECRET, sources={"x": {cell: "raise NotImplementedError"}})["x"]
    assert {check for check, v in verdicts.items() if not v.passed} == loses
    assert sum(v.out_of - v.points for v in verdicts.values()) == points


@isolated
@pytest.mark.slow
def test_part_c_is_not_to_be_had_from_the_drivers() -> None:
    """Walk the frames to the local `drivers` and call whatever there is: once 14 points, now none."""
    (folder,) = [f for f in SOURCES if f.name.startswith("03")]
    thief = """
import sys
def search(name, *args):
    frame, found = sys._getframe(), {}
    while frame is not None:
        for value in list(frame.f_locals.values()):
            if isinstance(value, dict):
                found |= {k: v for k, v in value.items() if callable(v) and isinstance(k, str)}
        frame = frame.f_back
    for key, value in found.items():
        if name in key and value not in (domain_loss, domain_accuracy):
            return value(*args)
    raise LookupError(name)
def domain_loss(s, t):
    return search("loss", s, t)
def domain_accuracy(s, t):
    return search("accuracy", s, t)
"""
    verdicts = grade_sources(folder, secret=SECRET, sources={"x": {"domain_loss": thief}})["x"]
    lost = {check for check, v in verdicts.items() if not v.passed}
    assert lost == LOST[-1][2]


def test_a_given_function_must_be_there(tmp_path: Path) -> None:
    folder = shutil.copytree(ASSIGNMENT, tmp_path / ASSIGNMENT.name)
    checks = (folder / "checks.py").read_text()
    for given, says in (("nowhere", "no solution cell defines"), ("nearest_mean", "is given the function")):
        made = checks.replace('call="nearest_mean",', f'call="nearest_mean", given=("{given}",),', 1)
        (folder / "checks.py").write_text(made)
        with pytest.raises(AssignmentError, match=says):
            load_assignment(folder)


# -------------------------------------------------------------------------------------------------------------- draws


def test_inputs_that_tell_nothing_are_drawn_again() -> None:
    loaded = load_assignment(ASSIGNMENT)
    seen: list[float] = []

    def inputs(rng: np.random.Generator) -> tuple[float]:
        seen.append(float(rng.random()))
        return (seen[-1],)

    check = Check("x.y", "class_means_test", 4, "class_means", inputs, Close(), "", tells=lambda x: x > 0.9)
    made = replace(loaded, spec=replace(loaded.spec, checks=(check,)))
    cases = draw(made, SECRET)["x.y"]
    assert all(case.args[0] > 0.9 for case in cases) and len(seen) > len(cases)
    never = replace(check, tells=lambda x: x > 2)
    with pytest.raises(AssignmentError, match="none that its `tells` accepts"):
        draw(replace(made, spec=replace(made.spec, checks=(never,))), SECRET)


def secrets() -> list[bytes]:
    """A few in every run; XFERGRADE_SECRETS=20 for a benchmark."""
    return [b"secret number %d" % n * 4 for n in range(int(os.environ.get("XFERGRADE_SECRETS", "3")))]


ONE_SIDED = [  # mistakes that once kept points by luck
    (ASSIGNMENT, "class_means", ".mean(", ".sum(",
     {"class_means.values", "class_means.empty", "nearest_mean.accuracy"}),
    (SOURCES[0], "choose_penalty", "accuracies.mean(axis=1)", "accuracies.max(axis=1)", {"choose_penalty.best"}),
    (SOURCES[2], "domain_loss",
     "right_s = (logits_s < 0).float().mean()\n    right_t = (logits_t >= 0)",
     "right_s = (logits_s <= 0).float().mean()\n    right_t = (logits_t > 0)", {"accuracy.ties"}),
]  # fmt: skip


@isolated
@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(ONE_SIDED)))
def test_what_a_mistake_costs_does_not_hang_on_the_secret(number: int) -> None:
    folder, cell, old, new, loses = ONE_SIDED[number]
    solution = dict(load_assignment(folder).source.cells())[cell]
    assert solution.count(old) == 1
    for secret in secrets():
        sources: dict[str, dict[str, str] | str] = {"right": "solution", "wrong": {cell: solution.replace(old, new)}}
        verdicts = grade_sources(folder, secret=secret, sources=sources)
        lost = {who: {c for c, v in of.items() if not v.passed} for who, of in verdicts.items()}
        assert lost == {"right": set(), "wrong": loses}, secret


# ----------------------------------------------------------------------------------------------------------- variants


def test_a_line_takes_one_of_its_options_and_loses_the_mark() -> None:
    line = "the largest of them <!-- VARIANT tie: largest | smallest | first -->\nx = 1  ### VARIANT n: 1 | 2"
    assert with_variants(line, lambda name, count: 0) == "the largest of them\nx = 1"
    assert with_variants(line, lambda name, count: count - 1) == "the first of them\nx = 2"
    for wrong in ("no option here  ### VARIANT n: 1 | 2", "1 and 1  ### VARIANT n: 1 | 2"):
        with pytest.raises(NotebookError, match="should stand once"):
            with_variants(wrong, lambda name, count: 0)


@pytest.fixture
def varied(tmp_path: Path) -> Path:
    """The example, whose empty classes get one of three values."""
    folder = shutil.copytree(ASSIGNMENT, tmp_path / ASSIGNMENT.name)
    path = folder / f"{folder.name}.ipynb"
    content = json.loads(path.read_text())
    changed = 0
    for cell in content["cells"]:
        source = "".join(cell["source"])
        old = "means = np.zeros((k, features.shape[1]), dtype=features.dtype)"
        if old in source:
            new = "means = np.full((k, features.shape[1]), 0.0, features.dtype)  ### VARIANT empty: 0.0 | -1.0 | 2.0"
            cell["source"] = source.replace(old, new)
            changed += 1
    assert changed == 1
    path.write_text(json.dumps(content))
    return folder


@isolated
def test_the_published_solution_is_wrong_where_the_secret_varies_the_task(varied: Path, tmp_path: Path) -> None:
    release(load_assignment(varied, SECRET), tmp_path / "out", SECRET)
    published = read_notebook((tmp_path / "out" / "solution" / f"{varied.name}_solution.ipynb").read_bytes())
    cells = {c.id: c.source for c in published.cells if c.type == "code"}
    own = {i: code for i, code in cells.items() if i in ("class_means", "nearest_mean")}
    verdicts = grade_sources(varied, secret=SECRET, sources={"published": own, "key": "solution"}, vary=True)
    lost = {who: {c for c, v in of.items() if not v.passed} for who, of in verdicts.items()}
    assert lost == {"published": {"class_means.empty"}, "key": set()}
    for path in (tmp_path / "out").rglob("*.ipynb"):
        assert "VARIANT" not in path.read_text()
    assert "0.0, features" in cells["class_means"]
    key = (tmp_path / "out" / "instructor" / f"{varied.name}_key.ipynb").read_text()
    assert "-1.0, features" in key or "2.0, features" in key


def test_other_secrets_other_variants(varied: Path) -> None:
    made = {dict(load_assignment(varied, b"secret %d" % n * 5).source.cells())["class_means"] for n in range(12)}
    assert len(made) == 2 and not any("0.0, features" in code for code in made), "never the published one"


# ------------------------------------------------------------------------------------------------------- taking over


IN_ANY_SHAPE = """
def in_any_shape(expected, got, args):
    return None if (expected.array == got.array.reshape(-1)).all() else "wrong."


"""


@isolated
@pytest.mark.slow
def test_one_mended_check_is_run_again_and_everything_else_taken_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(ASSIGNMENT, tmp_path / ASSIGNMENT.name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "class").mkdir()
    column = NEAREST.replace("argmin(dim=1)", "argmin(dim=1)[:, None]")
    for name, cells in (("jane", {}), ("joe", {"nearest_mean": column})):
        (tmp_path / "class" / f"{name}.ipynb").write_bytes(text(cells))
    before = grade_class(load_assignment(folder, SECRET), tmp_path / "class", tmp_path / "old", SECRET)
    assert [r.score for r in before] == [FULL, 4]
    checks = (folder / "checks.py").read_text()
    old = "inputs=draw_points_and_means, compare=Equal(),"
    assert checks.count(old) == 1
    mended = checks.replace(f"{old} visible=True", "inputs=draw_points_and_means, compare=in_any_shape")
    assert mended != checks
    made = mended.replace("assignment = Assignment(", f"{IN_ANY_SHAPE}assignment = Assignment(")
    (folder / "checks.py").write_text(made)
    cells: list[object] = []
    run = Sandbox.run

    def counted(box: Sandbox, job: Job, *more: object) -> object:
        cells.append(job.calls)
        return run(box, job, *more)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sandbox, "run", counted)
        after = grade_class(
            load_assignment(folder, SECRET), tmp_path / "class", tmp_path / "new", SECRET, take_over=tmp_path / "old"
        )
    assert [r.score for r in after] == [FULL, 7]
    assert "Run again: nearest_mean.indices." in capsys.readouterr().err
    assert [len(c) for c in cells[1:]] == [3, 3], "only the mended check's three calls for each student"
    assert read_journal(tmp_path / "new")[0]["checks"].keys() == {c.id for c in load_assignment(folder).spec.checks}
    assert [v for v in after[0].verdicts if v.check != "nearest_mean.indices"] == [
        v for v in before[0].verdicts if v.check != "nearest_mean.indices"
    ]


def test_the_fingerprint_has_the_graders_version(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_assignment(ASSIGNMENT)
    before = loaded.fingerprint(SECRET)
    assert before == loaded.fingerprint(SECRET) != loaded.fingerprint(SECRET + b"!")
    monkeypatch.setattr("xfergrade.__version__", "9.9.9")
    assert loaded.fingerprint(SECRET) != before


# --------------------------------------------------------------------------------------------------------- similarity

OWN = """def class_means(features, labels, k):
    # {comment}
    {rows} = []
    for {c} in range(k):
        {inside} = [row for row, label in zip(features, labels) if label == {c}]
        if len({inside}) > 0:
            {rows}.append(sum({inside}) / len({inside}))
        else:
            {rows}.append(features[0] * 0.0)
    return np.stack({rows}).astype(features.dtype)
"""
OTHER = """def class_means(features, labels, k):
    onehot = np.eye(k, dtype=features.dtype)[labels]
    counts = onehot.sum(axis=0)
    weights = onehot / np.where(counts == 0, 1, counts)[None, :]
    return (weights.T @ features).astype(features.dtype)
"""


def handed_in(code: str) -> Notebook:
    return read_notebook(json.dumps(notebook({"class_means": code})).encode())


def test_renamed_variables_are_found_and_what_everybody_was_given_is_not() -> None:
    loaded = load_assignment(ASSIGNMENT)
    first = OWN.format(comment="mine", rows="rows", c="c", inside="inside")
    renamed = OWN.format(comment="all my own work", rows="result", c="cls", inside="members").replace("    ", "  ")
    class_ = {"jane": handed_in(first), "joe": handed_in(renamed), "zoe": handed_in(OTHER)}
    class_ |= {f"copied_{n}": handed_in(MEANS) for n in range(2)}  # the public solution
    class_ |= {"stub": handed_in(loaded.source.stubs["class_means"])}
    (pair,) = similarity.alike(loaded, class_)
    assert {pair.first, pair.second} == {"jane", "joe"} and pair.share > 0.9
    report = similarity.report(loaded, class_)
    assert "| jane | joe | 100% |" in report and "zoe" not in report
    assert "What it cannot show" in report and "copied from the\npublished solution" in report
    assert "No two submissions" in similarity.report(loaded, {"zoe": handed_in(OTHER)})


def test_what_most_of_a_class_has_says_nothing_about_two() -> None:
    loaded = load_assignment(ASSIGNMENT)
    taught = OWN.format(comment="from the lecture", rows="rows", c="c", inside="inside")
    assert similarity.alike(loaded, {f"s{n}": handed_in(taught) for n in range(8)}) == []


def test_reading_for_similarity_takes_linear_time() -> None:
    for nasty in ("'" * 150_000, '"""' * 50_000, "\\" * 150_000, "a'" * 75_000, "#" * 150_000, "(" * 150_000):
        assert len(similarity.fingerprints(nasty)) < 150_000


# --------------------------------------------------------------------------------------------------------------- text


def test_no_character_that_reorders_or_hides_text_is_left() -> None:
    keep = {"\u200c", "\u200d"}  # the joiners, which some scripts and emoji need
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
    left = set(clean_text(everything, len(everything)))
    for character in left - keep - {"\n", "\t"}:
        assert unicodedata.category(character) not in ("Cc", "Cf", "Zl", "Zp"), hex(ord(character))
        assert unicodedata.bidirectional(character) not in "LRE RLE LRO RLO PDF LRI RLI FSI PDI".split()
    assert set("aé漢א😀\u200d") <= left


def test_the_old_cases_are_all_there() -> None:
    assert len(CASES) >= 144 + 13
    assert len({re.sub(r"\W", "", case.name) + case.tries for case in CASES}) == len(CASES)
