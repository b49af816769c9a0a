"""Claims whose sentence and observation are typed beside their condition: for chapters that are not rewritten yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from xferkit._display import show


@dataclass(frozen=True)
class TypedClaim:
    id: str

    def _ipython_display_(self) -> None: ...


def typed_claim(id: str, statement: str, *, observed: object, holds: Any, paper: str | None, source: str | None) -> Any:
    if not bool(holds):
        raise AssertionError(f"Claim {id} does not hold in this run.\n  {statement}\n  Observed:  {observed}")
    record = {"id": id, "statement": statement, "observed": readable(observed), "paper": paper, "source": source}
    show(f"claim {id} holds: {statement}", f"✓ **{id}** · {statement}", {"xferkit_claim": record})
    return TypedClaim(id)


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
