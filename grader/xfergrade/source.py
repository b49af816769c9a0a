"""The instructor's side of a notebook: parts and points, solutions and stubs, and what varies with the secret."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xfergrade.notebook import Notebook, NotebookError

SOLUTION = ("### BEGIN SOLUTION", "### END SOLUTION")
HIDDEN = ("### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS")
RELEASE_SEED = re.compile(r"^(\w+ = )\d+(\s*### RELEASE SEED)$", re.MULTILINE)
# "… largest …  ### VARIANT tie: largest | smallest", in Markdown "<!-- VARIANT tie: largest | smallest -->".
VARIANT = re.compile(r"^(.*?)[ ]*(?:### VARIANT (\w+): (.+)|<!-- VARIANT (\w+): (.+) -->)$", re.MULTILINE)


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


def read_source(path: Path, choose: Callable[[str, int], int] = lambda name, count: 0) -> Source:
    """A source notebook with nbgrader metadata.

    Args:
        choose: (name, number of options) -> which option a variant takes; the first where nothing is said.
    Raises:
        NotebookError: two cells share a grade_id, a graded cell has no points, or a variant is not where it says.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        cell["source"] = with_variants(cell_text(cell), choose)
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


def with_variants(text: str, choose: Callable[[str, int], int]) -> str:
    """The text with one option in every line that has several, and without the marks.

    Raises:
        NotebookError: the first option does not stand exactly once in its line.
    """

    def chosen(line: re.Match[str]) -> str:
        name, listed = line[2] or line[4], line[3] or line[5]
        options = [option.strip() for option in listed.split("|")]
        if line[1].count(options[0]) != 1:
            raise NotebookError(f"VARIANT {name}: {options[0]!r} should stand once in the line {line[1].strip()!r}.")
        return line[1].replace(options[0], options[choose(name, len(options))])

    return VARIANT.sub(chosen, text)


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
