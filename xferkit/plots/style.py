"""One look for every figure: colours that colour-blind readers can tell apart, white paper under everything."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec, TypeVar

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from xferkit._style import PALETTE, STYLE, use_style

MARKERS = ("o", "s", "^", "D", "v", "P", "X")

# A method keeps its colour through the book. There are more methods than colours: those that share one answer different
# questions and do not meet in a figure, or are one method in two variants, which marks and lines tell apart.
_BLUE, _ORANGE, _GREEN, _PINK, _AMBER, _SKY, _BLACK = PALETTE
_COLOURS = {
    "source only": _BLUE, "DANN": _ORANGE, "target only": _GREEN, "from scratch": _BLACK, "scratch": _BLACK,
    "head only": _BLUE, "linear probe": _BLUE, "frozen, linear probe": _BLUE, "LP": _BLUE,
    "whole network": _ORANGE, "fine-tuned": _ORANGE, "FT": _ORANGE, "LP-FT": _GREEN,
    "gradual unfreezing": _PINK, "discriminative rates": _AMBER, "last blocks": _SKY, "untrained, linear probe": _SKY,
    "plain": _ORANGE, "residual": _BLUE,
}  # fmt: skip

__all__ = ["MARKERS", "PALETTE", "STYLE", "axes", "colour_of", "colours_for", "styled", "use_style"]

P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Run a drawing function under the course's look, and leave the reader's settings as they are."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with plt.rc_context(STYLE):  # type: ignore[arg-type]
            result = draw(*args, **kwargs)
            interactive = plt.isinteractive()
        # A notebook's first figure switches on that figures show by themselves, which is no part of the look.
        plt.rcParams["interactive"] = interactive
        return result

    return drawn


def colour_of(method: str) -> str:
    """The colour in which the whole book draws a method, such as "DANN", or a variant of it: "LP-FT, BN held".

    Raises:
        ValueError: the book has no method of that name.
    """
    if (colour := _known(method)) is None:
        known = ", ".join(_COLOURS)
        raise ValueError(f"the book gives {method!r} no colour of its own. Take one of PALETTE, or: {known}.")
    return colour


def colours_for(names: Iterable[str]) -> dict[str, str]:
    """A colour for each: the book's where it has one; the others take those of the palette that are left, in turn."""
    names = list(names)
    taken = {name: colour for name in names if (colour := _known(name))}
    left = [colour for colour in PALETTE if colour not in taken.values()] or list(PALETTE)
    others = [name for name in names if name not in taken]
    return taken | {name: left[i % len(left)] for i, name in enumerate(others)}


def _known(method: str) -> str | None:
    return _COLOURS.get(method) or _COLOURS.get(method.split(",")[0])


def axes(ax: Axes | None) -> Axes:
    return plt.subplots(figsize=(6, 3.6), layout="constrained")[1] if ax is None else ax
