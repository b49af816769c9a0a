"""The course's figures: one look, colours that colour-blind readers can tell apart, white paper under everything."""

from xferkit.plots import diagrams, style
from xferkit.plots.curves import plot_band, plot_curves, plot_spread, plot_transfer, smooth
from xferkit.plots.embedding import plot_embedding
from xferkit.plots.images import show_images
from xferkit.plots.intervals import plot_intervals
from xferkit.plots.style import MARKERS, PALETTE, colour_of, use_style

__all__ = [
    "MARKERS", "PALETTE", "colour_of", "diagrams", "plot_band", "plot_curves", "plot_embedding", "plot_intervals",
    "plot_spread", "plot_transfer", "show_images", "smooth", "style", "use_style",
]  # fmt: skip
