"""One look for every figure: colours that colour-blind readers can tell apart, white paper under everything."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

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


def axes(ax: Axes | None) -> Axes:
    return plt.subplots(figsize=(6, 3.6), layout="constrained")[1] if ax is None else ax
