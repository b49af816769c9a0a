"""Boxes and arrows, for drawings of a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from xferkit.plots.style import PALETTE, styled


@styled
def box(
    ax: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    text: str,
    *,
    face: str = "white",
    edge: str = "0.3",
    size: float = 9.5,
) -> None:
    """A box with rounded corners and a text in its middle. (x, y) is its lower left corner, in the axes' units."""
    if not (width > 0 and height > 0):
        raise ValueError(f"a box of {width} × {height} has no area.")
    shape = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0.06", fc=face, ec=edge, linewidth=1.3)
    ax.add_patch(shape)
    ax.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=size)


@styled
def arrow(
    ax: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    colour: str = "0.3",
    dashed: bool = False,
    text: str = "",
    offset: tuple[float, float] = (0, 0),
) -> None:
    """An arrow between two points. Its text stands at its middle, moved by `offset`."""
    style = "--" if dashed else "-"
    look = FancyArrowPatch(
        start, end, arrowstyle="-|>", mutation_scale=13, color=colour, linestyle=style, linewidth=1.4
    )
    ax.add_patch(look)
    if text:
        x, y = ((a + b) / 2 + move for a, b, move in zip(start, end, offset, strict=True))
        ax.text(x, y, text, color=colour, ha="center", fontsize=9)


@styled
def what_moves(
    ax: Axes, parts: Sequence[str], rows: Mapping[str, Sequence[tuple[float, bool] | tuple[float, bool, str]]]
) -> None:
    """A row of boxes for each way of training, a box a part of the network: what moves, how fast, and from where.

    Hatched boxes are frozen; blue ones start from pretrained weights, orange ones from random numbers; a paler shade is
    a smaller rate.

    Args:
        parts: the columns' names, from the input to the head.
        rows: for each way one box a part: the share of the full rate in [0, 1], whether it starts from random numbers,
            and, if wanted, a text such as "2" for what begins to move second.
    Raises:
        ValueError: a row with another number of boxes than there are parts, or a share outside [0, 1].
    """
    for y, (name, boxes) in enumerate(rows.items()):
        if len(boxes) != len(parts):
            raise ValueError(f"{name!r} has {len(boxes)} boxes for {len(parts)} parts.")
        for x, (share, fresh, text) in enumerate((*each, "")[:3] for each in boxes):
            if not 0 <= share <= 1:
                raise ValueError(f"{name!r}, {parts[x]}: the share of the rate is {share}, not in [0, 1].")
            colour = to_rgba(PALETTE[1] if fresh else PALETTE[0], 0.12 + 0.7 * share**0.35) if share else "white"
            hatch = None if share else "///"
            ax.add_patch(
                Rectangle((x + 0.04, y + 0.1), 0.92, 0.8, facecolor=colour, edgecolor="0.5", hatch=hatch, lw=0.8)
            )
            ax.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=9)
    ax.set(xlim=(0, len(parts)), ylim=(len(rows), 0))
    ax.set_xticks([x + 0.5 for x in range(len(parts))], list(parts))
    ax.set_yticks([y + 0.5 for y in range(len(rows))], list(rows))
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[["left", "bottom"]].set_visible(False)
