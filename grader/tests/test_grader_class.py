"""A class of 200 graded in one run, killed twice on the way: honest, half-right, broken and hostile submissions, mixed.

The command is the one that an instructor types. Every submission gets the points it should, nothing is lost or graded
twice, and the machine is as it was before.
"""

from __future__ import annotations

import csv
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hostile.cases import ASSIGNMENT, CASES, FULL, HALF, HERE, MEANS, NEAREST, ODD, student, table, text, write_case
from isolation import isolated

from xfergrade.tables import read_table

pytestmark = isolated

CLASS_SIZE = 200
# Honest students and plausible mistakes: the cells and what they get.
USUAL: list[tuple[str, dict[str, str], int]] = [
    ("honest", {}, FULL),
    ("stub", {"class_means": "def class_means(f, l, k):\n    raise NotImplementedError()\n",
              "nearest_mean": "def nearest_mean(f, m):\n    raise NotImplementedError()\n"}, 0),
    ("empty_class",
     {"class_means": "def class_means(f, y, k):\n    return np.stack([f[y == c].mean(0) for c in range(k)])"}, 6),
    ("wrong_axis", {"nearest_mean": "def nearest_mean(f, m):\n    return torch.cdist(f, m).argmin(dim=0)\n"}, HALF),
    ("farthest", {"nearest_mean": "def nearest_mean(f, m):\n    return torch.cdist(f, m).argmax(dim=1)\n"}, HALF),
    ("sums", {"class_means": MEANS.replace(".mean(", ".sum(")}, 3),
    ("other_way",
     {"nearest_mean": "def nearest_mean(f, m):\n    return ((f[:, None] - m) ** 2).sum(2).argmin(1)\n"}, FULL),
]  # fmt: skip


@dataclass
class Run:
    """What the run left behind."""

    out: Path
    classroom: Path
    expected: dict[str, int]
    records: dict[str, dict] = field(default_factory=dict)
    at_the_kills: list[list[bytes]] = field(default_factory=list)
    visitors: list[str] = field(default_factory=list)
    seconds: float = 0


def command(assignment: Path, classroom: Path, out: Path, secret: Path) -> list[str]:
    return [
        sys.executable,
        "-m",
        "xfergrade",
        "grade",
        str(assignment),
        str(classroom),
        str(out),
        "--secret",
        str(secret),
    ]


def enter(manual: Path, given: dict[str, tuple[str, str]], *, as_spreadsheet: bool) -> None:
    """Points and comments typed into manual.csv, which is saved as text, or as a spreadsheet program saves it."""
    columns, rows = read_table(manual, ["id"])
    for row in rows:
        if row["student"] in given:
            row.cells["points"], row.cells["comment"] = given[row["student"]]
    content = [columns, *([row[c] for c in columns] for row in rows)]
    with open(manual, "w", encoding="cp1252" if as_spreadsheet else "utf-8", newline="", errors="replace") as file:
        csv.writer(file, delimiter=";" if as_spreadsheet else ",").writerows(content)


