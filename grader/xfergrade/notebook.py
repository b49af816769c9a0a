"""Notebooks as data: read from untrusted bytes with every size and type checked; nbgrader's conventions understood."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xfergrade.compare import clean_text

MAX_NOTEBOOK, MAX_CELL, MAX_CELLS, MAX_TEXT, MAX_PICTURE, MAX_PICTURES = 20_000_000, 200_000, 2_000, 20_000, 400_000, 4
MAX_PARTS = 500_000  # lists and objects in a notebook's JSON: each takes thirty times its size in memory
SOLUTION = ("### BEGIN SOLUTION", "### END SOLUTION")
HIDDEN = ("### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS")
RELEASE_SEED = re.compile(r"^(\w+ = )\d+(\s*### RELEASE SEED)$", re.MULTILINE)


class NotebookError(ValueError):
    """The file is not a notebook that can be graded; the message says why, for the student."""


@dataclass(frozen=True)
class Cell:
    """One cell that carries a grade_id."""

    id: str
    type: str
    source: str
    pictures: tuple[str, ...] = ()  # PNG, base64


@dataclass(frozen=True)
class Notebook:
    """What counts of a student's notebook: its marked cells in order, and which assignment it says it is."""

    cells: tuple[Cell, ...]
    assignment: str | None = None
    version: str | None = None
    notes: tuple[str, ...] = ()

    def code(self, cell_id: str) -> str | None:
        """The source of every code cell with this id, one after the other (a copied cell keeps its id)."""
        sources = [c.source for c in self.cells if c.id == cell_id and c.type == "code"]
        return "\n\n".join(sources) if sources else None


def read_notebook(data: bytes) -> Notebook:
    """A student's notebook.

    Raises:
        NotebookError: too large, not JSON, not a notebook, or of a format older than nbformat 4.
    """
    if len(data) > MAX_NOTEBOOK:
        raise NotebookError(f"the file has {len(data):,} bytes; at most {MAX_NOTEBOOK:,} are read.")
    if not data.strip():
        raise NotebookError("the file is empty.")
    if data.count(b"[") + data.count(b"{") > MAX_PARTS:
        raise NotebookError(f"the file has more than {MAX_PARTS:,} lists and objects.")
    try:
        content = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise NotebookError(f"the file is not valid JSON ({type(error).__name__}); it may be cut off.") from None
    if isinstance(content, dict) and "worksheets" in content:
        raise NotebookError("the notebook is in format 3; open it in Jupyter and save it again.")
    cells = content.get("cells") if isinstance(content, dict) else None
    if not isinstance(cells, list):
        raise NotebookError("the file is JSON, but not a notebook: it has no list of cells.")
    notes: list[str] = []
    if len(cells) > MAX_CELLS:
        notes.append(f"the notebook has {len(cells):,} cells; the first {MAX_CELLS:,} were read.")
    marked = [c for c in (_read_cell(cell, notes) for cell in cells[:MAX_CELLS]) if c is not None]
    metadata = content.get("metadata")
    own = metadata.get("xfergrade") if isinstance(metadata, dict) else None
    own = own if isinstance(own, dict) else {}
    name, version = (own.get(k) if isinstance(own.get(k), str) else None for k in ("assignment", "version"))
    return Notebook(
        tuple(marked), name and clean_text(name, 100), version and clean_text(version, 40), tuple(notes[:20])
    )


def _read_cell(cell: Any, notes: list[str]) -> Cell | None:
    metadata = cell.get("metadata") if isinstance(cell, dict) else None
    nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    cell_id = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    if not isinstance(cell_id, str) or cell.get("cell_type") not in ("code", "markdown"):
        return None
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        notes.append(f"the cell {clean_text(cell_id, 60)!r} has no readable text.")
        return None
    if len(source) > MAX_CELL:
        notes.append(f"the cell {clean_text(cell_id, 60)!r} has {len(source):,} characters; it was left out.")
        return None
    source = source.encode("utf-8", "replace").decode()  # JSON can spell half a character, Python cannot compile it
    return Cell(cell_id, cell["cell_type"], source, _pictures(cell.get("outputs")))


