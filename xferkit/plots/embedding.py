"""Features in two dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from torch import Tensor

from xferkit._checks import check_features, check_labels
from xferkit.plots.style import MARKERS, PALETTE, axes, styled

LEAST = 5  # distinct points; with fewer there are no neighbourhoods to draw


@styled
def plot_embedding(
    z: Tensor, labels: Tensor, names: Sequence[str], *, title: str = "", seed: int = 0, ax: Axes | None = None
) -> Axes:
    """(N, D) features in two dimensions by t-SNE, coloured and marked by label. Axes have no meaning.

    Args:
        labels: int64 (N,), indices into `names`.
    Raises:
        ValueError: NaN or infinity, fewer than five distinct points (a collapsed encoder gives one), or a label
            without a name.
    """
    check_features(z, what="features")
    check_labels(labels, len(z))
    if isinstance(names, str) or (len(labels) and int(labels.max()) >= len(names)):
        raise ValueError(f"label {int(labels.max())} has no name: names must list one for each class.")
    flat = _tsne(_spread_out(z.detach().cpu()), seed)
    ax = axes(ax)
    for i, name in enumerate(names):
        mine = (labels.cpu() == i).numpy()
        # Colours and marks run out at the same number: past it the mark changes once a round.
        marker = MARKERS[i // len(PALETTE) % len(MARKERS)] if len(names) > len(PALETTE) else MARKERS[i]
        colour = PALETTE[i % len(PALETTE)]
        ax.scatter(flat[mine, 0], flat[mine, 1], s=12, alpha=0.6, color=colour, marker=marker, linewidths=0, label=name)
    ax.set(title=title, xlabel="t-SNE 1", ylabel="t-SNE 2", xticks=[], yticks=[])
    ax.legend(markerscale=1.6)
    return ax


def _spread_out(z: Tensor) -> Tensor:
    """float32 around 0 and of size 1: t-SNE asks for neighbours only, and constant input kills the process.

    Raises:
        ValueError: there are not enough distinct points.
    """
    centred = z.double() - z.double().mean(0)
    size, rounding = centred.abs().max(), 8 * torch.finfo(z.dtype).eps * z.double().abs().max()
    if not torch.isfinite(size):
        raise ValueError("the features are too large to be told apart: their mean overflows.")
    distinct = 1 if size <= rounding else len((centred / size).float().unique(dim=0))
    if distinct < LEAST:
        raise ValueError(
            f"{len(z)} features hold {distinct} distinct points, up to rounding: t-SNE needs {LEAST}. If an encoder "
            "gave them, it has collapsed: it says the same of every picture."
        )
    return F.pad((centred / size).float(), (0, max(0, 2 - z.shape[1])))


def _tsne(z: Tensor, seed: int) -> Tensor:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(z) - 1) / 3)
    return TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(z.numpy())