def lines(journal: Path) -> list[bytes]:
    return journal.read_bytes().splitlines(keepends=True) if journal.is_file() else []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with the instructor's secret and a copy of the assignment."""
    folder = tmp_path_factory.mktemp("instructor")
    shutil.copytree(ASSIGNMENT, folder / ASSIGNMENT.name, ignore=shutil.ignore_patterns("__pycache__"))
    # The same in every run: what a mistake costs must not hang on luck, and a fault must come again.
    (folder / "secret.key").write_bytes(b"5ecret0f7he7est5" * 4)
    (folder / "secret.key").chmod(0o600)
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Iterator[Run]:
    """The class, graded; killed by SIGKILL after about a third and about two thirds."""
    classroom, out = folder / "class", folder / "out"
    classroom.mkdir()
    run = Run(out, classroom, {})
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=answer, args=(listener, run.visitors), daemon=True).start()
    words = {
        "SECRET": str(folder / "secret.key"), "CHECKS": str(folder / ASSIGNMENT.name / "checks.py"),
        "CLASS": str(classroom), "OUT": str(out), "PORT": str(listener.getsockname()[1]),
    }  # fmt: skip
    for number in range(CLASS_SIZE - len(CASES)):
        kind, cells, points = USUAL[number % len(USUAL)]
        name = f"{kind}_{number:03}"
        (classroom / f"{name}.ipynb").write_bytes(text(cells))
        run.expected[name] = points
    for case in CASES:
        write_case(case, classroom, words)
        run.expected[student(case)] = case.points
    assert len(run.expected) == CLASS_SIZE

    start = time.monotonic()
    journal, manual = out / "journal.jsonl", out / "manual.csv"
    (folder / "early").mkdir()
    for name in ("honest_000", "sums_005"):
        shutil.copy(classroom / f"{name}.ipynb", folder / "early")
    (folder / "early" / "left_the_class.ipynb").write_bytes(text())
    subprocess.run(command(folder / ASSIGNMENT.name, folder / "early", out, folder / "secret.key"), check=True)
    shutil.rmtree(folder / "early")
    enter(manual, {"honest_000": ("1,5", "Très bien."), "left_the_class": ("2 of 2", "Kept.")}, as_spreadsheet=False)
    for kill_at in (CLASS_SIZE // 3, 2 * CLASS_SIZE // 3):
        process = subprocess.Popen(command(folder / ASSIGNMENT.name, classroom, out, folder / "secret.key"))
        while len(lines(journal)) <= kill_at:
            assert process.poll() is None, "the grader ended before it was killed"
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        run.at_the_kills.append(lines(journal))
        enter(manual, {"sums_005": ("1", f"“{kill_at}”")}, as_spreadsheet=True)
    subprocess.run(command(folder / ASSIGNMENT.name, classroom, out, folder / "secret.key"), check=True)
    run.seconds = time.monotonic() - start
    for line in lines(journal)[1:]:
        record = json.loads(line)
        if "student" in record:
            run.records[record["student"]] = record
    del run.records["left_the_class"]
    yield run
    listener.close()


def answer(listener: socket.socket, visitors: list[str]) -> None:
    while True:
        try:
            visitors.append(str(listener.accept()[1]))
        except OSError:
            return


def points(record: dict) -> float:
    return sum(v["points"] for v in record["verdicts"])


def everything_said(record: dict) -> str:
    return " ".join([*record["notes"], *(v["message"] for v in record["verdicts"])])


@pytest.mark.parametrize("case", CASES, ids=[c.name[:40] for c in CASES])
def test_each_hostile_submission_gets_what_it_honestly_earns(case, run: Run) -> None:
    record = run.records[student(case)]
    assert points(record) == case.points, everything_said(record)
    assert case.says in everything_said(record)


def test_every_grade_in_the_class_is_as_expected(run: Run) -> None:
    assert {name: points(record) for name, record in run.records.items()} == run.expected
    by_hand = {"honest_000": 1.5, "sums_005": 1}
    with open(run.out / "grades.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [run.expected[name] + by_hand.get(name, 0) for name in sorted(run.expected)]
    assert [float(row["points"]) for row in rows] == expected
    print(f"{CLASS_SIZE} submissions in {run.seconds:.0f} s, two kills and three starts included")


def test_every_point_by_hand_is_there_after_two_kills_and_two_ways_of_saving(run: Run) -> None:
    _, rows = read_table(run.out / "manual.csv", ["id", "student", "points", "comment"])
    given = {row["student"]: (row["points"], row["comment"]) for row in rows if row["points"]}
    assert given == {
        "honest_000": ("1.5", "Très bien."), "sums_005": ("1", f"“{2 * CLASS_SIZE // 3}”"),
        "left_the_class": ("2", "Kept."),
    }  # fmt: skip
    assert len(rows) == CLASS_SIZE + 1
    assert b";" in next((run.out / "backups").iterdir()).read_bytes().splitlines()[0]


def test_nothing_is_lost_or_graded_twice_when_killed(run: Run) -> None:
    final = lines(run.out / "journal.jsonl")
    students = [json.loads(line)["student"] for line in final if b'"student"' in line]
    assert len(students) == len(set(students)) == CLASS_SIZE + 1 and len(run.records) == CLASS_SIZE
    assert len(run.at_the_kills[0]) < len(run.at_the_kills[1]) < len(final)
    for before in run.at_the_kills:
        whole = [line for line in before if line.endswith(b"\n")]
        assert final[: len(whole)] == whole


def processes_of_submissions() -> set[str]:
    """(user id, process id) of what runs under a submission's user id."""
    running = subprocess.run(["ps", "-eo", "uid,pid"], capture_output=True, text=True, check=True).stdout
    return {line for line in running.splitlines() if line.split()[0].startswith("2000")}


def test_the_machine_is_as_it_was(run: Run, folder: Path) -> None:
    assert run.visitors == [], "a submission reached a server on the host"
    assert (folder / "secret.key").read_text().strip().isalnum()
    assert not (run.out / "owned").exists() and not (run.out / "results.json").exists()
    assert sorted(p.name for p in folder.iterdir()) == ["00_class_means", "class", "out", "secret.key"]
    left, until = processes_of_submissions(), time.monotonic() + 60
    while left and time.monotonic() < until:  # other graders may be at work on this machine: theirs end soon
        time.sleep(0.5)
        left &= processes_of_submissions()
    assert not left
    running = subprocess.run(["ps", "-eo", "uid,pid,args"], capture_output=True, text=True, check=True).stdout
    assert not [line for line in running.splitlines() if str(folder) in line], running


def test_pages_and_tables_hold_no_markup_from_students(run: Run) -> None:
    pages = list((run.out / "feedback").glob("*.html"))
    assert len(pages) == CLASS_SIZE + 1
    for page in pages:
        content = page.read_text(encoding="utf-8")
        for forbidden in ("<script", "onerror=alert(1)>", "<img src=x", "</pre><", "\x1b", "\u202e", 'onload="alert'):
            assert forbidden not in content, page.name
        assert "default-src 'none'" in content
    for name in ("grades.csv", "manual.csv"):
        with open(run.out / name, encoding="utf-8", newline="") as file:
            cells = [value for row in csv.reader(file) for value in row]
        assert not [value for value in cells if value[:1] in ("=", "+", "-", "@", "\t", "\r")]
        with open(run.out / name, encoding="utf-8", newline="") as file:  # as a program reads it that takes semicolons
            cells = [value for row in csv.reader(file, delimiter=";") for value in row]
        assert not [value for value in cells if value[:1] in ("=", "+", "-", "@", "\t", "\r")]
    assert "'" + ODD in (run.out / "grades.csv").read_text(encoding="utf-8")


def test_gradescope_gets_its_form(run: Run) -> None:
    found = list((run.out / "gradescope").glob("*/results.json"))
    assert len(found) == CLASS_SIZE + 1
    for path in found:
        results = json.loads(path.read_text(encoding="utf-8"))
        assert set(results) == {"tests", "output", "output_format", "visibility", "stdout_visibility"}
        for test in results["tests"]:
            assert 0 <= test["score"] <= test["max_score"]
            assert test["name"] == "discussion" or test["status"] in ("passed", "failed")


def test_the_same_class_gives_the_same_bytes(run: Run, folder: Path) -> None:
    """A few of the submissions in a fresh folder, without a kill: the same records, pages and results."""
    part, again = folder / "part", folder / "again"
    part.mkdir()
    names = ["honest_007", "sums_012", "huge_answer", "exits_at_once", "markup_in_an_error", "reads_proc", "objects"]
    for name in names:
        shutil.copy(run.classroom / f"{name}.ipynb", part)
    try:
        subprocess.run(command(folder / ASSIGNMENT.name, part, again, folder / "secret.key"), check=True)
        records = [json.loads(line) for line in lines(again / "journal.jsonl") if b'"student"' in line]
        assert len(records) == len(names)
        for record in records:
            assert record == run.records[record["student"]]
        pages = [p.relative_to(again) for p in again.rglob("*.html")] + [
            p.relative_to(again) for p in again.rglob("*.json")
        ]
        assert len(pages) == 2 * len(names)
        for page in pages:
            assert (again / page).read_bytes() == (run.out / page).read_bytes()
    finally:
        shutil.rmtree(part)
        shutil.rmtree(again, ignore_errors=True)


def test_the_table_of_hostile_submissions_is_current() -> None:
    assert len(CASES) >= 40
    assert (HERE / "README.md").read_text(encoding="utf-8") == table(), "run: python grader/tests/hostile/cases.py"


def test_the_honest_cells_are_the_solution() -> None:
    source = json.loads((ASSIGNMENT / f"{ASSIGNMENT.name}.ipynb").read_text(encoding="utf-8"))
    solutions = "".join("".join(cell["source"]) for cell in source["cells"])
    for cell in (MEANS, NEAREST):
        for line in cell.splitlines()[1:]:
            assert line.strip() in solutions
