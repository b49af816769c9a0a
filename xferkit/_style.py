"""The look of every figure, as matplotlib's settings: beside `plots`, so that `setup` can set it without drawing."""

from __future__ import annotations

import matplotlib
from cycler import cycler

# Okabe and Ito (2008): distinguishable with every common form of colour blindness. Yellow is left out on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLE: dict[str, object] = {
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.dpi": 96,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "font.size": 10.5,
    "legend.frameon": False,
}


def use_style() -> None:
    """Give every figure from here on the course's look, by matplotlib's rcParams; `xferkit.setup` calls it.

    Importing `xferkit.plots` changes nothing: its functions have this look by themselves.
    """
    matplotlib.rcParams.update(STYLE)  # type: ignore[arg-type]
