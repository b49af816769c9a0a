"""Maps from one cloud of features to another."""

from __future__ import annotations

import torch
from torch import Tensor


def _covariance(z: Tensor, ridge: float) -> Tensor:
    return torch.cov(z.T) + ridge * torch.eye(z.shape[1], dtype=z.dtype, device=z.device)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """A power of a symmetric positive definite matrix, through its eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(1e-12) ** exponent) @ vectors.T


def whiten(z: Tensor, *, ridge: float = 1e-3) -> Tensor:
    """Centre (N, D) features and give them the identity as covariance (up to `ridge`)."""
    return (z - z.mean(0)) @ _power(_covariance(z, ridge), -0.5)


def coral_map(z_s: Tensor, z_t: Tensor, *, ridge: float = 1.0) -> Tensor:
    """Source features with the target's mean and covariance (Sun et al. 2016, Algorithm 1, with means matched too).

    Args:
        z_s: (N_s, D).
        z_t: (N_t, D).
        ridge: added to both covariances' diagonals; the paper uses 1.
    Returns:
        (N_s, D), to train a classifier on that is then applied to raw target features.
    """
    white = (z_s - z_s.mean(0)) @ _power(_covariance(z_s, ridge), -0.5)
    return white @ _power(_covariance(z_t, ridge), 0.5) + z_t.mean(0)


def subspace_alignment(z_s: Tensor, z_t: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Both clouds in the target's PCA space, the source through M = P_sᵀ P_t (Fernando et al. 2013, Eqs. 1–3).

    Returns:
        (N_s, dim) and (N_t, dim).
    Raises:
        ValueError: `dim` exceeds the rank that the data can have.
    """
    if not 1 <= dim <= min(*z_s.shape, *z_t.shape):
        raise ValueError(f"dim={dim} must lie between 1 and {min(*z_s.shape, *z_t.shape)} for these features.")
    centred_s, centred_t = z_s - z_s.mean(0), z_t - z_t.mean(0)
    p_s, p_t = (torch.linalg.svd(z, full_matrices=False).Vh[:dim].T for z in (centred_s, centred_t))
    return centred_s @ p_s @ (p_s.T @ p_t), centred_t @ p_t


def fit_linear_map(z_s: Tensor, z_t: Tensor, *, ridge: float = 1e-2) -> Tensor:
    """T (D_s + 1, D_t) with [z_s, 1] T ≈ z_t, by ridge regression on pairs: row i of both shows the same thing.

    Raises:
        ValueError: the two have different numbers of rows, so they are no pairs.
    """
    if len(z_s) != len(z_t):
        raise ValueError(f"{len(z_s)} source rows and {len(z_t)} target rows: the map is learned from pairs.")
    a = torch.cat([z_s, torch.ones(len(z_s), 1, dtype=z_s.dtype)], 1)
    penalty = ridge * len(a) * torch.eye(a.shape[1], dtype=a.dtype)
    penalty[-1, -1] = 0  # the constant is free
    return torch.linalg.solve(a.T @ a + penalty, a.T @ z_t)
