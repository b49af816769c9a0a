"""What goes back to a platform: its own export with the points in it, and pages under the names that it expects."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import pytest
from hostile.cases import ASSIGNMENT

from xfergrade import gradebook
from xfergrade.assignment import load_assignment
from xfergrade.judging import Verdict
from xfergrade.lateness import Policy
from xfergrade.manual import Manual
from xfergrade.outputs import Grade, gradescope, total, write_outputs
from xfergrade.records import Answer, Record
from xfergrade.release import release
from xfergrade.tables import TableError

LOADED = load_assignment(ASSIGNMENT)


def record(student: str, origin: str, points: float, answer: str = "") -> Record:
    verdict = Verdict("class_means.values", "class_means_test", points > 0, points, 4, "")
    return Record(student, "d", False, (), (verdict,), (Answer("discussion", 2, answer),), origin=origin)


def graded(out: Path, records: list[Record]) -> dict[str, Grade]:
    write_outputs(LOADED, records, out)
    manual = Manual(LOADED, out / "manual.csv")
    return {r.student: total(LOADED, r, manual, Policy()) for r in records}


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_canvas_gets_its_own_export_back_with_one_column_filled(tmp_path: Path) -> None:
    records = [
        record("doejane_101", "doejane_101_9_hw-2.ipynb", 3),
        record("roe_102", "roe_LATE_102_9_hw.ipynb", 4, "An answer that nobody has read."),
        record("ghost_999", "ghost_999_9_hw.ipynb", 1),
    ]
    column = "Assignment 1 (555)"
    (tmp_path / "export.csv").write_text(
        f"Student,ID,SIS User ID,SIS Login ID,Section,{column},Other (556)\n"
        "    Points Possible,,,,,10,5\n"
        '"Doe, Jane",101,s1,jd,A,,4\n"Roe, Richard",102,s2,rr,A,,\n"Absent, Al",103,s3,aa,A,,\n'
    )
    grades = graded(tmp_path / "out", records)
    filled = gradebook.canvas(records, grades, tmp_path / "export.csv", column, tmp_path / "out")
    before, after = rows(tmp_path / "export.csv"), rows(filled.grades)
    assert [r[column] for r in after] == ["10", "3", "", ""]
    assert [{**r, column: ""} for r in after] == [{**r, column: ""} for r in before]
    assert (filled.missing, filled.unknown, filled.open) == (["Absent, Al"], ["ghost_999"], ["roe_102"])
    with zipfile.ZipFile(filled.feedback) as archive:
        assert archive.namelist() == ["doejane_101_9_hw-2.html", "roe_LATE_102_9_hw.html"]
        assert b"3 of 10 points" in archive.read("doejane_101_9_hw-2.html")
    with pytest.raises(TableError, match="no column 'Nothing'"):
        gradebook.canvas(records, grades, tmp_path / "export.csv", "Nothing", tmp_path / "out")


def test_moodle_gets_its_worksheet_back(tmp_path: Path) -> None:
    records = [record("Jane Doe_77", "Jane Doe_77_assignsubmission_file_", 4)]
    (tmp_path / "worksheet.csv").write_text(
        "\ufeffIdentifier,Full name,Email address,Status,Grade,Maximum grade,Grade can be changed,"
        "Last modified (submission),Last modified (grade),Feedback comments\n"
        "Participant 77,Jane Doe,j@x.example,Submitted,,10.00,Yes,\"Monday, 5 October\",-,\n"
        "Participant 78,Joe Roe,r@x.example,No submission,,10.00,Yes,-,-,\n",
        encoding="utf-8",
    )
    filled = gradebook.moodle(records, graded(tmp_path / "out", records), tmp_path / "worksheet.csv", tmp_path / "out")
    jane, joe = rows(filled.grades)
    assert (jane["Grade"], jane["Feedback comments"]) == ("4", "4 of 10 points.")
    assert (joe["Grade"], joe["Feedback comments"]) == ("", "")
    assert jane["Last modified (submission)"] == "Monday, 5 October"
    assert filled.missing == ["Joe Roe"] and filled.unknown == filled.open == []
    with zipfile.ZipFile(filled.feedback) as archive:
        assert archive.namelist() == ["Jane Doe_77_assignsubmission_file_/feedback.html"]


def test_two_submissions_with_one_number_are_not_mixed_up(tmp_path: Path) -> None:
    records = [record("a_7", "a_7_1_x.ipynb", 1), record("b_7", "b_7_1_x.ipynb", 2)]
    (tmp_path / "worksheet.csv").write_text("Identifier,Grade,Last modified (grade)\nParticipant 7,,-\n")
    with pytest.raises(TableError, match="two submissions"):
        gradebook.moodle(records, graded(tmp_path / "out", records), tmp_path / "worksheet.csv", tmp_path / "out")


def test_gradescope_shows_hidden_checks_when_it_is_told_to() -> None:
    results = gradescope(record("x", "x", 4), hidden={"class_means.values": "after_published"})
    assert [t["visibility"] for t in results["tests"]] == ["after_published"] and results["visibility"] == "visible"
    assert gradescope(record("x", "x", 4))["tests"][0]["visibility"] == "visible"


def test_the_release_carries_the_setting(tmp_path: Path) -> None:
    for published, wanted in ((True, b"after_published"), (False, b"visible")):
        release(LOADED, tmp_path / str(published), b"s" * 32, "none", published=published)
        path = tmp_path / str(published) / "instructor" / f"{LOADED.name}_gradescope.zip"
        with zipfile.ZipFile(path) as archive:
            assert wanted in archive.read("settings.json")
