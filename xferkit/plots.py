"""The course's figures: one look, colours that colour-blind readers can tell apart, white paper under everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from xferkit.data import Split

# Okabe and Ito (2008): distinguishable with every common form of colour blindness. Yellow is left out on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE: dict[str, object] = {
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.dpi": 96,
    "axes.prop_cycle": plt.cycler(color=PALETTE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "font.size": 10.5,
    "legend.frameon": False,
}
plt.rcParams.update(STYLE)  # type: ignore[arg-type]


def _axes(ax: Axes | None) -> Axes:
    return plt.subplots(figsize=(6, 3.6), layout="constrained")[1] if ax is None else ax


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
    ax = _axes(ax)
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


def plot_embedding(
    z: Tensor, labels: Tensor, names: Sequence[str], *, title: str = "", seed: int = 0, ax: Axes | None = None
) -> Axes:
    """(N, D) features in two dimensions by t-SNE, coloured and marked by label. Axes have no unit and no meaning.

    Args:
        labels: int64 (N,), indices into `names`.
    """
    from sklearn.manifold import TSNE

    ax = _axes(ax)
    perplexity = min(30.0, (len(z) - 1) / 3)
    flat = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(z.float().numpy())
    for i, name in enumerate(names):
        mine = (labels == i).numpy()
        colour, marker = (
            PALETTE[i % len(PALETTE)],
            MARKERS[i // len(PALETTE) % len(MARKERS)] if len(names) > 7 else MARKERS[i],
        )
        ax.scatter(flat[mine, 0], flat[mine, 1], s=12, alpha=0.6, color=colour, marker=marker, linewidths=0, label=name)
    ax.set(title=title, xlabel="t-SNE 1 (no unit)", ylabel="t-SNE 2 (no unit)", xticks=[], yticks=[])
    ax.legend(markerscale=1.6)
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
    ax = _axes(ax)
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


def show_images(
    x: Tensor | Split,
    titles: Sequence[str] | None = None,
    *,
    columns: int = 8,
    size: float = 1.0,
    edges: Sequence[str] | None = None,
) -> Figure:
    """A grid of pictures.

    Args:
        x: uint8 (N, 3, H, W).
        titles: one beneath each picture.
        size: inches a picture.
        edges: a colour around each picture, such as `PALETTE[2]` for a hit.
    """
    pictures = x.x if isinstance(x, Split) else x
    rows = -(-len(pictures) // columns)
    height = size * (1.25 if titles else 1.05)
    figure, axes = plt.subplots(
        rows, columns, figsize=(size * columns, height * rows), squeeze=False, layout="constrained"
    )
    for i, ax in enumerate(axes.flat):
        ax.set_axis_off()
        if i >= len(pictures):
            continue
        ax.imshow(pictures[i].permute(1, 2, 0).to(torch.uint8).numpy())
        if titles:
            ax.text(0.5, -0.04, titles[i], transform=ax.transAxes, ha="center", va="top", fontsize=8)
        if edges:
            ax.add_patch(
                plt.Rectangle((0, 0), 1, 1, transform=ax.transAxes, fill=False, edgecolor=edges[i], linewidth=3)
            )
    return figure
