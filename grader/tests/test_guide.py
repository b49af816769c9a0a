"""The instructor's guide, step by step: its boxes run in their order, and print what the page says they print.

The page's assignment is played by the example; home and checkout are folders of the test's own.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hostile.cases import ASSIGNMENT, FULL
from isolation import isolated
from mutants.base import Mutant
from where import ROOT, SOURCES

from xfergrade import CheckFailed, student
from xfergrade.testing import grade_sources

PAGE = (ROOT / "book" / "teaching.md").read_text(encoding="utf-8")
NAME = "01_probe_and_retrieval"
BOX = re.compile(r"^```\{code-block\} (\w+)\n:name: ([\w-]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BOXES = {name: (language, body) for language, name, body in BOX.findall(PAGE)}
STEPS = {name: body for name, (language, body) in BOXES.items() if language == "bash"}
NBGRADER = [name for name in STEPS if name.startswith(("try-hub", "try-nbgrader"))]


class Session:
    """An instructor at a terminal: `home`, and what each box has printed."""

    def __init__(self, home: Path) -> None:
        self.home, self.teaching, self.printed = home, home / "teaching", dict[str, str]()
        course = home / "course"
        example = shutil.copytree(ASSIGNMENT, course / "assignments" / NAME, ignore=shutil.ignore_patterns("__pyc*"))
        (example / f"{ASSIGNMENT.name}.ipynb").rename(example / f"{NAME}.ipynb")
        (course / "grader" / "tests").mkdir(parents=True)
        (course / "grader" / "tests" / "coursework").symlink_to(ASSIGNMENT.parent)
        (course / ".venv" / "bin").mkdir(parents=True)
        (course / ".venv" / "bin" / "activate").write_text(f'PATH="{Path(sys.executable).parent}:$PATH"\n')
        python = course / ".venv" / "bin" / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)

    def run(self, steps: list[str]) -> None:
        """Run boxes one after the other in one shell, after the first box."""
        script = "".join(f"echo '@@ {step}'\n{STEPS[step]}\n" for step in dict.fromkeys(["try-places", *steps]))
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.home,
            env={**os.environ, "HOME": str(self.home), "JUPYTER_PLATFORM_DIRS": "1", "IPYTHONDIR": str(self.home)},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        for part in done.stdout.split("@@ ")[1:]:
            step, _, printed = part.partition("\n")
            self.printed[step] = printed


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    session = Session(tmp_path_factory.mktemp("home"))
    session.run([name for name in STEPS if name not in NBGRADER])
    yield session


def rows(path: Path) -> dict[str, dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def as_promised(session: Session, step: str) -> None:
    """Each line that the page shows was printed, in this order; … stands for anything."""
    lines = [line.strip() for line in session.printed[step].splitlines()]
    at = 0
    for promised in BOXES[f"{step}-prints"][1].strip().splitlines():
        pattern = re.escape(promised.strip()).replace("…", ".*")
        at = next((i + 1 for i in range(at, len(lines)) if re.fullmatch(pattern, lines[i])), 0)
        assert at, f"{step} did not print {promised!r} there:\n{session.printed[step]}"


def test_the_boxes_that_say_run_are_the_ones_that_run() -> None:
    for name, body in STEPS.items():
        assert name.startswith("try-") and body.startswith("# run: "), name
    assert PAGE.count("# run: ") == len(STEPS) >= 12
    promises = {name.removesuffix("-prints") for name, (language, _) in BOXES.items() if language == "text"}
    assert promises <= set(STEPS)


@isolated
@pytest.mark.slow
@pytest.mark.parametrize("step", [s for s in STEPS if f"{s}-prints" in BOXES and s not in NBGRADER])
def test_each_box_prints_what_the_page_says(session: Session, step: str) -> None:
    as_promised(session, step)


@isolated
@pytest.mark.slow
def test_the_class_of_three_is_graded(session: Session) -> None:
    grades = rows(session.teaching / "graded" / "grades.csv")
    # Jane has a point by hand for her one answer, of two; Joe's late version has all that a machine gives.
    assert {s: (r["points"], r["open_points"]) for s, r in grades.items()} == {
        "jane": (str(FULL + 1), "0"), "joe": (str(FULL), "2"), "zoe": ("0", "0"),
    }  # fmt: skip
    assert "not valid JSON" in grades["zoe"]["notes"]
    journal = (session.teaching / "graded" / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    graded = [json.loads(line)["student"] for line in journal if '"student"' in line]
    assert sorted(graded) == ["jane", "joe", "joe", "zoe"], "only the late version was graded again"
    for student_row in grades.values():
        assert (session.teaching / "graded" / "feedback" / student_row["feedback"]).is_file()
    assert "Well argued." in (session.teaching / "graded" / "feedback" / grades["jane"]["feedback"]).read_text()
    assert (session.teaching / "graded" / "report.md").is_file()


@isolated
@pytest.mark.slow
def test_nothing_of_the_secret_is_for_others(session: Session) -> None:
    assert session.teaching.stat().st_mode & 0o777 == 0o700
    instructor = session.teaching / "release" / "instructor"
    assert [p.name for p in instructor.iterdir() if p.stat().st_mode & 0o077] == []
    released = {p.name for p in (session.teaching / "drafts" / "student").iterdir()}
    assert released == {"04_class_means.ipynb", "04_class_means.checks", "04_class_means.zip"}


@isolated
@pytest.mark.slow
def test_gradescopes_rehearsal_gives_all_points(session: Session) -> None:
    results = json.loads((session.teaching / "autograder" / "results" / "results.json").read_text(encoding="utf-8"))
    assert sum(test["score"] for test in results["tests"]) == FULL


@isolated
@pytest.mark.slow
def test_nbgrader_and_its_exchange(session: Session) -> None:
    pytest.importorskip("nbgrader")
    session.run(NBGRADER)
    as_promised(session, "try-hub-grade")
    points = {s: r["points"] for s, r in rows(session.teaching / "graded-hub" / "grades.csv").items()}
    assert points.pop("jane") == str(FULL) and list(points.values()) == ["0"]
    with open(session.teaching / "hub" / "course" / "grades.csv", encoding="utf-8", newline="") as file:
        assert {r["student_id"]: float(r["raw_score"]) for r in csv.DictReader(file)}["jane"] == FULL


@isolated
def test_the_pages_mutant_is_one() -> None:
    namespace: dict[str, tuple[Mutant, ...]] = {}
    exec(BOXES["mutant"][1], namespace)
    (mutant,) = namespace["MUTANTS"]
    source = json.loads((ASSIGNMENT / f"{ASSIGNMENT.name}.ipynb").read_text(encoding="utf-8"))
    cells = {c["metadata"].get("nbgrader", {}).get("grade_id"): "".join(c["source"]) for c in source["cells"]}
    changed = {mutant.cell: mutant.apply(cells[mutant.cell])}
    verdicts = grade_sources(ASSIGNMENT, secret=b"x" * 32, sources={"mutant": changed})["mutant"]
    assert {check for check, verdict in verdicts.items() if not verdict.passed} == mutant.loses


def test_students_see_the_messages_that_their_page_shows() -> None:
    page = (ROOT / "book" / "coursework.md").read_text(encoding="utf-8")
    wrong, right = re.findall(r"```\{code-block\} text\n(.*?)\n```", page, re.DOTALL)
    bundle, blob = student.find_bundle(ASSIGNMENT)

    def said(dim: int) -> str:
        return student.run_check(
            bundle, blob, "nearest_mean.indices", {"nearest_mean": lambda f, m: torch.cdist(f, m).argmin(dim=dim)}
        )

    assert said(1) == right
    with pytest.raises(CheckFailed) as failed:
        said(0)
    assert str(failed.value) == wrong


def test_the_plans_fit_the_course() -> None:
    six, twelve = re.findall(r"(?:^\| \d.*\n)+", PAGE, re.MULTILINE)
    for plan, weeks in ((six, 6), (twelve, 12)):
        assert [int(line.split("|")[1]) for line in plan.splitlines()] == list(range(1, weeks + 1))
        assert set(re.findall(r"chapters/\w+\.ipynb", plan)) == {
            p.relative_to(ROOT).as_posix() for p in (ROOT / "chapters").glob("*.ipynb")
        }
        for assignment in (p.name[:2] for p in SOURCES):
            assert plan.count(f"assignment {assignment}") == 1 or assignment not in ("01", "02", "03")
