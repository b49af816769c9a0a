"""Curves over steps or sizes, and bars over methods, with the spread of the seeds in sight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from xferkit._checks import check_count
from xferkit.plots.style import MARKERS, axes, colours_for, styled

Band: TypeAlias = Literal["range", "deviation", "interval"]


def smooth(values: Sequence[float] | np.ndarray, span: int = 25) -> np.ndarray:
    """A running mean over `span` steps, shorter at the start, so that it has as many points as `values`.

    Raises:
        ValueError: NaN or infinity, more than one dimension, or a span below 1.
    """
    v, span = _row(values, "values"), check_count(span, what="span")
    return np.array([v[max(0, end - span) : end].mean() for end in range(1, len(v) + 1)])


@styled
def plot_curves(
    curves: Mapping[str, Sequence[Sequence[float]] | np.ndarray],
    x: Sequence[float] | Sequence[str] | np.ndarray | range,
    *,
    xlabel: str,
    ylabel: str,
    log_x: bool = False,
    log_y: bool = False,
    band: Band | None = "range",
    of: str = "seeds",
    ax: Axes | None = None,
) -> Axes:
    """One line a method: the mean over seeds, with a band that the legend names.

    Methods of the book keep their colour (`colour_of`); the others take those that are left.

    Args:
        curves: for each method, seeds × points.
        x: the points' positions, or their names.
        band: what is shaded, see `plot_band`; None for the mean alone.
        of: what the rows are, such as "folds", for the band's name.
    Raises:
        ValueError: no curve, NaN, another number of points than `x`, or something to be drawn on a logarithmic axis
            that is not positive.
    """
    ax = axes(ax)
    if not curves:
        raise ValueError("there is no curve to draw.")
    rows = {name: _points(values, f"curve {name!r}", len(x)) for name, values in curves.items()}
    named = any(isinstance(place, str) for place in x)
    least = -np.inf if named else _row(x, "x").min()
    if log_x and least <= 0:
        raise ValueError("log_x needs positive numbers in x: there is no place for 0 or a name on a logarithmic axis.")
    if log_y and min(r.min() for r in rows.values()) <= 0:
        raise ValueError("log_y needs positive values: cut them off at a small number, and say so in ylabel.")
    colours = colours_for(rows)
    for i, (name, seeds) in enumerate(rows.items()):
        marker = MARKERS[i % len(MARKERS)] if len(x) <= 20 else None
        # Where two share a colour, the line tells them apart.
        shared = [colours[other] for other in list(rows)[:i]].count(colours[name])
        line = ("-", "--", "-.", ":")[shared % 4]
        ax.plot(x, seeds.mean(0), color=colours[name], marker=marker, linestyle=line, label=name)
        if band and len(seeds) > 1:
            _shade(ax, x, seeds, colours[name], band)
    counts = {len(seeds) for seeds in rows.values() if len(seeds) > 1}
    if band and counts:
        _name_band(ax, band, counts, of)
    if log_x:
        ax.set_xscale("log")
        ax.set_xticks(list(x), [f"{v:g}" for v in x])
        ax.minorticks_off()
    if log_y:
        ax.set_yscale("log")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend()
    return ax


@styled
def plot_band(
    ax: Axes,
    x: Sequence[float] | Sequence[str] | np.ndarray | range,
    rows: Sequence[Sequence[float]] | np.ndarray,
    *,
    colour: str,
    band: Band = "range",
    of: str = "seeds",
) -> str:
    """Shade the spread of seeds × points, and return what the shade is, in words.

    "range" reaches from the lowest to the highest seed, "deviation" one standard deviation to either side of the mean,
    and "interval" is the 95 % interval of the mean by Student's t. The legend names it once, however often it is drawn.

    Raises:
        ValueError: fewer than two seeds, NaN, or another number of points than `x`.
    """
    points = _points(rows, "rows", len(x))
    if len(points) < 2:
        raise ValueError(f"one of {of} has no spread: a band needs at least two rows.")
    _shade(ax, x, points, colour, band)
    return _name_band(ax, band, {len(points)}, of)


@styled
def plot_spread(
    ax: Axes,
    place: float,
    values: Sequence[float] | np.ndarray,
    *,
    colour: str,
    marker: str = "o",
    label: str | None = None,
    vertical: bool = False,
) -> None:
    """Every seed as a dot and their mean as a stroke, in the row (or, if vertical, the column) at `place`."""
    v = _row(values, "values")
    at, middle, stroke = np.full(len(v), place), [v.mean()] * 2, [place - 0.1, place + 0.1]
    dots, line = ((at, v), (stroke, middle)) if vertical else ((v, at), (middle, stroke))
    ax.plot(*dots, marker, color=colour, markersize=5, alpha=0.7, label=label)
    ax.plot(*line, color=colour, linewidth=2.5)


@styled
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
        scores: for each method, accuracies in [0, 1], one a seed. Beside the bar stands mean ± standard deviation.
        lower, upper: names of the methods whose means are drawn as dashed bounds (source only and target only, say).
    Raises:
        ValueError: no method, NaN, an accuracy outside [0, 1], or a bound that is not among the methods.
    """
    if not scores:
        raise ValueError("there is no method to draw.")
    names, colours = list(scores), colours_for(scores)
    rows = {name: _row(values, f"scores of {name!r}") for name, values in scores.items()}
    for name, v in rows.items():
        if v.min() < 0 or v.max() > 1:
            raise ValueError(f"scores of {name!r} reach from {v.min():g} to {v.max():g}: give accuracies in [0, 1].")
    for bound in {lower, upper} - {"", *names}:
        raise ValueError(f"the bound {bound!r} is not among the methods: {', '.join(names)}.")
    ax = axes(ax)
    for row, name in enumerate(names):
        values = 100 * rows[name]
        ax.barh(row, values.mean(), color=colours[name], alpha=0.25, height=0.6)
        ax.plot(values, np.full(len(values), row), "o", color=colours[name], markersize=5)
        spread = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
        ax.annotate(
            f"{values.mean():.1f}{spread}", (values.max(), row), (7, 0), textcoords="offset points", va="center"
        )
    for bound in (lower, upper):
        if bound:
            ax.axvline(100 * rows[bound].mean(), linestyle="--", color="0.4", linewidth=1)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set_xlabel(xlabel)
    ax.margins(x=0.14)
    ax.set_xlim(left=0)
    return ax


