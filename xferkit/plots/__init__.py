"""The course's figures: one look, colours that colour-blind readers can tell apart, white paper under everything."""

from xferkit.plots.curves import plot_curves, plot_transfer, smooth
from xferkit.plots.embedding import plot_embedding
from xferkit.plots.images import show_images
from xferkit.plots.style import MARKERS, PALETTE

__all__ = ["MARKERS", "PALETTE", "plot_curves", "plot_embedding", "plot_transfer", "show_images", "smooth"]
