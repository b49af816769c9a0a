"""Collect every claim and every reading of test labels from the chapters' stored outputs into book/evidence.md.

python scripts/build_evidence.py           write the page
python scripts/build_evidence.py --check   only say whether it is up to date (exit code 1 if not)
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat

from xferkit._display import literal
from xferkit.report import markdown_table

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "book" / "evidence.md"
HEAD = """# Evidence

Every headline sentence of the course is a *claim*: its numbers are made from the condition beside it. The condition is
tested each time the chapter runs, by a reader, by `make run` or by `make test`, and a claim that no longer holds stops
the chapter. This page lists them all, with what the stored run showed and how much of the margin was to spare. Where a
paper reports a figure for the same question, it stands beside ours; it is never part of the condition.

At the end stands how often the labels of each test part were read, by whom and for which question.

This page is made by `scripts/build_evidence.py` from the outputs stored in the chapters and from `results/`.
"""
READINGS = """## Readings of test labels

Each line is one reading: a call of `xferkit.final_test`, or of `read_test_labels` for what is no network. The more
often a test part is read, the less its figures are worth. A chapter's reading happens again with each of its runs, and
counts once.
"""
FIELDS = (("observed", "Observed here"), ("margin", "Margin"))


def records_of(path: Path, kind: str) -> list[dict[str, Any]]:
    """The records of one kind, "claim" or "test", in a notebook's stored outputs, in order."""
    notebook = nbformat.read(path, as_version=4)
    outputs = (output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs)
    return [dict(o.metadata[f"xferkit_{kind}"]) for o in outputs if f"xferkit_{kind}" in o.get("metadata", {})]


def title_of(path: Path) -> str:
    """The first heading of a notebook."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown" and (match := re.search(r"^# (.+)$", cell.source, re.MULTILINE)):
            return match[1].strip()
    raise ValueError(f"{path.name} has no title: its first Markdown cell must begin with '# '.")


def entry(claim: dict[str, Any], chapter: Path) -> str:
    """One claim, under an anchor of its own. Its id leads back to the card; the book adds the place in the chapter."""
    lines = [f'<a id="claim-{claim["id"]}"></a>[{claim["id"]}](../chapters/{chapter.name})']
    lines += [f": {literal(claim['statement'])}", ""]
    found = [(name, literal(claim[field])) for field, name in FIELDS if claim.get(field)]
    if claim.get("paper"):
        found.append(("Paper", literal(claim["paper"]) + (f" ({literal(claim['source'])})" if claim["source"] else "")))
    elif claim.get("source"):
        found.append(("See", literal(claim["source"])))
    lines.append("  " + "\\\n  ".join(f"*{name}:* {text}" for name, text in found))
    return "\n".join(lines) + "\n"


def readings(chapters: list[Path], files: list[Path]) -> str:
    """The table of all readings of test labels, by test part."""
    rows = []
    for path in chapters:
        for r in records_of(path, "test"):
            by = f"[{title_of(path)}](../chapters/{path.name})"
            rows.append((r["domain"], f"{r['pictures']:,}", r["networks"] or "–", by, literal(r["question"])))
    for path in files:
        record = json.loads(path.read_text(encoding="utf-8"))
        for domain, table in (record["test"] or {}).items():
            name = str(record["settings"].get(domain, domain)).partition(":")[0]
            networks = sum(len(values) for values in table.values())
            rows.append((name, "–", networks, f"`{record['script']}`", literal(record["question"])))
    rows.sort(key=lambda row: (str(row[0]), str(row[3])))
    counts = Counter(str(row[0]) for row in rows)
    header = ["test part", "readings", "pictures", "networks", "by", "question"]
    lines: list[tuple[object, ...]] = []
    for row in rows:
        first = not lines or lines[-1][-1] != row[0]
        lines.append((literal(row[0]) if first else "", counts[str(row[0])] if first else "", *row[1:], row[0]))
    return READINGS + "\n" + str(markdown_table([line[:-1] for line in lines], header)) + "\n" if lines else ""


def build(chapters: list[Path], files: Sequence[Path] = ()) -> str:
    """The page's text.

    Raises:
        ValueError: two claims share an id.
    """
    parts = [HEAD]
    seen: dict[str, str] = {}
    for path in chapters:
        claims = records_of(path, "claim")
        if not claims:
            continue
        parts.append(f"## [{title_of(path)}](../chapters/{path.name})\n")
        for claim in claims:
            key = str(claim["id"])
            if key in seen:
                raise ValueError(f"claim id {key!r} stands in {seen[key]} and in {path.name}: ids must be unique.")
            seen[key] = path.name
            parts.append(entry(claim, path))
    if not seen:
        parts.append("No chapter with claims has been stored yet.\n")
    if table := readings(chapters, list(files)):
        parts.append(table)
    return "\n".join(parts)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is out of date")
    options = parser.parse_args(arguments)
    chapters = sorted((ROOT / "chapters").glob("[0-9][0-9]_*.ipynb"))
    text = build(chapters, sorted((ROOT / "results").glob("*.json")))
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        print("book/evidence.md is up to date.")
        return 0
    if options.check:
        print("book/evidence.md is out of date: run python scripts/build_evidence.py")
        return 1
    PAGE.write_text(text, encoding="utf-8", newline="\n")
    print("book/evidence.md written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
