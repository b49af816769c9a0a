"""What a run hands out: a table of grades, Gradescope's results.json, a feedback page for each student, an overview.

Everything here comes from the journal and from what was entered by hand, so the same of both gives the same bytes.
Student text is data: escaped in pages, which also forbid scripts, and kept from being read as a formula in tables.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import mean, median
from typing import Any

import jinja2

from xfergrade.assignment import Loaded
from xfergrade.lateness import Policy
from xfergrade.manual import Manual, Part, shown, slug
from xfergrade.records import Record
from xfergrade.tables import cell, table, write_text
from xfergrade.text import cut, number


@dataclass(frozen=True)
class Grade:
    """What a student has in all."""

    parts: dict[str, float | None]  # None: open
    points: float  # of all parts that are graded, less what lateness takes off
    out_of: float
    open: float
    taken_off: float
    late: str  # "" or in words
    looked_at_again: bool  # no answer changed after it had got points


def total(loaded: Loaded, record: Record, manual: Manual, policy: Policy) -> Grade:
    """Machine's and hand's points together, and lateness."""
    parts: dict[str, float | None] = {}
    again = True
    for part in loaded.source.parts:
        if part.manual:
            given = manual.part(record, part.id)
            parts[part.id] = given.points
            again = again and not given.changed
        else:
            own = [v.points for v in record.verdicts if v.part == part.id]
            parts[part.id] = None if record.failure is not None else float(sum(own))
    out_of = sum(p.points for p in loaded.source.parts)
    points = sum(v for v in parts.values() if v is not None)
    taken = policy.taken_off(record.student, record.time, points, out_of)
    by = policy.late_by(record.student, record.time)
    late = f"late by {by}".partition(".")[0] if by else "late" if record.late and not policy.due else ""
    open_points = sum(p.points for p in loaded.source.parts if parts[p.id] is None)
    return Grade(parts, points - taken, out_of, open_points, taken, late, again)


def write_outputs(loaded: Loaded, records: Sequence[Record], out: Path, policy: Policy | None = None) -> Manual:
    """grades.csv, manual.csv, gradescope/STUDENT/results.json and feedback/STUDENT.html.

    Returns: what was entered by hand.

    Raises:
        TableError: manual.csv cannot be read as points and comments. PolicyError: a penalty is no number.
    """
    policy = policy or Policy()
    manual = Manual(loaded, out / "manual.csv")
    manual.update(list(records))
    grades = {r.student: total(loaded, r, manual, policy) for r in records}
    write_text(out / "grades.csv", _grades(loaded, records, grades))
    if any(part.manual for part in loaded.source.parts):
        manual.write(list(records))
    for record in records:
        name = slug(record.student)
        if record.failure is None:  # otherwise there is nothing that could be taken for a zero
            results = json.dumps(gradescope(record, manual), indent=1, sort_keys=True)
            write_text(out / "gradescope" / name / "results.json", results + "\n")
        write_text(out / "feedback" / f"{name}.html", feedback(loaded, record, manual, grades[record.student]))
    return manual


def _grades(loaded: Loaded, records: Sequence[Record], grades: dict[str, Grade]) -> str:
    names = [p.id for p in loaded.source.parts]
    rows: list[list[str]] = [
        ["student", "points", "out_of", "open_points", "late", "taken_off", "submitted", *names, "notes", "feedback"]
    ]
    for record in records:
        grade = grades[record.student]
        said = [*record.notes, *([] if grade.looked_at_again else ["an answer changed after it had got points"])]
        rows.append([
            cell(shown(record.student)), number(grade.points), number(grade.out_of), number(grade.open), grade.late,
            number(grade.taken_off) if grade.taken_off else "", record.submitted or "",
            *("" if v is None else number(v) for v in grade.parts.values()),
            cell(cut(" | ".join(said).replace("\n", " "), 2000)), f"{slug(record.student)}.html",
        ])  # fmt: skip
    return table(rows)


def gradescope(record: Record, manual: Manual | None = None, hidden: dict[str, str] | None = None) -> dict[str, Any]:
    """The record in the form that Gradescope's autograder reads (results.json).

    Args:
        hidden: "visibility" for some checks, by id; the others are visible at once.
    """
    tests: list[dict[str, Any]] = [
        {
            "name": v.check, "score": v.points, "max_score": v.out_of,
            "visibility": (hidden or {}).get(v.check, "visible"),
            "status": "passed" if v.passed else "failed", "output": v.message, "output_format": "text",
        }
        for v in record.verdicts
    ]  # fmt: skip
    for answer in record.answers if manual is not None else ():
        part = manual.part(record, answer.part) if manual is not None else None
        if part is not None and part.points is not None:
            entry = {"name": answer.part, "score": part.points, "max_score": answer.out_of, "visibility": "visible"}
            tests.append({**entry, "output": part.comment, "output_format": "text"})
    said = {"output": "\n".join(record.notes), "output_format": "text"}
    return {"tests": tests, **said, "visibility": "visible", "stdout_visibility": "hidden"}


@cache
def _page() -> jinja2.Template:
    places = jinja2.Environment(
        loader=jinja2.PackageLoader("xfergrade", "files"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    places.filters["points"] = number
    return places.get_template("feedback.html.j2")


def feedback(loaded: Loaded, record: Record, manual: Manual, grade: Grade) -> str:
    """A student's page."""
    parts = []
    for answer in record.answers:
        given: Part = manual.part(record, answer.part)
        has = "not graded yet" if given.points is None else f"{number(given.points)} of {number(answer.out_of)} points"
        items = given.items if any(item.name for item, _ in given.items) else ()
        facts = {"id": answer.part, "grade": has, "comment": given.comment, "changed": given.changed, "rubric": items}
        parts.append({**facts, "text": answer.text, "figures": answer.figures})
    return _page().render(
        title=loaded.spec.title, student=shown(record.student), late=grade.late, failure=record.failure,
        total=grade.points, out_of=grade.out_of, open=grade.open, taken_off=grade.taken_off, auto=record.score,
        auto_out_of=sum(p.points for p in loaded.source.parts if not p.manual), notes=record.notes,
        handed_in=record.handed_in, verdicts=record.verdicts, parts=parts,
    ) + "\n"  # fmt: skip


