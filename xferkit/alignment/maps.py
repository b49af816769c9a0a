"""Maps from one cloud of features to another, all of them linear: [z, 1] T, with T fitted once and used on new rows.

`fit_whitening` and `fit_coral` need the clouds and nothing else; `fit_linear_map` and `fit_rotation` need pairs, row i
of both showing the same thing. Maps by way of subspaces are next door. Chapter 04 builds them by hand. All compute in
double precision, and mapped features have the precision of the input.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xferkit._checks import check_features, check_number, check_same_width


def two_clouds(z_s: Tensor, z_t: Tensor, *, same_width: bool = True) -> None:
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


def apply_map(z: Tensor, t: Tensor) -> Tensor:
    """[z, 1] T, for T (D + 1, r) whose last row is the constant.

    Raises:
        ValueError: T has not one row more than `z` has columns, or numbers that are not finite.
        TypeError: no real floating-point features.
    """
    check_features(z)
    check_features(t, what="map")
    if len(t) != z.shape[1] + 1:
        raise ValueError(f"features {tuple(z.shape)} need a map of {z.shape[1] + 1} rows, not {tuple(t.shape)}.")
    t = t.to(z.device).double()
    return (z.double() @ t[:-1] + t[-1]).to(z.dtype)


def centring(mean: Tensor, matrix: Tensor) -> Tensor:
    # (D + 1, r): subtract the mean, then multiply.
    return torch.cat([matrix, -(mean @ matrix)[None]])


def fit_whitening(z: Tensor, *, ridge: float = 1e-3) -> Tensor:
    """T (D + 1, D) that centres features and gives them the identity as covariance, up to `ridge`; see `whiten`."""
    check_features(z, least=2)
    ridge = check_number(ridge, what="ridge", positive=True)
    x = z.double()
    return centring(x.mean(0), _power_of_covariance(x, -0.5, ridge))


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
    return apply_map(z, fit_whitening(z, ridge=ridge))


def fit_coral(z_s: Tensor, z_t: Tensor, *, ridge: float = 1.0) -> Tensor:
    """T (D + 1, D) that gives source features the target's mean and covariance; see `coral_map`."""
    two_clouds(z_s, z_t)
    ridge = check_number(ridge, what="ridge", positive=True)
    x_s, x_t = z_s.double(), z_t.double()
    found = centring(x_s.mean(0), _power_of_covariance(x_s, -0.5, ridge) @ _power_of_covariance(x_t, 0.5, ridge))
    found[-1] += x_t.mean(0)
    return found


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
    return apply_map(z_s, fit_coral(z_s, z_t, ridge=ridge))


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
    two_clouds(z_s, z_t, same_width=False)
    _paired(z_s, z_t)
    ridge = check_number(ridge, what="ridge", positive=True)
    # The constant is free, which is a regression between the centred clouds.
    x, y = z_s.double(), z_t.double()
    centred = x - x.mean(0)
    gram = centred.T @ centred + ridge * len(x) * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    slope = torch.linalg.solve(gram, centred.T @ (y - y.mean(0)))
    constant = y.mean(0) - x.mean(0) @ slope
    return torch.cat([slope, constant[None]]).to(torch.promote_types(z_s.dtype, z_t.dtype))


def fit_rotation(z_s: Tensor, z_t: Tensor) -> Tensor:
    """T (D + 1, D) that turns source features onto their partners: the orthogonal Procrustes problem (Schönemann 1966).

    T centres the source, multiplies by the orthogonal Q for which mean ‖(z_s − μ_s) Q − (z_t − μ_t)‖² is smallest, and
    adds the target's mean. Lengths and angles stay as they are.

    Args:
        z_s: (N, D), N ≥ 2.
        z_t: (N, D); row i of both shows the same thing.
    Raises:
        ValueError: the two have different numbers of rows or columns, or as in `fit_linear_map`.
        TypeError: no real floating-point features.
    """
    two_clouds(z_s, z_t)
    _paired(z_s, z_t)
    x, y = z_s.double(), z_t.double()
    u, _, vh = torch.linalg.svd((x - x.mean(0)).T @ (y - y.mean(0)))
    found = centring(x.mean(0), u @ vh)
    found[-1] += y.mean(0)
    return found


def _paired(z_s: Tensor, z_t: Tensor) -> None:
    if len(z_s) != len(z_t):
        raise ValueError(f"{len(z_s)} source rows and {len(z_t)} target rows: the map is learned from pairs.")
