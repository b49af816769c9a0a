"""Means with what they may be trusted for: the deviation over seeds, bootstrap intervals, the share of a gap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from torch import Tensor

from xferkit._checks import check_count, check_same_length

Numbers: TypeAlias = "Sequence[float] | Sequence[Sequence[float]] | np.ndarray | Tensor"
NBSP = "\u00a0"


def mean_sd(values: Numbers, *, percent: bool = False, digits: int = 1) -> str:
    """The mean ± the standard deviation over seeds or folds, as one unbroken word.

    The deviation is that of a sample (divided by n − 1). One value alone has none, so only the value is given.

    Args:
        percent: the values are shares, of which 1 is all, and shown in per cent.
    Raises:
        ValueError: no value, NaN or infinity, or values in more than one dimension.
    """
    v = finite(values, "values", dims=(1,)) * (100 if percent else 1)
    spread = f"{NBSP}±{NBSP}{v.std(ddof=1):.{digits}f}" if len(v) > 1 else ""
    return f"{v.mean():.{digits}f}{spread}".replace("-", "−")


def percent(shares: Numbers, *, digits: int = 1) -> str:
    """`mean_sd` in per cent: "61.2 ± 1.0" of accuracies in [0, 1]."""
    return mean_sd(shares, percent=True, digits=digits)


@dataclass(frozen=True)
class Interval:
    """A mean with the ends of its interval. `f"{x:+.1f}"` gives "+1.2 [−0.3, +2.5]", `x.ends()` the brackets alone."""

    mean: float
    low: float
    high: float
    level: float = 0.95

    @property
    def percent(self) -> Interval:
        """The same in per cent, or in points, for an interval of shares."""
        return Interval(100 * self.mean, 100 * self.low, 100 * self.high, self.level)

    def __neg__(self) -> Interval:
        return Interval(-self.mean, -self.high, -self.low, self.level)

    def ends(self, spec: str = ".1f") -> str:
        return f"[{self.low:{spec}}, {self.high:{spec}}]".replace("-", "−")

    def __format__(self, spec: str) -> str:
        spec = spec or ".1f"
        return f"{self.mean:{spec}}".replace("-", "−") + f" {self.ends(spec)}"

    def __str__(self) -> str:
        return format(self)


def interval(
    values: Numbers,
    *,
    groups: Tensor | np.ndarray | None = None,
    resample: str = "all",
    draws: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The mean of all values with its bootstrap percentile interval (Efron and Tibshirani 1993, chapter 13).

    Whatever was random has to be resampled. For seeds × items both are, independently of each other (Owen 2007, the
    pigeonhole bootstrap); items that belong together, such as variants of one drawing, are drawn as one group.

    Args:
        values: (items,), or (seeds, items) such as right (1) or wrong (0) for every network and test picture.
        groups: (items,) which items are drawn together; each item for itself when left out.
        resample: of seeds × items, "all", "seeds" or "items" alone.
        draws: bootstrap samples.
        level: the share of the samples between the ends.
    Raises:
        ValueError: NaN, fewer than two of what is to be resampled, or groups of another length.
    """
    rows = finite(values, "values", dims=(1, 2))
    if resample not in ("all", "seeds", "items"):
        raise ValueError(f"resample={resample!r}: choose 'all', 'seeds' or 'items'.")
    if rows.ndim == 1 and resample == "seeds":
        raise ValueError("resample='seeds' needs values of seeds × items; one row of values is resampled as it is.")
    if not 0 < level < 1:
        raise ValueError(f"level={level} must lie between 0 and 1, such as 0.95.")
    draws = check_count(draws, what="draws", least=100)
    over_seeds, over_items = rows.ndim == 2 and resample != "items", rows.ndim == 1 or resample != "seeds"
    rows = np.atleast_2d(rows)
    index = group_index(groups, rows.shape[1])
    sums = np.array([np.bincount(index, row) for row in rows])  # (seeds, groups)
    counts = np.bincount(index)  # items in each group
    for resampled, n, name in ((over_seeds, len(sums), "seeds"), (over_items, len(counts), "items or groups")):
        if resampled and n < 2:
            raise ValueError(f"{n} of {name} cannot be resampled: at least two are needed to say how they vary.")
    rng = np.random.default_rng(seed)

    def times(n: int, size: int) -> np.ndarray:
        """How often each of n is drawn, in `size` samples of n with replacement."""
        return rng.multinomial(n, np.full(n, 1 / n), size=size)

    weights = times(len(sums), draws) if over_seeds else np.ones((draws, len(sums)))
    means = np.empty(draws)
    chunk = max(1, 2**22 // len(counts))  # the draws of many items would not fit into memory at once
    for start in range(0, draws, chunk):
        drawn = slice(start, start + chunk)
        part = weights[drawn] @ sums / len(sums)  # (draws, groups)
        picks = times(len(counts), len(part)) if over_items else np.ones(part.shape)
        means[drawn] = (part * picks).sum(1) / (picks @ counts)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(rows.mean()), float(low), float(high), level)


def paired_bootstrap(
    a: Numbers,
    b: Numbers,
    *,
    groups: Tensor | np.ndarray | None = None,
    resample: str = "all",
    draws: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """By how much a exceeds b on the same seeds and the same items, with the interval of that difference.

    Both are judged on the same resampled seeds and items, so that what they have in common cancels. Two networks make
    a pair if one seed gave them the same draw of labels. For the arguments see `interval`.

    Raises:
        ValueError: a and b have different shapes, or as in `interval`.
    """
    first, second = (finite(v, name, dims=(1, 2)) for v, name in ((a, "a"), (b, "b")))
    if first.shape != second.shape:
        raise ValueError(f"a has the shape {first.shape}, b {second.shape}: pairs need the same seeds and items.")
    return interval(first - second, groups=groups, resample=resample, draws=draws, level=level, seed=seed)


def finite(values: Numbers, what: str, *, dims: tuple[int, ...]) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu().double().numpy()
    try:
        array = np.asarray(values, float)
    except ValueError as error:
        raise ValueError(f"{what} are not an array of numbers: every seed needs as many as the others.") from error
    if array.ndim not in dims or array.size == 0:
        allowed = " or ".join({1: "(n,)", 2: "(seeds, items)"}[d] for d in dims)
        raise ValueError(f"{what} must have the shape {allowed} and not be empty, but have {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{int((~np.isfinite(array)).sum())} of {array.size} {what} are NaN or infinite.")
    return array


def group_index(groups: Tensor | np.ndarray | None, n: int) -> np.ndarray:
    if groups is None:
        return np.arange(n)
    array = groups.cpu().numpy() if isinstance(groups, Tensor) else np.asarray(groups)
    if array.ndim != 1:
        raise ValueError(f"groups must have the shape (items,), not {array.shape}.")
    check_same_length(range(n), array, what="items and their groups")
    return np.unique(array, return_inverse=True)[1]


def gap_closed(source_only: float, adapted: float, target_only: float) -> float:
    """The share of the gap between the two bounds that adaptation closes (Ganin et al. 2016, Table 2).

    0 is the source-only bound, 1 the target-only bound; below 0 adaptation did harm.

    Raises:
        ValueError: the bounds leave no gap, or a figure is NaN or infinite.
    """
    if not np.isfinite([source_only, adapted, target_only]).all():
        raise ValueError(f"source {source_only}, adapted {adapted}, target {target_only}: all three must be finite.")
    if target_only <= source_only:
        raise ValueError(f"target-only {target_only} is not above source-only {source_only}: there is no gap to close.")
    return (adapted - source_only) / (target_only - source_only)
