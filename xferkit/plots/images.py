"""Grids of pictures."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from xferkit._checks import check_count, check_pixels, check_same_length
from xferkit.data import Split
from xferkit.plots.style import styled


@styled
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
        x: uint8 (N, 3, H, W), as the pictures were stored.
        titles: one beneath each picture.
        size: inches a picture.
        edges: a colour around each picture, such as `PALETTE[2]` for a hit.
    Raises:
        TypeError: the pictures are not uint8.
        ValueError: no picture, another shape, or not one title or edge for each picture.
    """
    pictures = x.x if isinstance(x, Split) else x
    check_pixels(pictures)
    if len(pictures) == 0:
        raise ValueError("there is no picture to show.")
    for what, given in (("titles", titles), ("edges", edges)):
        if isinstance(given, str):
            raise TypeError(f"{what} must be a list with one text a picture, not one text.")
        if given is not None:
            check_same_length(pictures, given, what=f"pictures and {what}")
    columns = check_count(columns, what="columns")
    if not 0 < size < float("inf"):
        raise ValueError(f"size={size} must be a positive number of inches.")
    rows = -(-len(pictures) // columns)
    height = size * (1.25 if titles else 1.05)
    figure, axes = plt.subplots(
        rows, columns, figsize=(size * columns, height * rows), squeeze=False, layout="constrained"
    )
    for i, ax in enumerate(axes.flat):
        ax.set_axis_off()
        if i >= len(pictures):
            continue
        ax.imshow(pictures[i].permute(1, 2, 0).cpu().numpy())
        if titles is not None:
            ax.text(0.5, -0.04, titles[i], transform=ax.transAxes, ha="center", va="top", fontsize=8)
        if edges is not None:
            ax.add_patch(
                plt.Rectangle((0, 0), 1, 1, transform=ax.transAxes, fill=False, edgecolor=edges[i], linewidth=3)
            )
    return figure
