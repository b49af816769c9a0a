"""A sentence, and the condition under which it may stand in the book."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Claim:
    """One checked sentence: what the chapter says, what the run showed, what the paper reports."""

    id: str
    statement: str
    observed: str
    paper: str | None = None
    source: str | None = None

    def _ipython_display_(self) -> None:
        """Nothing more, as a cell's last value: `claim` has shown the sentence, and nbval compares just that."""


class ClaimError(AssertionError):
    """A sentence of the book that this run does not bear out."""


def claim(
    id: str, statement: str, *, observed: object, holds: bool, paper: str | None = None, source: str | None = None
) -> Claim:
    """State a result, and stop the notebook if the run does not bear it out.

    What is shown is the same on every machine, so that nbval can compare it. What was observed goes into the output's
    metadata, from which the evidence page is made.

    Args:
        id: short and unique in the course, such as "dann-closes-gap".
        statement: one sentence about *our* run, with the margin that the seeds justify.
        observed: the figures behind it, as the reader should see them on the evidence page.
        holds: the condition, written out in the call.
        paper: what the paper reports, if anything. It is stored beside ours and never asserted.
        source: where the paper reports it, with table or section.
    Raises:
        ClaimError: `holds` is false.
        TypeError: `holds` is not a truth value (a tensor or array of several values, say).
        ValueError: the id is not made of lower-case words joined by hyphens.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", id):
        raise ValueError(f"claim id {id!r}: use lower-case letters, digits and hyphens, such as 'dann-closes-gap'.")
    if type(holds).__name__ not in ("bool", "bool_"):
        raise TypeError(f"claim {id}: holds must be True or False, not {type(holds).__name__}. Reduce it with all().")
    record = Claim(id, statement, readable(observed), paper, source)
    if not holds:
        raise ClaimError(
            f"Claim {id} does not hold in this run.\n  Statement: {statement}\n  Observed:  {observed}\n"
            "The book must not say this. Look for the cause; if the result stands, change the sentence."
        )
    _show(record)
    return record


def readable(observed: object) -> str:
    """Figures as a reader wants them: three digits, and tables of them without Python's brackets."""
    if isinstance(observed, float):
        return f"{observed:.3g}"
    if isinstance(observed, dict):
        return "; ".join(f"{readable(key)}: {readable(value)}" for key, value in observed.items())
    if isinstance(observed, list | tuple):
        return ", ".join(readable(value) for value in observed)
    return str(observed)


def _show(record: Claim) -> None:
    text = f"claim {record.id} holds: {record.statement}"
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        print(text)
        return
    if get_ipython() is None:
        print(text)
        return
    bundle = {"text/plain": text, "text/markdown": f"✓ **{record.id}** · {record.statement}"}
    display(bundle, raw=True, metadata={"xferkit_claim": asdict(record)})
