"""Grades for a learning platform: its own export, with the points filled in, and feedback named as it wants it back.

Written after the documentation of Canvas (importing grades from a CSV; uploading a zip of the files that were
downloaded) and of Moodle (offline grading worksheet; feedback files in a zip). Tried on neither.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xfergrade.manual import slug
from xfergrade.outputs import Grade
from xfergrade.records import Record
from xfergrade.tables import Row, TableError, cell, read_table, table, write_text
from xfergrade.text import number


@dataclass(frozen=True)
class Filled:
    """What became of an export: the file, the feedback's zip, who is only on one of the two sides."""

    grades: Path
    feedback: Path
    missing: list[str]  # on the platform, without a grade here
    unknown: list[str]  # graded here, not on the platform
    open: list[str]  # with parts that are not graded yet: left empty


def _canvas_key(record: Record) -> str:
    return record.student.rpartition("_")[2]


def _moodle_key(record: Record) -> str:
    return record.student.rpartition("_")[2]


def canvas(records: Sequence[Record], grades: dict[str, Grade], export: Path, column: str, out: Path) -> Filled:
    """Fill the column of an assignment in an export of Canvas' gradebook.

    Args:
        column: the assignment's column, as in the export: "Assignment 1 (12345)".
    Raises:
        TableError: the export has no such column, or is none.
    """
    columns, rows = read_table(export, ("Student", "ID", "Section", column))
    # The first row below the names says how many points there are; it has no ID.
    people = [row for row in rows if row["ID"].strip()]
    return _fill(records, grades, columns, rows, people, lambda row: row["ID"].strip(), _canvas_key, column, "", out,
                 "canvas", lambda record: f"{Path(record.origin).stem}.html")  # fmt: skip


def moodle(records: Sequence[Record], grades: dict[str, Grade], export: Path, out: Path) -> Filled:
    """Fill grade and feedback into an offline grading worksheet of Moodle's.

    Raises:
        TableError: the export has not the worksheet's columns.
    """
    columns, rows = read_table(export, ("Identifier", "Grade", "Last modified (grade)"))
    said = "Feedback comments" if "Feedback comments" in columns else ""

    def key(row: Row) -> str:
        return re.sub(r"\D", "", row["Identifier"])

    return _fill(records, grades, columns, rows, rows, key, _moodle_key, "Grade", said, out,
                 "moodle", lambda record: f"{record.origin.rstrip('/')}/feedback.html")  # fmt: skip


def _fill(
    records: Sequence[Record],
    grades: dict[str, Grade],
    columns: list[str],
    rows: list[Row],
    people: list[Row],
    key_of_row: Callable[[Row], str],
    key_of_record: Callable[[Record], str],
    column: str,
    said: str,
    out: Path,
    name: str,
    page: Callable[[Record], str],
) -> Filled:
    by_key: dict[str, Record] = {}
    for record in records:
        if key_of_record(record) in by_key:
            raise TableError(f"two submissions have the platform's number {key_of_record(record)!r}.")
        by_key[key_of_record(record)] = record
    seen: set[str] = set()
    missing: list[str] = []
    unfinished: list[str] = []
    for row in people:
        found = by_key.get(key_of_row(row))
        if found is None:
            missing.append(row["Student"] or row["Full name"] or key_of_row(row))
            continue
        seen.add(found.student)
        grade = grades[found.student]
        if grade.open:
            unfinished.append(found.student)
            continue
        row.cells[column] = number(grade.points)
        if said:
            row.cells[said] = cell(f"{number(grade.points)} of {number(grade.out_of)} points. {grade.late}".strip())
    write_text(out / f"{name}.csv", table([columns, *([row[c] for c in columns] for row in rows)]))
    with zipfile.ZipFile(out / f"{name}_feedback.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for record in records:
            if record.student in seen:
                archive.write(out / "feedback" / f"{slug(record.student)}.html", page(record))
    unknown = [r.student for r in records if r.student not in seen]
    return Filled(out / f"{name}.csv", out / f"{name}_feedback.zip", missing, unknown, unfinished)