def overview(loaded: Loaded, records: Sequence[Record]) -> str:
    """The class in a few lines of Markdown: the spread of points, and how many passed each check."""
    graded = [r for r in records if r.failure is None]
    scores = [r.score for r in graded]
    auto = sum(p.points for p in loaded.source.parts if not p.manual)
    lines = [f"# {loaded.spec.title}: {len(records)} submissions", ""]
    if graded:
        lines.append(
            f"Points by machine, out of {number(auto)}: mean {mean(scores):.2f}, median {number(median(scores))}, "
            f"lowest {number(min(scores))}, highest {number(max(scores))}. Late: {sum(r.late for r in records)}."
        )
    failed = [shown(r.student) for r in records if r.failure is not None]
    lines += [f"Not graded yet: {html.escape(', '.join(failed))}."] if failed else []
    lines += ["", "| check | points | passed | most frequent message of the others |", "|---|---|---|---|"]
    for index, check in enumerate(loaded.spec.checks):
        verdicts = [r.verdicts[index] for r in graded]
        passed = sum(v.passed for v in verdicts)
        messages = sorted(v.message for v in verdicts if not v.passed)
        usual = cut(max(sorted(set(messages)), key=messages.count), 160) if messages else ""
        usual = re.sub(r"([\\`*_\[\]|])", r"\\\1", html.escape(usual)).replace("\n", " ")
        lines.append(f"| {check.id} | {number(check.points)} | {passed} of {len(graded)} | {usual} |")
    return "\n".join(lines) + "\n"
