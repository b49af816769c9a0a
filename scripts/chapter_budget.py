"""Count what a chapter asks of its reader, against the budget that every chapter keeps.

python scripts/chapter_budget.py           print the counts; exit code 1 if a chapter is over and has no ceiling for it
python scripts/chapter_budget.py --lower   lower the ceilings in tests/course/over_budget.toml to today's counts

Chapters that were written before the budget have ceilings of their own, which may only sink. A chapter that keeps the
budget has no line there.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
import tomllib
from pathlib import Path

from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts import chapter_text, run_chapters  # noqa: E402

BUDGET = {"words": 3000, "cells": 30, "lines": 250, "longest": 25, "tables": 6, "claims": 6, "kB": 2000}
# Ceilings are whole steps, so that mending a word does not move one.
STEP = {"words": 50, "lines": 10, "kB": 100}
CEILINGS = ROOT / "tests" / "course" / "over_budget.toml"
HIDDEN = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
MARKDOWN_TABLE = re.compile(r"^\s*\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)+\|?\s*$", re.MULTILINE)


def code_cells(nb: NotebookNode) -> list[NotebookNode]:
    """The chapter's own code: the set-up cell, the same in each, left out."""
    cells = [cell for cell in nb.cells if cell.cell_type == "code"]
    return [cell for cell in cells if run_chapters.SETUP_TAG not in cell.metadata.get("tags", [])]


def lines_of(cell: NotebookNode) -> int:
    return sum(bool(line.strip()) for line in cell.source.splitlines())


def tables_in(nb: NotebookNode) -> int:
    """Tables in the text and in the outputs; a claim's card is none."""
    count = len(MARKDOWN_TABLE.findall(chapter_text.FENCE.sub("", chapter_text.markdown_of(nb))))
    for cell in code_cells(nb):
        for output in cell.outputs:
            if "xferkit_claim" not in output.get("metadata", {}):
                data = output.get("data", {})
                html = "<table" in data.get("text/html", "")
                count += html or bool(MARKDOWN_TABLE.search(data.get("text/markdown", "")))
    return count


def counts(nb: NotebookNode, size: int = 0) -> dict[str, int]:
    """What the budget counts.

    words: of the text before the exercises. cells: of code. lines: of code in sight, empty ones left out. longest: the
    lines of the longest cell, folded cells included. kB: of the file, from its `size` in bytes.
    """
    text = chapter_text.markdown_of(nb)
    cells = code_cells(nb)
    seen = [cell for cell in cells if not HIDDEN & set(cell.metadata.get("tags", []))]
    outputs = [output for cell in cells for output in cell.outputs]
    return {
        "words": chapter_text.prose_words(re.split(r"^## Exercises", text, maxsplit=1, flags=re.MULTILINE)[0]),
        "cells": len(cells),
        "lines": sum(map(lines_of, seen)),
        "longest": max(map(lines_of, cells), default=0),
        "tables": tables_in(nb),
        "claims": sum("xferkit_claim" in output.get("metadata", {}) for output in outputs),
        "kB": -(-size // 1000),
    }


def definitions(nb: NotebookNode) -> dict[str, ast.AST]:
    """Functions and classes that a notebook defines, lambdas with a name included."""
    found: dict[str, ast.AST] = {}
    for cell in code_cells(nb):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found[node.name] = node
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
                found |= {target.id: node.value for target in node.targets if isinstance(target, ast.Name)}
    return found


# Names that draw, print or set out: a function that uses one belongs into xferkit, where all chapters find it.
PRESENTS = {"plt", "ax", "axes", "box", "arrow", "table", "display", "Markdown", "HTML", "print", "rcParams"}


def presenters(nb: NotebookNode) -> list[str]:
    """Functions of a notebook that present (tables, figures, text), and files of results read by hand."""
    found = []
    for name, node in definitions(nb).items():
        used = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        used |= {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute) and part.attr == "table"}
        if PRESENTS & used:
            found.append(f"{name} uses {', '.join(sorted(PRESENTS & used))}")
    source = "\n".join(cell.source for cell in code_cells(nb))
    return found + [f"reads results by hand: {line}" for line in re.findall(r".*\bjson\.loads?\(.*", source)]


def step_up(name: str, count: int) -> int:
    """A count as a ceiling: rounded up to a whole step."""
    return -(-count // STEP.get(name, 1)) * STEP.get(name, 1)


def ceilings() -> dict[str, dict]:
    """The chapters over budget, with their ceilings and the parts that they lack."""
    return tomllib.loads(CEILINGS.read_text(encoding="utf-8")) if CEILINGS.exists() else {}


def owed(nb: NotebookNode, size: int) -> dict[str, object]:
    """The line that a chapter would need in the table of ceilings: empty for one that keeps budget and shape."""
    line: dict[str, object] = {
        name: step_up(name, count) for name, count in counts(nb, size).items() if count > BUDGET[name]
    }
    for name, found in (("parts", chapter_text.missing_parts(nb)), ("presents", presenters(nb))):
        if found:
            line[name] = found
    return line


def as_toml(line: dict[str, object]) -> str:
    """One line of the table of ceilings."""
    return "{ " + ", ".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in line.items()) + " }"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lower", action="store_true", help="lower the ceilings to today's counts")
    options = parser.parse_args(arguments)
    known, over = ceilings(), []
    print(f"{'':<28}" + "".join(f"{name:>9}" for name in BUDGET))
    print(f"{'budget':<28}" + "".join(f"{count:>9,}" for count in BUDGET.values()))
    for path in run_chapters.find_chapters([]):
        nb = run_chapters.read(path)
        found = counts(nb, path.stat().st_size)
        marks = {name: "!" if count > BUDGET[name] else " " for name, count in found.items()}
        print(f"{path.stem:<28}" + "".join(f"{count:>8,}{marks[name]}" for name, count in found.items()))
        line = owed(nb, path.stat().st_size)
        allowed = known.get(path.stem, {})
        over += [f"{path.stem}: {name} {value}" for name, value in line.items() if worse(value, allowed.get(name))]
        if path.stem in known:
            known[path.stem] = {name: value for name, value in line.items() if not worse(value, allowed.get(name))}
    for fault in over:
        print(f"over budget, and no ceiling allows it: {fault}", file=sys.stderr)
    if options.lower:
        head = CEILINGS.read_text(encoding="utf-8").split("\n\n")[0]
        lines = [f"{stem} = {as_toml(line)}" for stem, line in known.items() if line]
        CEILINGS.write_text("\n".join([head, "", *lines]) + "\n", encoding="utf-8", newline="\n")
    return 1 if over else 0


def worse(value: object, ceiling: object) -> bool:
    """Whether a count or a list of faults goes beyond what the table allows."""
    if isinstance(value, int):
        return not isinstance(ceiling, int) or value > ceiling
    allowed = ceiling if isinstance(ceiling, list) else []
    return not set(value) <= set(allowed)  # type: ignore[call-overload]


if __name__ == "__main__":
    sys.exit(main())
