"""Notebooks as data: read from untrusted bytes with every size and type checked; nbgrader's conventions understood."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from xfergrade.pictures import Figure, figures_in
from xfergrade.text import clean_text

MAX_NOTEBOOK, MAX_CELL, MAX_CELLS, MAX_TEXT, MAX_NOTES = 20_000_000, 200_000, 2_000, 20_000, 20
MAX_PARTS = 500_000  # lists and objects in a notebook's JSON: each takes thirty times its size in memory


class NotebookError(ValueError):
    """The file is not a notebook that can be graded; the message says why, for the student."""


@dataclass(frozen=True)
class Cell:
    """One cell that carries a grade_id."""

    id: str
    type: str
    source: str
    figures: tuple[Figure, ...] = ()


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
    notes = shortened(notes, MAX_NOTES)
    return Notebook(tuple(marked), name and clean_text(name, 100), version and clean_text(version, 40), tuple(notes))


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
    return Cell(cell_id, cell["cell_type"], source, figures_in(cell, notes, clean_text(cell_id, 60)))


def shortened(notes: list[str], most: int) -> list[str]:
    """At most so many notes, the last of which says how many there are beyond."""
    if len(notes) <= most:
        return notes
    return [*notes[: most - 1], f"and {len(notes) - most + 1:,} more notes like these."]
