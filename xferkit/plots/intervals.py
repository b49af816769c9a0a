"""Means with their intervals, method beside method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from xferkit.plots.style import MARKERS, axes, colours_for, styled
from xferkit.report.intervals import Interval


@styled
def plot_intervals(
    intervals: Mapping[str, Sequence[Interval]],
    x: Sequence[str],
    *,
    ylabel: str,
    ax: Axes | None = None,
) -> Axes:
    """For each method a mark with its interval over every name in `x`, side by side; a line at 0 where 0 is in reach.

    Args:
        intervals: for each method, one `Interval` a name.
    Raises:
        ValueError: no method, or another number of intervals than of names.
    """
    ax = axes(ax)
    if not intervals:
        raise ValueError("there is no interval to draw.")
    colours = colours_for(intervals)
    for i, (name, row) in enumerate(intervals.items()):
        if len(row) != len(x):
            raise ValueError(f"{name!r} has {len(row)} intervals for {len(x)} names.")
        at = np.arange(len(x)) + 0.13 * (i - (len(intervals) - 1) / 2)
        mean, low, high = (np.array([getattr(each, end) for each in row]) for end in ("mean", "low", "high"))
        ends, marker = [mean - low, high - mean], MARKERS[i % len(MARKERS)]
        ax.errorbar(at, mean, ends, fmt=marker, color=colours[name], label=name, markersize=5, linewidth=1.6)
    if ax.get_ylim()[0] < 0 < ax.get_ylim()[1]:
        ax.axhline(0, color="0.4", linewidth=1)
    ax.set_xticks(range(len(x)), list(x))
    ax.set(ylabel=ylabel)
    ax.legend()
    return ax