def _pictures(outputs: Any) -> tuple[str, ...]:
    """The PNG pictures among a cell's outputs, decoded and encoded again so that nothing else can hide in them."""
    found: list[str] = []
    for output in outputs if isinstance(outputs, list) else ():
        data = output.get("data") if isinstance(output, dict) else None
        png = data.get("image/png") if isinstance(data, dict) else None
        if isinstance(png, str) and len(png) <= MAX_PICTURE and len(found) < MAX_PICTURES:
            try:
                raw = base64.b64decode("".join(png.split()), validate=True)
            except (binascii.Error, ValueError):
                continue
            if raw.startswith(b"\x89PNG\r\n\x1a\n"):
                found.append(base64.b64encode(raw).decode())
    return tuple(found)


# ------------------------------------------------------------------------------------------------- the instructor's


@dataclass(frozen=True)
class Part:
    """A graded cell: an autograded test cell, or a manual part where `manual` is true."""

    id: str
    points: float
    manual: bool


@dataclass(frozen=True)
class Source:
    """An assignment's source notebook."""

    content: dict[str, Any]
    parts: tuple[Part, ...]
    run: tuple[tuple[str, str, bool], ...]  # (grade_id, the source's code, whether the submission's code replaces it)
    stubs: dict[str, str] = field(default_factory=dict)

    def cells(self, submission: Notebook | None = None) -> tuple[tuple[str, str], ...]:
        """The cells to run: the source's own where locked, otherwise the submission's (the solution without one)."""
        chosen: list[tuple[str, str]] = []
        for cell_id, solution, students in self.run:
            code = submission.code(cell_id) if students and submission is not None else solution
            if code is not None:
                chosen.append((cell_id, code))
        return tuple(chosen)


def read_source(path: Path) -> Source:
    """A source notebook with nbgrader metadata.

    Raises:
        NotebookError: two cells share a grade_id, or a graded cell has no points.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    parts: list[Part] = []
    run: list[tuple[str, str, bool]] = []
    stubs: dict[str, str] = {}
    for cell in content["cells"]:
        meta = cell["metadata"].get("nbgrader")
        if meta is None:
            continue
        cell_id, text = meta["grade_id"], cell_text(cell)
        if cell_id in stubs:
            raise NotebookError(f"{path.name}: two cells have the grade_id {cell_id!r}.")
        stubs[cell_id] = student_text(text, cell["cell_type"])
        if meta["grade"]:
            if "points" not in meta:
                raise NotebookError(f"{path.name}: the graded cell {cell_id!r} has no points.")
            parts.append(Part(cell_id, float(meta["points"]), bool(meta["solution"])))
        elif meta["solution"] and cell["cell_type"] == "code":
            run.append((cell_id, text, True))
        elif "grading" in cell["metadata"].get("tags", ()):
            run.append((cell_id, text, False))
    return Source(content, tuple(parts), tuple(run), stubs)


def cell_text(cell: dict[str, Any]) -> str:
    """A cell's source as one string."""
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def without_hidden(text: str) -> str:
    """The text without the lines between the hidden-test marks."""
    return _replace_region(text, HIDDEN, [])


def solution_text(text: str) -> str:
    """The text with its solution, without hidden tests and without the marks."""
    return "\n".join(line for line in without_hidden(text).split("\n") if line.strip() not in SOLUTION)


def student_text(text: str, cell_type: str) -> str:
    """The text as students get it: solutions become stubs, hidden tests go."""
    stub = ["# YOUR CODE HERE", "raise NotImplementedError()"] if cell_type == "code" else ["YOUR ANSWER HERE"]
    return _replace_region(without_hidden(text), SOLUTION, stub)


def _replace_region(text: str, marks: tuple[str, str], replacement: list[str]) -> str:
    lines: list[str] = []
    inside = False
    for line in text.split("\n"):
        if line.strip() == marks[0]:
            if inside:
                raise NotebookError(f"{marks[0]} stands twice without {marks[1]}.")
            inside = True
            indent = line[: len(line) - len(line.lstrip())]
            lines += [indent + r for r in replacement]
        elif line.strip() == marks[1]:
            if not inside:
                raise NotebookError(f"{marks[1]} without {marks[0]}.")
            inside = False
        elif not inside:
            lines.append(line)
    if inside:
        raise NotebookError(f"{marks[0]} without {marks[1]}.")
    return "\n".join(lines).rstrip("\n")
