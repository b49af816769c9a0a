"""What the small networks share: a flattening that knows its shape, and initial weights."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from xferkit.models.classifier import Classifier


class Flatten(nn.Module):
    """(B, channels, side, side) to (B, channels · side²).

    Raises:
        ValueError: another shape, since the pictures were of another size.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.shape = (channels, side, side)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.shape:
            raise ValueError(
                f"this network is for pictures of 32×32 pixels, which are {self.shape} here; these are "
                f"{tuple(x.shape[1:])}: take load_domain(…, image_size=32)."
            )
        return x.flatten(1)


Net = TypeVar("Net", bound=Classifier)


def finish(model: Net) -> Net:
    """Give every layer of `features` He's initial weights, and return the network.

    Each weight is drawn from N(0, 2 / fan-in), each bias is 0 (He et al. 2015, §2.2): with smaller ones the signal
    would fade from layer to layer. The head keeps torch's own.
    """
    for part in model.features.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    # Convolutions on a CPU take less time with the weights in this order.
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
