"""Collect every claim of the chapters' stored outputs into book/evidence.md.

python scripts/build_evidence.py           write the page
python scripts/build_evidence.py --check   only say whether it is up to date (exit code 1 if not)
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "book" / "evidence.md"
HEAD = """# Evidence

Every headline sentence of the course is a *claim*: a sentence with a condition beside it. The condition is checked
each time the chapter runs, by a reader, by `make run` or by `make test`, and a claim that no longer holds stops the
chapter. This page lists them all, with what the stored run showed. Where a paper reports a figure for the same
question, it stands beside ours; it is never part of the condition.

This page is made by `scripts/build_evidence.py` from the outputs stored in the chapters.
"""


def claims_of(path: Path) -> list[dict[str, str | None]]:
    """The claim records in one notebook's stored outputs, in order."""
    notebook = nbformat.read(path, as_version=4)
    outputs = (output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs)
    return [dict(o.metadata["xferkit_claim"]) for o in outputs if "xferkit_claim" in o.get("metadata", {})]


def title_of(path: Path) -> str:
    """The first heading of a notebook."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown" and (match := re.search(r"^# (.+)$", cell.source, re.MULTILINE)):
            return match[1].strip()
    raise ValueError(f"{path.name} has no title: its first Markdown cell must begin with '# '.")


def literal(text: object) -> str:
    """Text for one line of Markdown, with nothing in it read as markup except dollar maths."""
    line = " ".join(str(text).split())
    return re.sub(r"([\\`*_<>\[\]{}|#])", r"\\\1", line)


def build(chapters: list[Path]) -> str:
    """The page's text.

    Raises:
        ValueError: two claims share an id.
    """
    parts = [HEAD]
    seen: dict[str, str] = {}
    for path in chapters:
        claims = claims_of(path)
        if not claims:
            continue
        parts.append(f"## [{title_of(path)}](../chapters/{path.name})\n")
        for claim in claims:
            key = str(claim["id"])
            if key in seen:
                raise ValueError(f"claim id {key!r} stands in {seen[key]} and in {path.name}: ids must be unique.")
            seen[key] = path.name
            lines = [f"`{key}`", f": {literal(claim['statement'])}", "", f"  *Observed:* {literal(claim['observed'])}"]
            if claim.get("paper"):
                source = f" ({literal(claim['source'])})" if claim.get("source") else ""
                lines += ["", f"  *Paper:* {literal(claim['paper'])}{source}"]
            elif claim.get("source"):
                lines += ["", f"  *See:* {literal(claim['source'])}"]
            parts.append("\n".join(lines) + "\n")
    if not seen:
        parts.append("No chapter with claims has been stored yet.\n")
    return "\n".join(parts)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is out of date")
    options = parser.parse_args(arguments)
    text = build(sorted((ROOT / "chapters").glob("[0-9][0-9]_*.ipynb")))
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
