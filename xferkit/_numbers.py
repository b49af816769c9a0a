"""Values that a condition tests: numbers or intervals, with the names of their axes, and how they are shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from xferkit._wording import refuse_numbers
from xferkit.report import Interval

PREPOSITIONS = ("in", "on", "at", "for", "of", "from", "with", "between", "among", "after", "to", "under")
MOST_SHOWN = 10


@dataclass(frozen=True)
class Values:
    """Values of one shape: `low` and `high` are the ends of their intervals, or the values themselves."""

    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray
    level: float | None  # of the intervals; None for plain numbers
    names: tuple[str, ...]  # along the first axis, if it has names
    over: tuple[str, ...]
    where: str = ""  # "in each of 5 seeds"
    each: np.ndarray | None = None  # the values behind a mean

    @classmethod
    def of(cls, values: Any, over: str | Sequence[str], *, named: bool = True) -> Values:
        """Read numbers, arrays, intervals, several of them or a dict of them.

        Raises:
            ValueError: no value, NaN, numbers and intervals together, or names that do not fit the axes.
        """
        names: tuple[str, ...] = ()
        if isinstance(values, Mapping):
            names, values = tuple(map(str, values)), list(values.values())
        level = None
        nested = values if isinstance(values, list | tuple) else [values]
        if any(isinstance(v, Interval) for v in nested):
            if not all(isinstance(v, Interval) for v in nested) or len({v.level for v in nested}) > 1:
                raise ValueError("a condition takes intervals of one level, or numbers, not both together.")
            level = nested[0].level
            ends = np.array([[v.low, v.mean, v.high] for v in nested]).T
            low, middle, high = ends if isinstance(values, list | tuple) else ends[:, 0]
        else:
            low = middle = high = _array(values)
        if not middle.size or not all(np.isfinite(v).all() for v in (low, middle, high)):
            raise ValueError(f"a condition needs finite numbers, but got {values!r}.")
        axes = (over,) if isinstance(over, str) and over else tuple(over)
        where = cls.phrase(middle.shape, axes) if named or axes else ""
        return cls(np.asarray(low), np.asarray(middle), np.asarray(high), level, names, axes, where)

    @staticmethod
    def phrase(shape: tuple[int, ...], over: str | Sequence[str], averaged: Sequence[int] = ()) -> str:
        """ "in each of 5 seeds", or "on average over 5 seeds" for the axes that are averaged.

        Raises:
            ValueError: not one name for each axis, or a number in a name.
        """
        axes = (over,) if isinstance(over, str) else tuple(over)
        if len(axes) != len(shape):
            raise ValueError(
                f"values of the shape {shape} need {len(shape)} names in over=…, such as over='seeds', not {axes!r}: "
                "the sentence says of how many cases it holds."
            )
        parts, means = [], []
        for i, (n, name) in enumerate(zip(shape, axes, strict=True)):
            refuse_numbers(name, "over")
            first, _, rest = name.partition(" ")
            preposition, noun = (first, rest) if rest and first in PREPOSITIONS else ("in", name)
            if i in averaged:
                means.append(f"{n} {noun}")
            else:
                parts.append(f"{preposition} each of {n} {noun}")
        return ", ".join(parts + ([f"on average over {' and '.join(means)}"] if means else []))

    def minus(self, other: Values) -> Values:
        """Differences, pair by pair, or from one number.

        Raises:
            ValueError: intervals, whose difference `paired_bootstrap` gives; other names or another shape.
        """
        if self.level or other.level:
            raise ValueError("the difference of two intervals is none: use xk.report.paired_bootstrap.")
        if other.middle.ndim and other.middle.shape != self.middle.shape or other.names not in ((), self.names):
            raise ValueError(f"compared are {self.middle.shape} with {other.middle.shape} values, in the same order.")
        gap = self.middle - other.middle
        return replace(self, low=gap, middle=gap, high=gap)

    def averaged(self, mean: bool | str) -> Values:
        """The mean over all axes, or over the one that is named.

        Raises:
            ValueError: no such axis, or intervals.
        """
        if mean is False:
            return self
        chosen = [i for i, name in enumerate(self.over) if mean in (True, name)]
        if self.level or not chosen:
            raise ValueError(f"mean={mean!r}: name one axis of numbers in over={self.over!r}, or say True for all.")
        gone = self.middle.mean(tuple(chosen))
        where = self.phrase(self.middle.shape, self.over, chosen)
        return replace(self, low=gone, middle=gone, high=gone, where=where, each=self.middle,
                       names=() if 0 in chosen else self.names)  # fmt: skip

    def kind(self, several: str) -> str:
        if not self.level:
            return ""
        text = several if self.middle.size > 1 else several.replace("intervals", "interval")
        return text.replace("95", f"{100 * self.level:g}")

    def shown(self, unit: str, word: str = "", sign: int = 1, margin: float | None = None) -> str:
        """The values as a reader should see them, with the least favourable one."""
        worst = float(self.low.min() if sign > 0 else self.high.max())
        ends = np.concatenate([self.low.ravel(), self.high.ravel()])
        digits = 1 if unit in ("points", "%") and _decimals(ends) in (1, 2, 3) else _decimals(ends)
        # The digits must show on which side of the margin the least favourable value lies.
        while margin is not None and worst != margin and digits < 12 and round(worst, digits) == round(margin, digits):
            digits += 1
        plain = [figures(v, digits) for v in self.middle.ravel()]
        if self.level:
            limits = zip(self.low.ravel(), self.high.ravel(), strict=True)
            plain = [
                f"{p} [{figures(a, digits)}, {figures(b, digits)}]" for p, (a, b) in zip(plain, limits, strict=True)
            ]
        if self.names and self.middle.ndim == 1:
            plain = [f"{name} {p}" for name, p in zip(self.names, plain, strict=True)]
        if len(plain) > MOST_SHOWN:
            text = f"mean {figures(self.middle.mean(), max(digits, 1))} {unit}".rstrip()
        else:
            text = f"{'; '.join(plain) if self.level else ', '.join(plain)} {unit}".rstrip()
        if word and len(plain) > 1:
            text += f" ({word} {figures(worst, digits)})"
        if self.each is not None:
            text += f" ({figures(self.each.min(), digits)} to {figures(self.each.max(), digits)})"
        return text


def _array(values: Any) -> np.ndarray:
    if isinstance(values, Tensor):
        return values.detach().cpu().double().numpy()
    if isinstance(values, list | tuple):
        values = [_array(v) for v in values]
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"a condition needs numbers, as many in each row, but got {values!r:.80}.") from error


def _decimals(values: np.ndarray) -> int:
    """Three digits for the largest of several values, none for whole numbers."""
    if np.array_equal(values, np.round(values)):
        return 0
    return max(0, 2 - math.floor(math.log10(np.abs(values).max())))


def figures(value: float, decimals: int | None = None) -> str:
    """A number as it is shown: three digits, or as many after the point as asked for."""
    value = float(value)
    if value and abs(value) < 1e-4 and (decimals is None or decimals > 6):
        return f"{value:.1e}".replace("-", "−")
    shown = _decimals(np.array([value])) if decimals is None else decimals
    text = f"{round(value, shown) + 0.0:,.{shown}f}".replace("-", "−")
    return text.rstrip("0").rstrip(".") if decimals is None and "." in text else text


def exactly(value: float) -> str:
    """A number with every digit that it has."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is no number to name.")
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace("-", "−")
    short = f"{value:g}"
    return (short if float(short) == value else repr(value)).replace("-", "−")
