"""What the tests of this room share: small splits whose pictures can be recognised, and where real data lie."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from xferkit.data import Domain, Split

DIGIT_SETS = ("mnist", "uci_digits", "syn_digits", "mnist_m")
REAL = Path(os.environ.get("XFERKIT_TEST_DATA", ""))


def real(folder: str) -> pytest.MarkDecorator:
    there = bool(os.environ.get("XFERKIT_TEST_DATA")) and (REAL / folder).is_dir()
    return pytest.mark.skipif(not there, reason=f"XFERKIT_TEST_DATA names no folder with {folder}/")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ramp(n: int = 10, classes: int = 3) -> Split:
    """Picture i is filled with the value i, so that it can be recognised anywhere."""
    x = torch.arange(n, dtype=torch.uint8)[:, None, None, None].expand(n, 3, 4, 4).contiguous()
    return Split(x, torch.arange(n) % classes, tuple(f"p{i}" for i in range(n)), torch.arange(n) // 2)


def shown(x: Tensor) -> list[int]:
    """Which pictures of `ramp` a batch holds."""
    return (x[:, 0, 0, 0] * 128 + 127).round().int().tolist()


def digest(picture: Tensor) -> bytes:
    return hashlib.sha256(picture.contiguous().numpy().tobytes()).digest()


def parts(domain: Domain) -> dict[str, Split]:
    return {"train": domain.train, "val": domain.val, "test": domain.test}
