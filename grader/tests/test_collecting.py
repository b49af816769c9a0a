"""Whose work is whose, and when it came, from the folders that platforms hand out."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hostile.cases import ASSIGNMENT, text

from xfergrade import grade
from xfergrade.assignment import load_assignment
from xfergrade.collect import find_uploads
from xfergrade.lateness import (
    Policy,
    PolicyError,
    container_times,
    gradescope_times,
    nbgrader_time,
    parse_time,
    read_policy,
)
from xfergrade.manual import Manual
from xfergrade.outputs import total, write_outputs
from xfergrade.records import Answer, Record, open_journal
from xfergrade.upload import read_upload

NAME = ASSIGNMENT.name
LOADED = load_assignment(ASSIGNMENT)


def students(root: Path, *files: str) -> list[str]:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(text())
    return [u.student for u in find_uploads(root, NAME)]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["jane/00_class_means/x.ipynb"], ["jane"]),  # asked/jane/NAME/x.ipynb: a regrade from nbgrader's folder
        (["jane/work/x.ipynb"], ["jane"]),
        (["jane/00_class_means/x.ipynb", "jane/01_other/y.ipynb"], ["jane"]),
        (["jane/hw.ipynb", "jane/data/y.ipynb"], ["jane"]),
        (["jane/x.ipynb"], ["jane"]),
        (["submitted/jane/00_class_means/x.ipynb"], ["jane"]),
        (["submitted/jane/00_class_means/x.ipynb", "submitted/joe/00_class_means/x.ipynb"], ["jane", "joe"]),
        (["export/assignment_12/jane/x.ipynb"], ["jane"]),
        (["week 3/jane/x.ipynb", "week 3/joe/x.ipynb"], ["jane", "joe"]),
        (["assignment_12_export/submission_7/x.ipynb"], ["submission_7"]),
        (["Jane Doe_77_assignsubmission_file_/a/x.ipynb"], ["Jane Doe_77"]),
        (["Jane Doe_77_assignsubmission_file_/x.ipynb", "Jane Doe_77_assignsubmission_onlinetext_/onlinetext.html",
          "Joe_78_assignsubmission_onlinetext_/onlinetext.html"], ["Jane Doe_77", "Joe_78"]),
    ],
)  # fmt: skip
def test_a_students_folder_is_told_from_the_platforms(tmp_path: Path, files: list[str], expected: list[str]) -> None:
    assert students(tmp_path, *files) == expected


def test_what_nbgrader_and_the_release_put_beside_a_notebook_is_no_clutter(tmp_path: Path) -> None:
    students(tmp_path, "jane/00_class_means/00_class_means.ipynb", "joe/00_class_means/00_class_means.ipynb")
    (tmp_path / "jane" / NAME / "timestamp.txt").write_text("2026-10-05 22:00:00.123456 UTC\n")
    (tmp_path / "jane" / NAME / f"{NAME}.checks").write_bytes(b"x")
    jane, joe = find_uploads(tmp_path, NAME)
    read = read_upload(jane, NAME, "2", frozenset(LOADED.source.stubs))
    assert read.notes == () and read.notebook is not None
    assert read.submitted == datetime(2026, 10, 5, 22, 0, 0, 123456, UTC) and joe.submitted is None


@pytest.mark.parametrize(
    ("written", "time"),
    [
        ("2026-10-05 22:00:00 UTC", datetime(2026, 10, 5, 22, tzinfo=UTC)),
        ("2026-10-05 22:00:00.5 +0200", datetime(2026, 10, 5, 20, 0, 0, 500000, UTC)),
        ("2026-10-05T22:00:00.123456789-07:00", datetime(2026, 10, 6, 5, 0, 0, 123456, UTC)),
        ("2026-10-05 22:00:00.123 Z", datetime(2026, 10, 5, 22, 0, 0, 123000, UTC)),
        ("yesterday", None),
        ("", None),
    ],
)
def test_times_as_platforms_write_them(written: str, time: datetime | None) -> None:
    assert parse_time(written) == time


def test_times_from_gradescopes_metadata(tmp_path: Path) -> None:
    (tmp_path / "submission_metadata.yml").write_text(
        "submission_7:\n  :submitters:\n  - :name: Jané\n    :sid: '1'\n  :created_at: 2026-10-06 01:30:00.5 Z\n"
        "submission_8:\n  :created_at: nonsense\nsubmission_9: 3\n",
        encoding="utf-8",
    )
    students(tmp_path, "submission_7/x.ipynb", "submission_8/x.ipynb")
    found = {u.student: u.submitted for u in find_uploads(tmp_path, NAME)}
    assert found == {"submission_7": datetime(2026, 10, 6, 1, 30, 0, 500000, UTC), "submission_8": None}
    (tmp_path / "bad.yml").write_text("a: [")
    assert gradescope_times(tmp_path / "bad.yml") == gradescope_times(tmp_path / "none.yml") == {}
    facts = {"created_at": "2026-10-06T01:30:00Z", "assignment": {"due_date": "2026-10-05T00:00:00Z"},
             "users": [{"assignment": {"due_date": "2026-10-06T00:00:00Z"}}]}  # fmt: skip
    (tmp_path / "m.json").write_text(json.dumps(facts))
    submitted, due = container_times(tmp_path / "m.json")
    assert submitted is not None and due is not None and submitted - due == timedelta(hours=1, minutes=30)
    assert container_times(tmp_path / "none.json") == (None, None)


def test_a_link_in_the_place_of_a_timestamp_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("2026-10-05 22:00:00 UTC")
    (tmp_path / "timestamp.txt").symlink_to(tmp_path / "secret")
    assert nbgrader_time(tmp_path / "timestamp.txt") is None


POLICY = """
from datetime import timedelta
due = "2026-10-05T23:59+02:00"
extensions = {EXTENSIONS}

