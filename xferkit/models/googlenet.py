"""A small GoogLeNet for pictures of 32×32 pixels (Szegedy et al. 2015)."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xferkit._checks import check_count, check_share
from xferkit.models._parts import Flatten, finish
from xferkit.models.classifier import Classifier, unwrap

# The paper's Table 1: channels of 1×1; of 3×3 and of the 1×1 before it; of 5×5 and of the 1×1 before it; after pooling.
MODULES = {
    "inception3a": (64, (96, 128), (16, 32), 32),
    "inception3b": (128, (128, 192), (32, 96), 64),
    "inception4a": (192, (96, 208), (16, 48), 64),
    "inception4b": (160, (112, 224), (24, 64), 64),
    "inception4c": (128, (128, 256), (24, 64), 64),
    "inception4d": (112, (144, 288), (32, 64), 64),
    "inception4e": (256, (160, 320), (32, 128), 128),
    "inception5a": (256, (160, 320), (32, 128), 128),
    "inception5b": (384, (192, 384), (48, 128), 128),
}
AUXILIARY = ("inception4a", "inception4d")  # the stages that the auxiliary heads read (the paper's Fig. 3)
DIVISOR = 4  # the paper's channels for one of ours


def _conv(c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2), nn.ReLU())


class Inception(nn.Module):
    """Four paths side by side, their channels one after another (paper, Fig. 2b): (B, c_in, H, W) to (B, c_out, H, W).

    The 1×1 convolutions before the 3×3 and the 5×5 reduce the channels that these must read.
    """

    def __init__(self, c_in: int, c1: int, c3: tuple[int, int], c5: tuple[int, int], c_pool: int) -> None:
        super().__init__()
        self.path1 = _conv(c_in, c1, 1)
        self.path3 = nn.Sequential(_conv(c_in, c3[0], 1), _conv(c3[0], c3[1], 3))
        self.path5 = nn.Sequential(_conv(c_in, c5[0], 1), _conv(c5[0], c5[1], 5))
        self.path_pool = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), _conv(c_in, c_pool, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.path1(x), self.path3(x), self.path5(x), self.path_pool(x)], dim=1)


class GoogLeNet(Classifier):
    """A `Classifier` with auxiliary heads, which only `auxiliary_loss` asks.

    Attributes:
        auxiliary: the name of a stage of `features` ↦ the head that reads what this stage gives.
    """

    def __init__(self, features: nn.Sequential, head: nn.Module, auxiliary: dict[str, nn.Module]) -> None:
        super().__init__(features, head)
        self.auxiliary = nn.ModuleDict(auxiliary)

    def all_scores(self, x: Tensor) -> list[Tensor]:
        """What every head says, the main one first and the others from the input up: (B, num_classes) each."""
        early = []
        for name, stage in self.features.named_children():
            x = stage(x)
            if name in self.auxiliary:
                early.append(self.auxiliary[name](x))
        return [self.head(x), *early]


def auxiliary_loss(model: nn.Module, batch: tuple[Tensor, Tensor], p: float, *, weight: float = 0.3) -> Tensor:
    """Cross-entropy of the main head plus `weight` times that of each auxiliary head (paper, §5), for `fit`.

    In evaluation mode, and in a network without auxiliary heads, the main head's alone.

    Args:
        batch: float (B, 3, H, W) and int64 (B,).
        p: the progress that `fit` tells; not used.
    Raises:
        TypeError: another network than `mini_googlenet`'s.
    """
    net = unwrap(model)
    if not isinstance(net, GoogLeNet):
        raise TypeError(f"{type(net).__name__} has no auxiliary heads: take supervised_loss.")
    x, y = batch
    if not net.training:
        return F.cross_entropy(net(x), y)
    main, *early = (F.cross_entropy(scores, y) for scores in net.all_scores(x))
    return main + weight * sum(early, torch.zeros_like(main))


def mini_googlenet(
    num_classes: int = 10,
    *,
    auxiliary: bool = False,
    average_pool: bool = True,
    dropout: float = 0.4,
) -> GoogLeNet:
    """All 22 layers of the paper's Table 1 with a quarter of the channels: a stem, nine inception modules, one head.

    What differs: pictures of 32 pixels for 224, so the pooling at the end of the stem is left out, and the modules work
    on 8×8, 4×4 and 2×2 positions; no local response normalisation; He's initial weights. As in the paper, and unlike in
    torchvision, there is no BatchNorm, and the 5×5 convolutions are 5×5.

    Args:
        num_classes: at least 2.
        auxiliary: two more heads, at the modules 4a and 4d, which give the early layers a gradient of their own. They
            learn by `auxiliary_loss` in training mode; `forward` never asks them.
        average_pool: each of the 256 channels averaged over the picture, D = 256; False hands all 2×2 positions on to
            the head, D = 1024.
        dropout: the share of the D features that is dropped in training.
    Returns:
        A network from (B, 3, H, W) to (B, num_classes); without `average_pool` H = W = 32.
    Raises:
        ValueError: fewer than two classes, or a share outside [0, 1).
        TypeError: a count that is no whole number, or a share that is no number.
    """
    num_classes, drop = check_count(num_classes, what="num_classes", least=2), check_share(dropout, what="dropout")

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, stride=2, padding=1)

    def ours(channels: int) -> int:
        return channels // DIVISOR

    stages: OrderedDict[str, nn.Module] = OrderedDict(  # 3×32×32
        conv1=nn.Sequential(_conv(3, ours(64), 7, stride=2), pool()),  # 16×16×16, pooled to 16×8×8
        conv2=nn.Sequential(_conv(ours(64), ours(64), 1), _conv(ours(64), ours(192), 3)),  # 48×8×8
    )
    heads: dict[str, nn.Module] = {}
    c = ours(192)
    for name, (c1, (r3, c3), (r5, c5), c_pool) in MODULES.items():
        if name in ("inception4a", "inception5a"):
            stages[f"pool{name[-2]}"] = pool()  # to 4×4, to 2×2
        stages[name] = Inception(c, ours(c1), (ours(r3), ours(c3)), (ours(r5), ours(c5)), ours(c_pool))
        c = ours(c1 + c3 + c5 + c_pool)  # 64 after 3a, 120, 128, 128, 128, 132, 208, 208, 256 after 5b
        if auxiliary and name in AUXILIARY:
            heads[name] = nn.Sequential(
                nn.AdaptiveAvgPool2d(2), _conv(c, ours(128), 1), nn.Flatten(),  # 32·2·2 = 128
                nn.Linear(ours(128) * 4, ours(1024)), nn.ReLU(), nn.Dropout(0.7), nn.Linear(ours(1024), num_classes),
            )  # fmt: skip
    flat = [nn.AdaptiveAvgPool2d(1), nn.Flatten()] if average_pool else [Flatten(c, 2)]
    stages["pool"] = nn.Sequential(*flat, nn.Dropout(drop))  # 256
    head = nn.Linear(c if average_pool else 4 * c, num_classes)
    model = GoogLeNet(nn.Sequential(stages), head, heads)
    return finish(model)
