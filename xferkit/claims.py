"""A sentence, and the condition under which it may stand in the book."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

import numpy as np
from torch import Tensor

from xferkit._display import show


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
    id: str,
    statement: str,
    *,
    observed: object,
    holds: bool | np.bool_ | np.ndarray | Tensor,
    paper: str | None = None,
    source: str | None = None,
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
        TypeError: `holds` is not one truth value: True, False, or an array or tensor that holds just one.
        ValueError: the id is not made of lower-case words joined by hyphens.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", id):
        raise ValueError(f"claim id {id!r}: use lower-case letters, digits and hyphens, such as 'dann-closes-gap'.")
    record = Claim(id, statement, readable(observed), paper, source)
    if not _truth(holds, id):
        raise ClaimError(
            f"Claim {id} does not hold in this run.\n  Statement: {statement}\n  Observed:  {observed}\n"
            "The book must not say this. Look for the cause; if the result stands, change the sentence."
        )
    show(f"claim {id} holds: {statement}", f"✓ **{id}** · {statement}", {"xferkit_claim": asdict(record)})
    return record


def _truth(holds: object, id: str) -> bool:
    if isinstance(holds, Tensor | np.ndarray | np.generic) and holds.ndim == 0:
        holds = holds.item()
    if isinstance(holds, bool):
        return holds
    advice = "Write the comparison out, such as gap < 0.01."
    if isinstance(holds, list | tuple):
        advice = "Reduce it to one truth value, with all(…) or any(…)."
    elif isinstance(holds, Tensor | np.ndarray):
        advice = f"Its shape is {tuple(holds.shape)}: reduce it to one truth value, with .all() or .any()."
    raise TypeError(f"claim {id}: holds must be True or False, not {type(holds).__name__}. {advice}")


def readable(observed: object) -> str:
    """Figures as a reader wants them: three digits, and tables of them without Python's brackets."""
    if isinstance(observed, Tensor | np.ndarray | np.generic):
        observed = observed.tolist()
    if isinstance(observed, float):
        return f"{observed:.3g}"
    if isinstance(observed, dict):
        return "; ".join(f"{readable(key)}: {readable(value)}" for key, value in observed.items())
    if isinstance(observed, list | tuple):
        return ", ".join(readable(value) for value in observed)
    return str(observed)
