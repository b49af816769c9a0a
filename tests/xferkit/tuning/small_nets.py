"""What the tests of this room share: a network with BatchNorm and dropout, and what moved in it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xferkit.models import Classifier
from xferkit.session import device


def small_net() -> Classifier:
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
    features = nn.Sequential()
    features.add_module("stage1", block)
    features.add_module("stage2", nn.Sequential(nn.Sequential(nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5)), nn.ReLU()))
    features.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    return Classifier(features, nn.Linear(5, 3)).to(device())


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = 2 + 3 * torch.randn(8, 3, 9, 9, generator=generator)
    return x.to(device()), torch.randint(3, (8,), generator=generator).to(device())


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    """Every parameter, frozen or not, with all that could move one without a gradient of its own."""
    return torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.1)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int = 0) -> None:
    x, y = batch(seed)
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: t.clone() for name, t in module.state_dict().items()}


def changed(module: nn.Module, before: dict[str, Tensor]) -> set[str]:
    return {name for name, t in module.state_dict().items() if not torch.equal(t, before[name])}
