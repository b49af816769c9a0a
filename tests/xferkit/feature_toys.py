"""What tests of features share: a few pictures, a small network, and what lies in the cache."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from xferkit.models import Classifier, lenet
from xferkit.session import device


def pictures(n: int = 6, seed: int = 0) -> Tensor:
    return torch.randint(256, (n, 3, 28, 28), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def small(seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    return lenet(norm="batch").to(device())


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors")) if folder.exists() else []
