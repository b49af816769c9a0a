"""A small AlexNet for pictures of 32×32 pixels (Krizhevsky, Sutskever and Hinton 2012)."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xferkit._checks import check_count, check_share
from xferkit.models._parts import Flatten, finish
from xferkit.models.classifier import Classifier


class LocalResponseNorm(nn.Module):
    """Divide each channel by the activity of its n neighbours, (B, C, H, W) to the same shape (paper, §3.3).

    y_i = x_i / (k + α Σ_j x_j²)^β, summed over the n channels around i, with k = 2, n = 5 and β = 0.75. The paper's
    α = 10⁻⁴ is for pixels from −128 to 127; `to_float` divides them by 128, so here α is 128² times as large. (torch's
    `nn.LocalResponseNorm` divides its α by n, which the paper does not, and takes three times as long on a CPU.)
    """

    n, k, alpha, beta = 5, 2.0, 1e-4 * 128**2, 0.75

    def forward(self, x: Tensor) -> Tensor:
        i = torch.arange(x.shape[1], device=x.device)
        near = ((i[:, None] - i).abs() <= self.n // 2).to(x.dtype)  # (C, C): a band of ones
        activity = F.conv2d(x * x, near[:, :, None, None])  # Σ_j x_j², a sum over channels, is a 1×1 convolution
        return x * (self.k + self.alpha * activity) ** -self.beta


def mini_alexnet(
    num_classes: int = 10,
    *,
    width: int = 32,
    hidden: int = 640,
    dropout: float = 0.5,
    overlapping: bool = True,
    lrn: bool = True,
) -> Classifier:
    """Five convolutions, the first of them large, and three linear layers, which hold most of the weights.

    In the paper's order (its §3.5): a ReLU follows every layer but the last; local response normalisation follows the
    first two convolutions; max pooling with overlapping windows follows these two and the fifth; dropout follows the
    first two linear layers. What differs: 7×7 in steps of 2 for 11×11 in steps of 4, since the pictures are seven
    times smaller; fewer channels; one path for the paper's two, one on each GPU; He's initial weights. The two hidden
    linear layers belong to `features`, so D = `hidden`, and the head is one linear layer.

    Args:
        num_classes: at least 2.
        width: channels of the first convolution; the others have 2, 3, 3 and 2 times as many.
        hidden: width of each of the two hidden linear layers.
        dropout: the share of the outputs of these two that is dropped in training (§4.2).
        overlapping: pool 3×3 in steps of 2, as the paper does (§3.4); False pools 2×2 in steps of 2. The shapes agree.
        lrn: local response normalisation (§3.3).
    Returns:
        A network from (B, 3, 32, 32) to (B, num_classes). Pictures that leave another number of positions to `flatten`
        are refused with a ValueError when they come.
    Raises:
        ValueError: fewer than two classes, a width below 1, or a share outside [0, 1).
        TypeError: a count that is no whole number, or a share that is no number.
    """
    num_classes, drop = check_count(num_classes, what="num_classes", least=2), check_share(dropout, what="dropout")
    width, hidden = check_count(width, what="width"), check_count(hidden, what="hidden")

    def conv(c_in: int, c_out: int, kernel: int, stride: int = 1) -> list[nn.Module]:
        return [nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2), nn.ReLU()]

    def norm() -> list[nn.Module]:
        return [LocalResponseNorm()] if lrn else []

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, stride=2, padding=1) if overlapping else nn.MaxPool2d(2, stride=2)

    w1, w2, w3 = width, 2 * width, 3 * width  # 32, 64, 96
    stages: OrderedDict[str, nn.Module] = OrderedDict(  # 3×32×32
        conv1=nn.Sequential(*conv(3, w1, 7, stride=2), *norm(), pool()),  # 32×16×16, pooled to 32×8×8
        conv2=nn.Sequential(*conv(w1, w2, 5), *norm(), pool()),  # 64×8×8, pooled to 64×4×4
        conv3=nn.Sequential(*conv(w2, w3, 3)),  # 96×4×4
        conv4=nn.Sequential(*conv(w3, w3, 3)),  # 96×4×4
        conv5=nn.Sequential(*conv(w3, w2, 3), pool()),  # 64×4×4, pooled to 64×2×2
        flatten=Flatten(w2, 2),  # 256
        fc6=nn.Sequential(nn.Linear(w2 * 2 * 2, hidden), nn.ReLU(), nn.Dropout(drop)),  # 640
        fc7=nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(drop)),  # 640
    )
    model = Classifier(nn.Sequential(stages), nn.Linear(hidden, num_classes))
    return finish(model)
