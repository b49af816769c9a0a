"""The MNIST network of Ganin et al. (2016)."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from xferkit._checks import check_count
from xferkit.models.classifier import Classifier

_NORMS = ("none", "batch", "instance")


def lenet(num_classes: int = 10, *, image_size: int = 28, norm: str = "none") -> Classifier:
    """The MNIST network of Ganin et al. (2016, Fig. 4a): two convolutions as encoder, three linear layers as head.

    Args:
        num_classes: at least 2.
        image_size: height and width of the pictures; 28 gives D = 48·4·4 = 768 features.
        norm: what follows each convolution: "none" as in the paper, "batch" or "instance".
    Returns:
        A network from (B, 3, image_size, image_size) to (B, num_classes).
    Raises:
        ValueError: another word for `norm`, fewer than two classes, or pictures too small for two 5×5 convolutions.
        TypeError: a size or a number of classes that is no whole number.
    """
    if norm not in _NORMS:
        raise ValueError(f"norm={norm!r} is not known. Choose one of: {', '.join(_NORMS)}.")
    num_classes = check_count(num_classes, what="num_classes", least=2)
    side = ((check_count(image_size, what="image_size") - 4) // 2 - 4) // 2
    if side < 1:
        raise ValueError(f"image_size={image_size} is too small for this network: it needs at least 16 pixels.")

    def stage(c_in: int, c_out: int) -> nn.Sequential:
        layers = [nn.Conv2d(c_in, c_out, 5), nn.ReLU(), nn.MaxPool2d(2)]
        if norm != "none":
            layers.insert(1, nn.BatchNorm2d(c_out) if norm == "batch" else nn.InstanceNorm2d(c_out, affine=True))
        return nn.Sequential(*layers)

    features = nn.Sequential(OrderedDict(stage1=stage(3, 32), stage2=stage(32, 48), flatten=nn.Flatten()))
    head = nn.Sequential(
        nn.Linear(48 * side * side, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, num_classes)
    )
    # A training step takes a third less time on a CPU with the weights in this order.
    return Classifier(features, head).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
