"""Boxes and arrows, for drawings of a method."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from xferkit.plots.style import styled


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
