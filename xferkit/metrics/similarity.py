"""How alike two networks' features of the same pictures are."""

from __future__ import annotations

from torch import Tensor


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Linear centred kernel alignment ‖YᵀX‖²_F / (‖XᵀX‖_F ‖YᵀY‖_F) (Kornblith et al. 2019b, Eq. 4), in [0, 1].

    Args:
        x: (N, D₁), y: (N, D₂): two networks' features of the same N inputs.
    Raises:
        ValueError: different numbers of rows.
    """
    if len(x) != len(y):
        raise ValueError(f"{len(x)} and {len(y)} rows: CKA compares features of the same inputs.")
    x, y = x.double() - x.double().mean(0), y.double() - y.double().mean(0)
    return float((y.T @ x).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm()))
