"""The one shape of every network in the course: an encoder in named stages, and a head."""

from __future__ import annotations

from torch import Tensor, nn


class Classifier(nn.Module):
    """An encoder and a head: `forward(x) = head(features(x))`, from (B, 3, H, W) to (B, num_classes)."""

    def __init__(self, features: nn.Sequential, head: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def feature_dim(model: Classifier) -> int:
    """D, the width of the features that the head reads.

    Raises:
        TypeError: the head has no linear layer to read it from.
    """
    for part in model.head.modules():
        if isinstance(part, nn.Linear):
            return part.in_features
    raise TypeError("the head has no linear layer, so the feature width is unknown.")
