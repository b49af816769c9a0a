"""Every assignment: stubs fail, the solution passes, each plausible mistake loses what it should, and nothing leaks.

The notebooks run as nbgrader runs them: the public solution and the untouched student's version, top to bottom.
"""

from __future__ import annotations

import importlib
import json
import re
import shutil
import zipfile
from functools import cache
from pathlib import Path

import pytest
from isolation import REASON, isolated
from mutants.base import Mutant
from nbgrader_tool import CONFIG, nbgrader, scores
from where import ROOT, SECRET, SOURCES

from xfergrade import wire
from xfergrade.assignment import Loaded, load_assignment
from xfergrade.draws import draw
from xfergrade.release import release
from xfergrade.source import RELEASE_SEED, cell_text, with_variants
from xfergrade.testing import grade_sources

NAMES = [folder.name for folder in SOURCES]
each_assignment = pytest.mark.parametrize("name", NAMES)

MARKS = ("BEGIN SOLUTION", "END SOLUTION", "HIDDEN TESTS", "check_part")


@cache
def loaded(name: str) -> Loaded:
    return load_assignment(ROOT / "assignments" / name)


@cache
def mutants(name: str) -> tuple[Mutant, ...]:
    return importlib.import_module(f"mutants.m{name}").MUTANTS


@cache
def graded(name: str) -> dict[str, set[str]]:
    """The checks that the stubs, the solution and each mutant lose."""
    solution = dict(loaded(name).source.cells())
    sources: dict[str, dict[str, str] | str] = {"the stubs": "stub", "the solution": "solution"}
    sources |= {m.name: {m.cell: m.apply(solution[m.cell])} for m in mutants(name)}
    verdicts = grade_sources(ROOT / "assignments" / name, secret=SECRET, sources=sources)
    return {who: {c for c, v in of.items() if not v.passed} for who, of in verdicts.items()}


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    if REASON is not None:
        pytest.skip(f"submissions cannot be isolated here: {REASON}")
    out = tmp_path_factory.mktemp("released")
    for name in NAMES:
        release(loaded(name), out / name, SECRET)
    return {name: out / name for name in NAMES}


