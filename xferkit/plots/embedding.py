"""Features in two dimensions."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from torch import Tensor

from xferkit.plots.style import MARKERS, PALETTE, axes


def plot_embedding(
    z: Tensor, labels: Tensor, names: Sequence[str], *, title: str = "", seed: int = 0, ax: Axes | None = None
) -> Axes:
    """(N, D) features in two dimensions by t-SNE, coloured and marked by label. Axes have no unit and no meaning.

    Args:
        labels: int64 (N,), indices into `names`.
    """
    from sklearn.manifold import TSNE

    ax = axes(ax)
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