def penalty(points, out_of, late):
    days = -(-late // timedelta(days=1))
    return min(0.1 * days, 0.5) * out_of
"""


def late_record(student: str, hours: float) -> Record:
    submitted = datetime(2026, 10, 5, 21, 59, tzinfo=UTC) + timedelta(hours=hours)
    return Record(student, "d", False, (), (), (Answer("discussion", 2, "x"),), submitted=submitted.isoformat())


@pytest.mark.parametrize("extensions", ['{"joe": "2026-10-08T23:59+02:00"}', '"longer.csv"'])
def test_lateness_takes_off_what_the_instructor_says_and_extensions_count(tmp_path: Path, extensions: str) -> None:
    (tmp_path / "policy.py").write_text(POLICY.replace("{EXTENSIONS}", extensions))
    (tmp_path / "longer.csv").write_text("student,due\njoe,2026-10-08T23:59+02:00\n")
    policy = read_policy(tmp_path / "policy.py")
    taken = {
        (who, hours): policy.taken_off(who, late_record(who, hours).time, 8, 10)
        for who in ("jane", "joe") for hours in (-1, 0, 1, 25, 73, 500)
    }  # fmt: skip
    assert [taken["jane", h] for h in (-1, 0, 1, 25, 73, 500)] == pytest.approx([0, 0, 1, 2, 4, 5])
    assert [taken["joe", h] for h in (-1, 0, 1, 25, 73, 500)] == pytest.approx([0, 0, 0, 0, 1, 5])
    assert policy.taken_off("jane", None, 8, 10) == 0, "nobody knows when it came"
    assert policy.taken_off("jane", late_record("jane", 500).time, 3, 10) == 3, "no more than there is"


def test_grades_say_how_late_and_what_it_cost(tmp_path: Path) -> None:
    (tmp_path / "policy.py").write_text(POLICY.replace("{EXTENSIONS}", "{}"))
    policy = read_policy(tmp_path / "policy.py")
    (tmp_path / "manual.csv").write_text("id,part,points\n")
    records = [late_record("jane", 30), replace(late_record("joe", -5), late=True)]
    write_outputs(LOADED, records, tmp_path, policy)
    grades = [total(LOADED, r, Manual(LOADED, tmp_path / "manual.csv"), policy) for r in records]
    assert [g.late for g in grades] == ["late by 1 day, 6:00:00", ""]
    write_outputs(LOADED, records, tmp_path)
    assert total(LOADED, records[1], Manual(LOADED, tmp_path / "none.csv"), Policy()).late == "late"


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ('due = "2026-10-05T23:59"', "with its zone"),
        ("due = 3", "with its zone"),
        ("", "due is None"),
        ('due = "2026-10-05T23:59Z"\nextensions = {"joe": "later"}', "the extension of joe is 'later'"),
    ],
)
def test_a_policy_that_says_nothing_definite_is_refused(tmp_path: Path, written: str, says: str) -> None:
    (tmp_path / "policy.py").write_text(written)
    with pytest.raises(PolicyError, match=says):
        read_policy(tmp_path / "policy.py")


def test_a_penalty_that_is_no_number_is_refused() -> None:
    for wrong in (float("nan"), None, "3", True):
        policy = Policy(datetime(2026, 1, 1, tzinfo=UTC), {}, lambda *_, wrong=wrong: wrong)  # type: ignore[misc]
        with pytest.raises(PolicyError, match="no number"):
            policy.taken_off("jane", datetime(2026, 1, 2, tzinfo=UTC), 5, 10)


def test_a_new_time_of_the_same_work_is_kept_without_grading_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    students(tmp_path / "class", "jane/00_class_means/00_class_means.ipynb")
    (upload,) = find_uploads(tmp_path / "class", NAME)
    digest = read_upload(upload, NAME, "2", frozenset(LOADED.source.stubs)).digest
    with open_journal(tmp_path / "out", LOADED.fingerprint(b"s" * 32)) as journal:
        journal.append(Record("jane", digest, False, (), (), (), origin="jane"))
    (tmp_path / "class" / "jane" / NAME / "timestamp.txt").write_text("2026-10-05 22:00:00 UTC")
    monkeypatch.setattr(grade, "Sandbox", None)  # nothing is run
    (record,) = grade.grade_class(LOADED, tmp_path / "class", tmp_path / "out", b"s" * 32)
    assert record.time == datetime(2026, 10, 5, 22, tzinfo=UTC)
