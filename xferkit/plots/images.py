"""Grids of pictures."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from xferkit.data import Split


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
