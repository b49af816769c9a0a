"""What a claim tests. Each condition makes its own words, so that a sentence cannot say more than was tested.

    above(gap, 7, over="seeds")                     "more than 7 points in each of 5 seeds"
    above(gap, 7, over="seeds", mean=True)          "more than 7 points on average over 5 seeds"
    above(paired_bootstrap(a, b))                   "more than 0 points (95 % interval)": its lower end is above 0
    below(error, 5, unit="%", over="on folds")      "less than 5 % on each of 4 folds"
    within(ours, theirs, 0.001)                     "within 0.001": the largest difference is not larger
    equal(ours, theirs)                             "exactly equal"
    includes(paired_bootstrap(a, b))                "a 95 % interval that includes 0 points"
    counted(seeds, "seeds")                         "5 seeds"
    true(unmoved, "leaves it unchanged")            its words, which stand beside the code

Values are in the unit that is named: points of a percentage from 0 to 100, not shares. `over` says what several values
are, one name for each axis, with its preposition where "in" does not fit: over=("for sources", "seeds").
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor

from xferkit._numbers import Values, exactly, figures
from xferkit._wording import refuse_numbers

Over: TypeAlias = str | Sequence[str]


@dataclass(frozen=True)
class Condition:
    """One tested condition: its words for the sentence, what was observed, what was asked, and whether it holds."""

    words: str
    observed: str
    margin: str
    holds: bool


def above(
    values: Any,
    margin: float = 0,
    *,
    unit: str = "points",
    over: Over = (),
    mean: bool | str = False,
    than: Any = None,
) -> Condition:
    """Every value (or their mean, or the lower end of an interval) is larger than the margin.

    Args:
        values: a number, an array, an `Interval`, several of them, or a dict of any of these by name.
        margin: in the same unit; fixed before the final run.
        over: what the values are, such as "seeds": one name for each axis.
        mean: test the mean over all axes, or over the one that is named.
        than: tested is by how much `values` exceed these, of the same shape.
    Raises:
        ValueError: NaN, no value, names that do not fit the axes, or a number in the words.
    """
    return _compare(values, margin, 1, unit, over, mean, than)


def below(
    values: Any,
    margin: float,
    *,
    unit: str = "points",
    over: Over = (),
    mean: bool | str = False,
    than: Any = None,
) -> Condition:
    """Every value (or their mean, or the upper end of an interval) is smaller than the margin. See `above`."""
    return _compare(values, margin, -1, unit, over, mean, than)


def _compare(values: Any, margin: float, sign: int, unit: str, over: Over, mean: bool | str, than: Any) -> Condition:
    found, against = Values.of(values, over), ""
    if than is not None:
        other = Values.of(than, (), named=False)
        against = f"{figures(found.middle.mean())} against {figures(other.middle.mean())}; difference "
        found = found.minus(other)
    found = found.averaged(mean)
    worst = float(found.low.min() if sign > 0 else found.high.max())
    asked = f"{'more' if sign > 0 else 'less'} than {_with_unit(margin, unit)}"
    holds = bool(sign * (worst - margin) > 0)
    spare = f"{figures(abs(worst - margin))} {'to spare' if holds else 'missing'}"
    return Condition(
        words=_join(asked, found.where, found.kind(several="(95 % intervals)")),
        observed=against + found.shown(unit, "least" if sign > 0 else "greatest", sign, margin),
        margin=f"{asked} ({spare})",
        holds=holds,
    )


def within(a: Any, b: Any, tolerance: float, *, unit: str = "", over: Over = ()) -> Condition:
    """No value of a differs from its partner in b by more than the tolerance.

    Args:
        a, b: numbers or arrays of one shape, or one number for all.
    Raises:
        ValueError: shapes that do not fit, NaN, no value, or a negative tolerance.
    """
    if tolerance < 0:
        raise ValueError(f"tolerance={tolerance} must not be negative.")
    first = Values.of(a, over, named=False)
    gap = np.abs(first.minus(Values.of(b, (), named=False)).middle)
    holds, largest = bool(gap.max() <= tolerance), float(gap.max())
    asked = f"within {_with_unit(tolerance, unit)}"
    count = f" of {gap.size:,} values" if gap.size > 1 else ""
    spare = f"{figures(abs(tolerance - largest))} {'to spare' if holds else 'missing'}"
    observed = f"largest difference {figures(largest)}{count}"
    return Condition(_join(asked, first.where), observed, f"{asked} ({spare})", holds)


def equal(a: Any, b: Any, *, over: Over = ()) -> Condition:
    """Both are exactly equal: numbers, arrays, texts, or several of them.

    Raises:
        ValueError: names in `over` that do not fit the axes.
    """
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if set(a) != set(b):
            raise ValueError(f"equal compares {sorted(a)} with {sorted(b)}: the names must agree.")
        b = [b[name] for name in a]
    first, second = (_listed(v) for v in (a, b))
    if first.shape != second.shape:
        raise ValueError(f"equal compares the shape {first.shape} with {second.shape}.")
    alike = first == second
    different = f"{int((~alike).sum()):,} of {alike.size:,} differ" if alike.size > 1 else f"{b!r}"
    shown = ", ".join(f"{v:,}" if isinstance(v, int) else str(v) for v in first.ravel().tolist()[:10])
    shown = shown if first.size <= 10 else f"{first.size:,} values"
    where = Values.phrase(first.shape, over) if over else ""
    holds = bool(alike.all())
    return Condition(
        _join("exactly equal", where), shown if holds else f"{shown} against {different}", "exactly equal", holds
    )


def includes(intervals: Any, value: float = 0, *, unit: str = "points", over: Over = ()) -> Condition:
    """The interval, or each of several, includes the value: a difference that is not settled.

    Raises:
        ValueError: these are no intervals.
    """
    found = Values.of(intervals, over)
    if not found.level:
        raise ValueError("includes tests intervals: give what xk.report.interval or paired_bootstrap returned.")
    holds = bool(((found.low <= value) & (value <= found.high)).all())
    several = found.middle.size > 1
    percent = f"{100 * found.level:g} %"
    core = f"{percent} intervals that include" if several else f"a {percent} interval that includes"
    asked = f"{core} {_with_unit(value, unit)}"
    nearest = float(np.minimum(found.high - value, value - found.low).min())
    spare = f"the nearest end is {figures(abs(nearest))} {'away' if nearest >= 0 else 'on the other side'}"
    return Condition(_join(asked, found.where), found.shown(unit), f"{asked} ({spare})", holds)


def counted(n: Any, what: str = "") -> Condition:
    """A number that is only named, from the value itself: "5 seeds". Of a collection, how many it has.

    Args:
        what: what is counted, or a pattern: counted(56, "{}-layer"), counted(6.0, "λ = {}").
    Raises:
        ValueError: NaN, or a number in the words.
    """
    refuse_numbers(what.replace("{}", "").replace("%", ""), "counted")
    value = n if np.ndim(n) == 0 and not isinstance(n, Mapping | set | frozenset | range) else len(n)
    number = exactly(float(value))
    words = what.replace("{}", number) if "{}" in what else _with_unit(float(value), what)
    return Condition(words, "", "", True)


def true(holds: object, words: str, *, seen: str = "") -> Condition:
    """The last resort, for what has no number: a truth value, and words that say just what it tests.

    Args:
        seen: what the run showed, made from its values.
    Raises:
        TypeError: no truth value: True, False, or an array or tensor that holds just one.
        ValueError: a number in the words.
    """
    refuse_numbers(words, "true", quantifiers=False)
    return Condition(words, seen, "", _truth(holds))


def _truth(holds: object) -> bool:
    if isinstance(holds, Tensor | np.ndarray | np.generic) and holds.ndim == 0:
        holds = holds.item()
    if isinstance(holds, bool):
        return holds
    advice = "Write the comparison out, such as gap < 0.01."
    if isinstance(holds, list | tuple):
        advice = "Reduce it to one truth value, with all(…) or any(…)."
    elif isinstance(holds, Tensor | np.ndarray):
        advice = f"Its shape is {tuple(holds.shape)}: reduce it to one truth value, with .all() or .any()."
    raise TypeError(f"true(…) needs True or False, not {type(holds).__name__}. {advice}")


def _listed(value: Any) -> np.ndarray:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    return np.asarray(value)


def _with_unit(value: float, unit: str) -> str:
    refuse_numbers(unit.replace("%", ""), "unit")
    if value == 1:  # of "labels a class" the first plural: it is what is counted
        unit = re.sub(r"\b(?:(\w+ss)es|(\w*[^\Ws])s)\b", lambda found: found[1] or found[2], unit, count=1)
    return f"{exactly(value)} {unit}".strip()


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)
