"""Centred kernel alignment against its equations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from xferkit.metrics import linear_cka


def normal(n: int, d: int = 5, shift: float = 0.0, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


def test_cka_does_not_see_rotation_scale_or_place() -> None:
    x = normal(80, 6)
    rotation = torch.linalg.qr(normal(6, 6, seed=5)).Q
    for same in (x, x @ rotation, 7 * x, x + 3, -2 * (x @ rotation) + 1):
        assert linear_cka(x, same) == pytest.approx(1, abs=1e-4)
    assert linear_cka(x, x * torch.tensor([10.0, 1, 1, 1, 1, 1])) < 0.9  # any other linear map shows


def test_cka_is_symmetric_and_low_for_unrelated_features() -> None:
    x, y = normal(2000, 4), normal(2000, 7, seed=1)
    assert linear_cka(x, y) == pytest.approx(linear_cka(y, x)) and 0 <= linear_cka(x, y) < 0.05
    assert linear_cka(x, torch.cat([x, y], 1)) > 0.3


def test_cka_is_its_equation() -> None:
    """Against the Gram matrix form of HSIC: tr(KHLH) / sqrt(tr(KHKH) tr(LHLH))."""
    x, y = normal(30, 4).double() + 1, normal(30, 3, seed=2).double() - 2
    h = torch.eye(30).double() - 1 / 30
    k, l = x @ x.T @ h, y @ y.T @ h  # noqa: E741
    expected = torch.trace(k @ l) / torch.sqrt(torch.trace(k @ k) * torch.trace(l @ l))
    assert linear_cka(x, y) == pytest.approx(float(expected))
    with pytest.raises(ValueError, match="30 and 29 rows"):
        linear_cka(x, y[:29])
