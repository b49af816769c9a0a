"""What a run hands out: a CSV for gradebooks, Gradescope's results.json, a feedback page for each student, an overview.

Everything here comes from the journal, so the same journal gives the same bytes. Student text is data: escaped in
pages, which also forbid scripts, and kept from being read as a formula in tables.
"""

from __future__ import annotations

import csv
import hashlib
import html
import io
import json
import os
import re
from pathlib import Path
from statistics import mean, median
from typing import Any

from xfergrade.checks import Loaded
from xfergrade.compare import clean_text

Record = dict[str, Any]
Manual = dict[tuple[str, str], tuple[float, str]]  # (student, part) → (points, comment)

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #ccc; }}
pre {{ white-space: pre-wrap; background: #f5f5f5; padding: .8rem; }}
pre, td, li {{ overflow-wrap: anywhere; }}
img {{ max-width: 100%; }}
</style></head><body>
{body}
</body></html>
"""


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8", newline="")
    os.replace(partial, path)


def slug(student: str) -> str:
    """A file name for a student, safe on every system and different for different students."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "_", student)[:40].strip("._-")
    return f"{readable}-{hashlib.sha256(student.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def shown(student: str) -> str:
    """A student's name as one line of valid text (a file name may hold any bytes)."""
    return " ".join(clean_text(student, 300).split())


def cell(text: str) -> str:
    """Text for a table, never a formula: spreadsheets run what starts with one of these characters."""
    return "'" + text if text.lstrip()[:1] in tuple("=+-@＝＋－＠") or text[:1] in ("\t", "\r", "\n") else text


def score(record: Record) -> float:
    """The points of the autograded parts."""
    return float(sum(v["points"] for v in record["verdicts"]))


def _table(rows: list[list[Any]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def number(value: float) -> str:
    """Points without a needless fraction."""
    return f"{value:g}"


# -------------------------------------------------------------------------------------------------- manually graded


def read_manual(path: Path) -> Manual:
    """The points that somebody wrote into manual.csv.

    Raises:
        ValueError: an entry is not a number between 0 and the part's points.
    """
    given: Manual = {}
    if path.is_file():
        with open(path, encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                if row["points"].strip():
                    points = float(row["points"].replace(",", "."))
                    if not 0 <= points <= float(row["out_of"]):
                        raise ValueError(
                            f"{path}: {row['student']}, {row['part']}: {points} of {row['out_of']} points."
                        )
                    given[row["id"], row["part"]] = (points, row.get("comment") or "")
    return given


def _manual_table(records: list[Record], manual: Manual) -> str:
    rows: list[list[Any]] = [["id", "student", "part", "out_of", "points", "comment", "text"]]
    for record in records:
        for part in record["manual"]:
            points, comment = manual.get((slug(record["student"]), part["part"]), (None, ""))
            entry = "" if points is None else number(points)
            name = cell(shown(record["student"]))
            text = cell(part["text"][:2000])
            rows.append([slug(record["student"]), name, part["part"], number(part["out_of"]), entry, comment, text])
    return _table(rows)


# ---------------------------------------------------------------------------------------------------------- the files


def write_outputs(loaded: Loaded, records: list[Record], out: Path) -> None:
    """grades.csv, manual.csv, gradescope/STUDENT/results.json and feedback/STUDENT.html.

    Raises:
        ValueError: manual.csv holds points that cannot be.
    """
    manual = read_manual(out / "manual.csv")
    write_text(out / "grades.csv", _grades(loaded, records, manual))
    if any(part.manual for part in loaded.source.parts):
        write_text(out / "manual.csv", _manual_table(records, manual))
    for record in records:
        name = slug(record["student"])
        results = json.dumps(gradescope(record, manual), indent=1, sort_keys=True)
        write_text(out / "gradescope" / name / "results.json", results + "\n")
        write_text(out / "feedback" / f"{name}.html", feedback(loaded, record, manual))


def _grades(loaded: Loaded, records: list[Record], manual: Manual) -> str:
    parts = loaded.source.parts
    head = ["student", "points", "out_of", "open_points", "late", *(p.id for p in parts), "notes", "feedback"]
    rows: list[list[Any]] = [head]
    for record in records:
        name = slug(record["student"])
        columns, points, open_points = [], 0.0, 0.0
        for part in parts:
            value: float | None = sum(v["points"] for v in record["verdicts"] if v["part"] == part.id)
            if part.manual:
                value = manual.get((name, part.id), (None, ""))[0]
            points += value or 0
            open_points += part.points if value is None else 0
            columns.append("" if value is None else number(value))
        total, late = number(sum(p.points for p in parts)), "late" if record["late"] else ""
        notes = cell(" | ".join(record["notes"]).replace("\n", " ")[:1000])
        rows.append(
            [
                cell(shown(record["student"])),
                number(points),
                total,
                number(open_points),
                late,
                *columns,
                notes,
                f"{name}.html",
            ]
        )
    return _table(rows)


def gradescope(record: Record, manual: Manual) -> dict[str, Any]:
    """The record in the form that Gradescope's autograder reads (results.json)."""
    tests = [
        {
            "name": v["check"], "score": v["points"], "max_score": v["out_of"], "visibility": "visible",
            "status": "passed" if v["passed"] else "failed", "output": v["message"], "output_format": "text",
        }
        for v in record["verdicts"]
    ]  # fmt: skip
    for part in record["manual"]:
        points, comment = manual.get((slug(record["student"]), part["part"]), (None, ""))
        if points is not None:
            entry = {"name": part["part"], "score": points, "max_score": part["out_of"], "visibility": "visible"}
            tests.append({**entry, "output": comment, "output_format": "text"})
    notes = "\n".join(record["notes"])
    return {
        "tests": tests,
        "output": notes,
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
    }


def feedback(loaded: Loaded, record: Record, manual: Manual) -> str:
    """A student's page."""
    e = html.escape
    name = shown(record["student"])
    auto = sum(p.points for p in loaded.source.parts if not p.manual)
    body = [f"<h1>{e(loaded.spec.title)}</h1>", f"<p>{e(name)}{' (late)' if record['late'] else ''}</p>"]
    body.append(
        f"<p><strong>{number(score(record))} of {number(auto)} points</strong> in the parts graded by machine.</p>"
    )
    if record["notes"]:
        body += ["<h2>Notes</h2>", "<ul>", *(f"<li>{e(note)}</li>" for note in record["notes"]), "</ul>"]
    body += ["<h2>Checks</h2>", "<table><tr><th>Check</th><th>Points</th><th>What happened</th></tr>"]
    for v in record["verdicts"]:
        what = "right" if v["passed"] else e(v["message"])
        body.append(
            f"<tr><td>{e(v['check'])}</td><td>{number(v['points'])} / {number(v['out_of'])}</td><td>{what}</td></tr>"
        )
    body.append("</table>")
    for part in record["manual"]:
        points, comment = manual.get((slug(record["student"]), part["part"]), (None, ""))
        grade = "not graded yet" if points is None else f"{number(points)} of {number(part['out_of'])} points"
        body.append(f"<h2>{e(part['part'])}: {grade}</h2>")
        body.append(f"<p>{e(comment)}</p>" if comment else "")
        body.append(f"<pre>{e(part['text'])}</pre>" if part["text"] else "<p>No answer was handed in.</p>")
        body += [
            f'<img alt="Figure {i + 1} handed in for {e(part["part"])}" src="data:image/png;base64,{picture}">'
            for i, picture in enumerate(part["pictures"])
        ]
    return _PAGE.format(title=e(f"{loaded.spec.title}: feedback"), body="\n".join(b for b in body if b))


def overview(loaded: Loaded, records: list[Record]) -> str:
    """The class in a few lines of Markdown: the spread of points, and how many passed each check."""
    scores = [score(r) for r in records]
    auto = sum(p.points for p in loaded.source.parts if not p.manual)
    lines = [f"# {loaded.spec.title}: {len(records)} submissions", ""]
    if records:
        lines.append(
            f"Points by machine, out of {number(auto)}: mean {mean(scores):.2f}, median {number(median(scores))}, "
            f"lowest {number(min(scores))}, highest {number(max(scores))}. Late: {sum(r['late'] for r in records)}."
        )
    lines += ["", "| check | points | passed | most frequent message of the others |", "|---|---|---|---|"]
    for index, check in enumerate(loaded.spec.checks):
        verdicts = [r["verdicts"][index] for r in records]
        passed = sum(v["passed"] for v in verdicts)
        messages = sorted(v["message"] for v in verdicts if not v["passed"])
        usual = max(sorted(set(messages)), key=messages.count)[:160] if messages else ""
        usual = re.sub(r"([\\`*_\[\]|])", r"\\\1", html.escape(usual)).replace("\n", " ")
        lines.append(f"| {check.id} | {number(check.points)} | {passed} of {len(records)} | {usual} |")
    return "\n".join(lines) + "\n"
