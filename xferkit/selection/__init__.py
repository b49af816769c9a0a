"""Choosing without target labels: which pretrained network to take, which adapted one to keep."""

from xferkit.selection.label_free import entropy_score, im_score, snd_score
from xferkit.selection.transferability import logme

__all__ = ["entropy_score", "im_score", "logme", "snd_score"]