def _points(values: ArrayLike, what: str, n: int | None = None) -> np.ndarray:
    """Finite seeds × points."""
    try:
        rows = np.atleast_2d(np.asarray(values, float))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} must be numbers, as many points for every seed.") from error
    if n is not None and rows.shape[1] != n:
        raise ValueError(f"{what} has {rows.shape[1]} points, x has {n}.")
    if rows.ndim != 2 or rows.size == 0:
        raise ValueError(f"{what} must have the shape (seeds, points) and not be empty, but has {rows.shape}.")
    if not np.isfinite(rows).all():
        raise ValueError(f"{what} holds NaN or infinity in {int((~np.isfinite(rows)).sum())} of {rows.size} points.")
    return rows


def _row(values: ArrayLike, what: str) -> np.ndarray:
    """Finite (n,), one number a seed or a step."""
    rows = _points(values, what)
    if np.ndim(values) != 1:
        raise ValueError(f"{what} must have the shape (n,), not {np.shape(values)}.")
    return rows[0]


def _shade(ax: Axes, x: object, rows: np.ndarray, colour: str, band: Band) -> None:
    if band == "range":
        low, high = rows.min(0), rows.max(0)
    elif band in ("deviation", "interval"):
        half = rows.std(0, ddof=1)
        if band == "interval":
            from scipy.stats import t

            half = half * t.ppf(0.975, len(rows) - 1) / len(rows) ** 0.5
        low, high = rows.mean(0) - half, rows.mean(0) + half
    else:
        raise ValueError(f"band={band!r}: choose 'range', 'deviation', 'interval' or None.")
    ax.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)  # type: ignore[arg-type]


class _BandName(Rectangle):
    """What a shade is: a patch without size, which stands in the legend and nowhere else."""

    def __init__(self, band: Band, of: str, counts: set[int]) -> None:
        self.kind, self.counts = (band, of), counts
        n = " to ".join(map(str, sorted({min(counts), max(counts)})))
        what = {"range": f"range of {n} {of}", "deviation": f"± deviation, {n} {of}"}
        label = "shaded: " + what.get(band, f"95 % interval, {n} {of}")
        super().__init__((0, 0), 0, 0, facecolor="0.5", alpha=0.3, linewidth=0, label=label)


def _name_band(ax: Axes, band: Band, counts: set[int], of: str) -> str:
    for patch in [patch for patch in ax.patches if isinstance(patch, _BandName) and patch.kind == (band, of)]:
        counts = counts | patch.counts
        patch.remove()  # one name for all bands of a kind, after the lines drawn since
    ax.add_patch(name := _BandName(band, of, counts))
    return str(name.get_label())
