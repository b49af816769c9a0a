"""Curves over steps or sizes, and bars over methods, with the spread of the seeds in sight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from xferkit.plots.style import MARKERS, PALETTE, axes


def smooth(values: Sequence[float], span: int = 25) -> np.ndarray:
    """A running mean over `span` steps, shorter at the start, so that it has as many points as `values`."""
    total = np.cumsum(np.insert(np.asarray(values, float), 0, 0.0))
    end = np.arange(1, len(values) + 1)
    start = np.maximum(0, end - span)
    return (total[end] - total[start]) / (end - start)


def plot_curves(
    curves: Mapping[str, Sequence[Sequence[float]]],
    x: Sequence[float],
    *,
    xlabel: str,
    ylabel: str,
    log_x: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """One line a method: the mean over seeds, with a band from the lowest to the highest seed.

    Args:
        curves: for each method, seeds × points.
        x: the points' positions.
    Raises:
        ValueError: a curve with another number of points than `x`.
    """
    ax = axes(ax)
    for i, (name, seeds) in enumerate(curves.items()):
        rows = np.atleast_2d(np.asarray(seeds, float))
        if rows.shape[1] != len(x):
            raise ValueError(f"curve {name!r} has {rows.shape[1]} points, x has {len(x)}.")
        colour = PALETTE[i % len(PALETTE)]
        marker = MARKERS[i % len(MARKERS)] if len(x) <= 20 else None
        ax.plot(x, rows.mean(0), color=colour, marker=marker, label=name)
        if len(rows) > 1:
            ax.fill_between(x, rows.min(0), rows.max(0), color=colour, alpha=0.18, linewidth=0)
    if log_x:
        ax.set_xscale("log")
        ax.set_xticks(list(x), [f"{v:g}" for v in x])
        ax.minorticks_off()
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend()
    return ax


def plot_transfer(
    scores: Mapping[str, Sequence[float]],
    *,
    xlabel: str = "accuracy (%)",
    lower: str = "",
    upper: str = "",
    ax: Axes | None = None,
) -> Axes:
    """One row a method: each seed as a dot and the mean as a bar, so that the spread is in sight.

    Args:
        scores: for each method, accuracies in [0, 1], one a seed.
        lower, upper: names of the methods whose means are drawn as dashed bounds (source only and target only, say).
    """
    ax = axes(ax)
    names = list(scores)
    for row, name in enumerate(names):
        values = 100 * np.asarray(scores[name], float)
        colour = PALETTE[row % len(PALETTE)]
        ax.barh(row, values.mean(), color=colour, alpha=0.25, height=0.6)
        ax.plot(values, np.full(len(values), row), "o", color=colour, markersize=5)
        spread = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
        ax.annotate(
            f"{values.mean():.1f}{spread}", (values.max(), row), (7, 0), textcoords="offset points", va="center"
        )
    for bound in (lower, upper):
        if bound:
            ax.axvline(100 * float(np.mean(scores[bound])), linestyle="--", color="0.4", linewidth=1)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set_xlabel(xlabel)
    ax.margins(x=0.14)
    ax.set_xlim(left=0)
    return ax
