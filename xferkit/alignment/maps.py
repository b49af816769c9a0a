"""Maps from one cloud of features to another. All compute in double precision and give back the input's."""

from __future__ import annotations

import torch
from torch import Tensor

from xferkit._checks import check_count, check_features, check_number, check_same_width


def _two_clouds(z_s: Tensor, z_t: Tensor, *, same_width: bool = True) -> None:
    check_features(z_s, what="source features", least=2)
    check_features(z_t, what="target features", least=2)
    if same_width:
        check_same_width(z_s, z_t, what=("source features", "target features"))
    if z_s.device != z_t.device:
        raise ValueError(f"source features lie on {z_s.device} and target features on {z_t.device}: move one of them.")


def _power_of_covariance(z: Tensor, exponent: float, ridge: float) -> Tensor:
    """(cov(z) + ridge · 1) to a power, through its eigenvalues, for double-precision z."""
    values, vectors = torch.linalg.eigh(torch.cov(z.T).reshape(z.shape[1], z.shape[1]))
    return (vectors * (values.clamp_min(0) + ridge) ** exponent) @ vectors.T


def whiten(z: Tensor, *, ridge: float = 1e-3) -> Tensor:
    """Centre (N, D) features and give them the identity as covariance (up to `ridge`).

    Args:
        z: (N, D), N ≥ 2.
        ridge: added to the variances, > 0: a direction without variance, such as a constant feature, becomes 0.
    Returns:
        (N, D).
    Raises:
        ValueError: fewer than two rows, features that are not finite, or a ridge that is not positive.
        TypeError: no real floating-point features.
    """
    check_features(z, least=2)
    ridge = check_number(ridge, what="ridge", positive=True)
    x = z.double()
    return ((x - x.mean(0)) @ _power_of_covariance(x, -0.5, ridge)).to(z.dtype)


def coral_map(z_s: Tensor, z_t: Tensor, *, ridge: float = 1.0) -> Tensor:
    """Source features with the target's mean and covariance (Sun et al. 2016, Algorithm 1, with means matched too).

    Args:
        z_s: (N_s, D), N_s ≥ 2.
        z_t: (N_t, D), N_t ≥ 2.
        ridge: added to both covariances' diagonals, > 0; the paper uses 1.
    Returns:
        (N_s, D), to train a classifier on that is then applied to raw target features.
    Raises:
        ValueError: fewer than two rows, widths or devices that differ, features that are not finite, or a ridge that is
            not positive.
        TypeError: no real floating-point features.
    """
    _two_clouds(z_s, z_t)
    ridge = check_number(ridge, what="ridge", positive=True)
    x_s, x_t = z_s.double(), z_t.double()
    white = (x_s - x_s.mean(0)) @ _power_of_covariance(x_s, -0.5, ridge)
    return (white @ _power_of_covariance(x_t, 0.5, ridge) + x_t.mean(0)).to(z_s.dtype)


def subspace_alignment(z_s: Tensor, z_t: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Both clouds in the target's PCA space, the source through M = P_sᵀ P_t (Fernando et al. 2013, Eqs. 1–3).

    Args:
        z_s: (N_s, D), N_s ≥ 2.
        z_t: (N_t, D), N_t ≥ 2.
        dim: how many principal axes of each side are kept.
    Returns:
        (N_s, dim) and (N_t, dim), each centred on its own mean.
    Raises:
        ValueError: `dim` exceeds the rank of a side, or as in `coral_map`.
        TypeError: `dim` is no whole number, or no real floating-point features.
    """
    _two_clouds(z_s, z_t)
    if not 1 <= (dim := check_count(dim, what="dim")) <= min(*z_s.shape, *z_t.shape):
        raise ValueError(f"dim={dim} must lie between 1 and {min(*z_s.shape, *z_t.shape)} for these features.")
    x_s, x_t = z_s.double() - z_s.double().mean(0), z_t.double() - z_t.double().mean(0)
    p_s, p_t = _principal_axes(x_s, z_s, dim, "source"), _principal_axes(x_t, z_t, dim, "target")
    return (x_s @ p_s @ (p_s.T @ p_t)).to(z_s.dtype), (x_t @ p_t).to(z_t.dtype)


def _principal_axes(centred: Tensor, z: Tensor, dim: int, side: str) -> Tensor:
    found = torch.linalg.svd(centred, full_matrices=False)
    # What rounding in the features' own precision can bring forth is no axis.
    noise = max(z.shape) * torch.finfo(z.dtype).eps * z.double().abs().amax()
    rank = int((found.S > noise).sum())
    if dim > rank:
        raise ValueError(f"dim={dim}, but the {side} features vary in {rank} directions only.")
    return found.Vh[:dim].T


def fit_linear_map(z_s: Tensor, z_t: Tensor, *, ridge: float = 1e-2) -> Tensor:
    """T (D_s + 1, D_t) with [z_s, 1] T ≈ z_t, by ridge regression on pairs: row i of both shows the same thing.

    Args:
        z_s: (N, D_s), N ≥ 2.
        z_t: (N, D_t).
        ridge: ρ > 0 in mean ‖[z_s, 1] T − z_t‖² + ρ ‖T‖², the last row of T (the constant) left out of the penalty.
    Raises:
        ValueError: the two have different numbers of rows, so they are no pairs; fewer than two rows, devices that
            differ, features that are not finite, or a ridge that is not positive.
        TypeError: no real floating-point features.
    """
    _two_clouds(z_s, z_t, same_width=False)
    if len(z_s) != len(z_t):
        raise ValueError(f"{len(z_s)} source rows and {len(z_t)} target rows: the map is learned from pairs.")
    ridge = check_number(ridge, what="ridge", positive=True)
    # The constant is free, which is a regression between the centred clouds.
    x, y = z_s.double(), z_t.double()
    centred = x - x.mean(0)
    gram = centred.T @ centred + ridge * len(x) * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    slope = torch.linalg.solve(gram, centred.T @ (y - y.mean(0)))
    constant = y.mean(0) - x.mean(0) @ slope
    return torch.cat([slope, constant[None]]).to(torch.promote_types(z_s.dtype, z_t.dtype))
