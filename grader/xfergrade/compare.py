"""How an answer is compared with the expected one: outside the sandbox, on plain data, with messages that teach."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from xfergrade import wire
from xfergrade.spec import Compare
from xfergrade.text import clean_text

_KINDS = {"b": "booleans", "i": "integers", "u": "integers", "f": "floating-point numbers", "c": "complex numbers"}


@dataclass(frozen=True)
class Close:
    """Right where structure, shape and kind agree and every number does: |got − expected| ≤ atol + rtol·|expected|."""

    rtol: float = 1e-5
    atol: float = 1e-6

    def __call__(self, expected: Any, got: Any, args: tuple[Any, ...]) -> str | None:
        return difference(expected, got, "the result", self.rtol, self.atol)


@dataclass(frozen=True)
class Equal:
    """Right where everything agrees exactly: for indices, strings, counts and structure."""

    def __call__(self, expected: Any, got: Any, args: tuple[Any, ...]) -> str | None:
        return difference(expected, got, "the result", 0, 0)


@dataclass(frozen=True)
class Accuracy:
    """Right where at least this share of predicted labels (N,) equals the truth (N,)."""

    at_least: float

    def __call__(self, expected: Any, got: Any, args: tuple[Any, ...]) -> str | None:
        truth, labels = np.asarray(wire.plain(expected)), wire.plain(got)
        if not isinstance(labels, np.ndarray) or labels.shape != truth.shape or labels.dtype.kind not in "iu":
            return f"expected one integer label for each row, shape {truth.shape}; got {describe(got)}."
        accuracy = float((labels == truth).mean())
        if accuracy >= self.at_least:
            return None
        return f"{accuracy:.1%} of the labels are right; this check asks for {self.at_least:.1%}."


BUILT_IN: dict[str, type[Close] | type[Equal] | type[Accuracy]] = {"Close": Close, "Equal": Equal, "Accuracy": Accuracy}


def to_json(compare: Compare) -> dict[str, Any]:
    """A built-in comparison as data, for a student's bundle.

    Raises:
        ValueError: it is a function of the assignment's own, which students do not get.
    """
    if not isinstance(compare, Close | Equal | Accuracy):
        raise ValueError("a visible check compares by Close, Equal or Accuracy; other functions serve hidden checks.")
    return {"name": type(compare).__name__, **asdict(compare)}


def from_json(data: dict[str, Any]) -> Compare:
    """The comparison that `to_json` wrote."""
    options = {k: float(v) for k, v in data.items() if k != "name"}
    return BUILT_IN[data["name"]](**options)


def describe(value: Any) -> str:
    """A value in words: its type, shape and dtype."""
    if isinstance(value, wire.TorchArray):
        return f"a torch tensor of shape {value.array.shape}, {value.array.dtype}"
    if isinstance(value, np.ndarray):
        return f"a NumPy array of shape {value.shape}, {value.dtype}"
    if value is None:
        return "None (is a `return` missing?)"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, dict):
        return f"a dict with the keys {clean_text(', '.join(sorted(value)), 200) or '(none)'}"
    return f"{clean_text(repr(value), 60)} ({type(value).__name__})"


def difference(expected: Any, got: Any, what: str, rtol: float, atol: float) -> str | None:
    """The first difference between two values in words, or None. The expected numbers themselves are not told."""
    if isinstance(expected, dict):
        if not isinstance(got, dict) or set(got) != set(expected):
            return f"{what} should be {describe(expected)}; it is {describe(got)}."
        pairs = [(expected[k], got[k], f"{what}, key {k!r}") for k in expected]
    elif isinstance(expected, list | tuple):
        if not isinstance(got, list | tuple) or len(got) != len(expected):
            return f"{what} should be {describe(expected)}; it is {describe(got)}."
        pairs = [(e, g, f"{what}, item {i}") for i, (e, g) in enumerate(zip(expected, got, strict=True))]
    else:
        return _leaf_difference(expected, got, what, rtol, atol)
    for e, g, name in pairs:
        message = difference(e, g, name, rtol, atol)
        if message is not None:
            return message
    return None


def _leaf_difference(expected: Any, got: Any, what: str, rtol: float, atol: float) -> str | None:
    if expected is None or isinstance(expected, str):
        same = type(got) is type(expected) and got == expected
        return None if same else f"{what} should be {describe(expected)}; it is {describe(got)}."
    e, g = np.asarray(wire.plain(expected)), wire.plain(got)
    if g is None or isinstance(g, str | list | tuple | dict):
        return f"{what} should be {describe(expected)}; it is {describe(got)}."
    g = np.asarray(g)
    if e.ndim and isinstance(expected, wire.TorchArray) != isinstance(got, wire.TorchArray):
        return f"{what} should be {describe(expected)}; it is {describe(got)}. Both libraries have a way to convert."
    if g.shape != e.shape:
        return f"{what} should have shape {e.shape}; it has shape {g.shape}."
    groups = {"i": "n", "u": "n", "f": "f", "c": "c", "b": "b"}
    scalars_mix = e.ndim == 0 and {e.dtype.kind, g.dtype.kind} <= set("iuf")
    if groups[e.dtype.kind] != groups[g.dtype.kind] and not scalars_mix:
        return f"{what} should hold {_KINDS[e.dtype.kind]}; it holds {_KINDS[g.dtype.kind]} ({g.dtype})."
    if e.dtype.kind in "fc" and np.isfinite(e).all() and not np.isfinite(g).all():
        return f"{what} has {int((~np.isfinite(g)).sum())} values that are infinite or not a number."
    with np.errstate(all="ignore"):
        wrong = ~np.isclose(g, e, rtol=rtol, atol=atol, equal_nan=True) if rtol or atol else g != e
    if not wrong.any():
        return None
    if e.ndim == 0:
        return f"{what} is {describe(g.item())}, which is not the right value."
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    count = f"{int(wrong.sum())} of {e.size}"
    return f"{what} has the right shape {e.shape}, but {count} values are wrong, the first at {first}."