def cells(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def release_seed(path: Path) -> str:
    found = re.findall(r"= (\d+)\s*### RELEASE SEED", "\n".join(cell_text(c) for c in cells(path)))
    assert len(found) == 1, "an assignment has one seed"
    return found[0]


def test_there_are_three_assignments() -> None:
    assert [name[:2] for name in NAMES] == ["01", "02", "03"]


@each_assignment
def test_points_add_to_a_hundred_and_some_are_for_thinking(name: str) -> None:
    parts = loaded(name).source.parts
    assert sum(p.points for p in parts) == 100
    assert 15 <= sum(p.points for p in parts if p.manual) <= 40


@each_assignment
def test_the_source_is_stored_without_outputs(name: str) -> None:
    path = ROOT / "assignments" / name / f"{name}.ipynb"
    assert path.stat().st_size < 500_000
    for cell in cells(path):
        assert not cell.get("outputs") and cell.get("execution_count") is None
        if cell["cell_type"] == "markdown":
            assert not re.search(r"!\[\s*\]\(", cell_text(cell)), "a picture without alternative text"


@isolated
@each_assignment
def test_stubs_fail_and_the_solution_passes(name: str) -> None:
    assert graded(name)["the stubs"] == {c.id for c in loaded(name).spec.checks}
    assert graded(name)["the solution"] == set()


@isolated
@pytest.mark.parametrize(("name", "number"), [(n, i) for n in NAMES for i in range(len(mutants(n)))])
def test_each_mistake_loses_what_it_should(name: str, number: int) -> None:
    mutant = mutants(name)[number]
    assert mutant.loses, "a mistake that costs nothing is not checked"
    assert graded(name)[mutant.name] == mutant.loses, mutant.mistake


@each_assignment
def test_there_are_enough_mistakes_and_every_check_catches_one(name: str) -> None:
    assert len({m.name for m in mutants(name)}) == len(mutants(name)) >= 10
    assert {c.id for c in loaded(name).spec.checks} == set().union(*(m.loses for m in mutants(name)))


@each_assignment
def test_graded_inputs_hang_on_the_secret_alone(name: str) -> None:
    def drawn(secret: bytes) -> str:
        return repr([(c.args, c.seed) for cases in draw(loaded(name), secret).values() for c in cases])

    assert drawn(SECRET) == drawn(SECRET)
    assert drawn(SECRET) != drawn(SECRET + b"!")


@each_assignment
def test_no_hidden_test_and_no_solution_is_in_a_students_file(name: str, released: dict[str, Path]) -> None:
    folder = released[name] / "student"
    with zipfile.ZipFile(folder / f"{name}.zip") as archive:
        inside = {Path(n).name: archive.read(n) for n in archive.namelist()}
    assert inside == {n: (folder / n).read_bytes() for n in (f"{name}.ipynb", f"{name}.checks")}
    text = "\n".join(cell_text(c) for c in cells(folder / f"{name}.ipynb"))
    assert not [mark for mark in MARKS if mark in text]
    bundle, _ = wire.load(inside[f"{name}.checks"])
    visible = {c.id for c in loaded(name).spec.checks if c.visible}
    assert {c["id"] for c in bundle["checks"]} == visible
    everything = text + json.dumps(bundle, ensure_ascii=False)
    for check in loaded(name).spec.checks:
        if not check.visible:
            assert check.id not in everything and check.hint not in everything
    # Lines that only the solution has: none of the longer ones may be left over.
    stubs = "\n".join(loaded(name).source.stubs.values())
    for cell_id, code in loaded(name).source.cells():
        lines = [line.strip() for line in code.splitlines() if len(line.strip()) > 30 and line.strip() not in stubs]
        assert not [line for line in lines if line in everything], cell_id


@each_assignment
def test_public_solution_has_other_data_than_the_students(name: str, released: dict[str, Path]) -> None:
    student = release_seed(released[name] / "student" / f"{name}.ipynb")
    assert student != release_seed(released[name] / "solution" / f"{name}_solution.ipynb")
    assert student == release_seed(released[name] / "instructor" / f"{name}_key.ipynb")
    assert RELEASE_SEED.search("\n".join(cell_text(c) for c in cells(ROOT / "assignments" / name / f"{name}.ipynb")))


VARIES = {  # the cell of the task, the check that looks at it, what the text says in another class
    "01": ("group_folds", "group_folds.ties", "the one with the larger number comes first"),
    "02": ("report", "report.chosen", "of equals the one with the largest index"),
    "03": ("domain_loss", "accuracy.ties", "a logit of exactly 0 says source"),
}


@isolated
@each_assignment
def test_what_is_published_loses_the_points_of_a_task_that_varies(name: str) -> None:
    """Where the task has two forms that are as good, such as what becomes of ties, the secret takes one of them."""
    cell, check, says = VARIES[name[:2]]
    published = {cell: dict(loaded(name).source.cells())[cell]}
    sources: dict[str, dict[str, str] | str] = {"published": published, "key": "solution"}
    verdicts = grade_sources(ROOT / "assignments" / name, secret=SECRET, sources=sources, vary=True)
    lost = {who: {c for c, v in of.items() if not v.passed} for who, of in verdicts.items()}
    assert lost == {"published": {check}, "key": set()}
    varied = load_assignment(ROOT / "assignments" / name, SECRET).source
    assert "VARIANT" not in "\n".join(varied.stubs.values())
    made = "\n".join(cell_text(c) for c in varied.content["cells"])
    assert says in made and "VARIANT" not in made


@pytest.mark.slow
@each_assignment
def test_nbgrader_runs_it_as_it_is(name: str, released: dict[str, Path], tmp_path: Path) -> None:
    """The solution runs without an error and gets its points; the stubs stop only where work is missing."""
    pytest.importorskip("nbgrader")
    source = tmp_path / "source" / name
    source.mkdir(parents=True)
    shutil.copy(ROOT / "assignments" / name / f"{name}.ipynb", source)
    shutil.copy(released[name] / "solution" / f"{name}.checks", source)  # nbgrader has the source as it stands
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "nbgrader_config.py").write_text(CONFIG)
    nbgrader(tmp_path, "generate_assignment", name)
    theirs, ours = (
        cells(p) for p in (tmp_path / "release" / name / f"{name}.ipynb", released[name] / "student" / f"{name}.ipynb")
    )
    for a, b in zip(theirs, ours, strict=True):
        if "RELEASE SEED" not in cell_text(b):
            assert with_variants(cell_text(a), lambda *_: 0).strip() == cell_text(b).strip()
        assert a.get("attachments") == b.get("attachments")
    for who, path in (("jane", "solution"), ("joe", "student")):
        submitted = tmp_path / "submitted" / who / name
        submitted.mkdir(parents=True)
        shutil.copy(released[name] / path / f"{name}.checks", submitted)
        suffix = "_solution" if who == "jane" else ""
        shutil.copy(released[name] / path / f"{name}{suffix}.ipynb", submitted / f"{name}.ipynb")
    nbgrader(
        tmp_path, "autograde", name,
        XFERGRADE_ASSIGNMENT=str(ROOT / "assignments" / name), XFERGRADE_SECRET=str(tmp_path / "secret"),
    )  # fmt: skip
    by_machine = sum(p.points for p in loaded(name).source.parts if not p.manual)
    assert scores(tmp_path) == {"jane": by_machine, "joe": 0}

    def errors(who: str) -> list[str]:
        ran = cells(tmp_path / "autograded" / who / name / f"{name}.ipynb")
        return [o["ename"] for c in ran for o in c.get("outputs", ()) if o["output_type"] == "error"]

    assert errors("jane") == []
    assert errors("joe") and set(errors("joe")) <= {"NotImplementedError", "CheckFailed", "NameError"}
