"""What a stored chapter must keep to, so that the tests compare all of it: findings in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from nbformat import NotebookNode

from scripts.comparing import pieces, texts_of

VARIES = "varies"  # the tag of cells whose output no two runs share: versions, threads, times
SWITCHES = re.compile(
    r"^\s*#+\s*(NBVAL_SKIP|NBVAL_IGNORE_OUTPUT|NBVAL_RAISES_EXCEPTION|PYTEST_VALIDATE_IGNORE_OUTPUT)\b", re.MULTILINE
)
SWITCH_TAGS = {"nbval-skip", "nbval-ignore-output", "nbval-raises-exception", "raises-exception"}
WORTH = 0.25  # a tolerance is at most this share of the largest number that it is for
ORDER = 0.25  # and of each number in powers of ten, which says an order of magnitude
TYPED = re.compile(r"\bholds\s*=")
CLAIM = re.compile(r"\bclaim\(")
SHOWN = {"xferkit_claim": ("id", "statement", "observed", "margin"), "xferkit_test": ("domain", "question")}
READING = re.compile(r"\b(?:final_test|read_test_labels)\(")


def findings(nb: NotebookNode) -> list[str]:
    """All of them, with the beginning of the cell that each is about."""
    found = []
    for cell in nb.cells:
        if cell.cell_type == "code":
            head = next((line for line in cell.source.splitlines() if line.strip()), "")[:50]
            found += [f"{what}: {head}" for what in _of_cell(cell)]
    return found


def _of_cell(cell: NotebookNode) -> Iterator[str]:
    tags = set(cell.metadata.get("tags", []))
    records = {kind: [o.metadata[kind] for o in cell.outputs if kind in o.get("metadata", {})] for kind in SHOWN}
    if SWITCHES.search(cell.source) or tags & SWITCH_TAGS:
        yield "nbval is told to look away"
    if VARIES in tags and (any(records.values()) or CLAIM.search(cell.source)):
        yield "a claim, or a reading of test labels, stands in a cell that is not compared"
    if TYPED.search(cell.source) and CLAIM.search(cell.source):
        yield "a claim whose sentence is typed beside its condition"
    if CLAIM.search(cell.source) and not records["xferkit_claim"]:
        yield "a claim without a card in the stored output"
    if READING.search(cell.source) and not records["xferkit_test"]:
        yield "a reading of test labels without its line in the stored output"
    for output in cell.outputs:
        for kind, fields in SHOWN.items():
            record = output.get("metadata", {}).get(kind, {})
            shown = output.get("data", {}).get("text/plain", "")
            if any(str(record.get(field) or "") not in shown for field in fields):
                yield "what is shown of a claim is not what is recorded"
    yield from _worthless(cell, cell.metadata.get("xferkit", {}).get("tolerance", {}))


def _worthless(cell: NotebookNode, tolerance: dict[str, float]) -> Iterator[str]:
    """A tolerance that would let almost anything pass: such a number belongs into results/."""
    numbers = [n for texts in texts_of(cell.outputs) for text in texts.values() for n in pieces(text)[1]]
    for kind, allowed in tolerance.items():
        largest = max((abs(n.value) for n in numbers if n.kind == kind), default=0.0)
        limit: Any = ORDER if kind == "e" else WORTH * largest
        if allowed > limit:
            yield f"a tolerance of {allowed:g} for numbers up to {largest:g}"
