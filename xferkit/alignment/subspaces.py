"""From the subspace in which the source varies to the target's: aligned in one step, or along the way between them."""

from __future__ import annotations

import torch
from torch import Tensor

from xferkit._checks import check_count, check_features, check_number
from xferkit.alignment.maps import apply_map, centring, two_clouds


def fit_subspaces(z_s: Tensor, z_t: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """T_s and T_t, each (D + 1, dim), into the target's principal axes; see `subspace_alignment`."""
    x_s, x_t, p_s, p_t = _two_subspaces(z_s, z_t, dim)
    return centring(x_s.mean(0), p_s @ (p_s.T @ p_t)), centring(x_t.mean(0), p_t)


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
    t_s, t_t = fit_subspaces(z_s, z_t, dim)
    return apply_map(z_s, t_s), apply_map(z_t, t_t)


def geodesic(p_s: Tensor, p_t: Tensor, at: float) -> Tensor:
    """A basis of the subspace that lies the share `at` of the shortest way from one subspace to another.

    The way is the geodesic on the Grassmann manifold, along which Gopalan et al. (2011) sample subspaces: with the
    principal vectors A of the source, those C at right angles to them that lead to the target, and the principal angles
    θ, it is A cos(at · θ) + C sin(at · θ) (Gong et al. 2012, Eq. 1).

    Args:
        p_s, p_t: (D, d), orthonormal columns.
        at: 0 gives the source's subspace, 1 the target's; in other bases than the given ones.
    Returns:
        (D, d) with orthonormal columns, in double precision.
    Raises:
        ValueError: shapes that differ, columns that are not orthonormal, or a share that is no finite number.
    """
    at = check_number(at, what="at")
    a, c, angle = _principal_angles(p_s, p_t)
    return a * (at * angle).cos() + c * (at * angle).sin()


def fit_geodesic_flow(z_s: Tensor, z_t: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """T_s and T_t, each (D + 1, D): centre each side and take the root of the geodesic flow kernel (Gong et al. 2012).

    The kernel is G = ∫ Φ(t) Φ(t)ᵀ dt for 0 ≤ t ≤ 1, in closed form, with Φ(t) = `geodesic(P_s, P_t, t)` between the
    principal axes of both sides. Inner products of features mapped by its root are those of the kernel.

    Args:
        dim: how many principal axes of each side span its subspace.
    Raises:
        ValueError: as in `subspace_alignment`.
        TypeError: as in `subspace_alignment`.
    """
    x_s, x_t, p_s, p_t = _two_subspaces(z_s, z_t, dim)
    a, c, angle = _principal_angles(p_s, p_t)
    even = torch.sinc(2 * angle / torch.pi)  # sin 2θ / 2θ, also at θ = 0
    mixed = angle / 2 * torch.sinc(angle / torch.pi) ** 2  # ∫ cos tθ sin tθ dt
    cross = (a * mixed) @ c.T
    kernel = (a * (1 + even) / 2) @ a.T + cross + cross.T + (c * (1 - even) / 2) @ c.T
    values, vectors = torch.linalg.eigh(kernel)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return centring(x_s.mean(0), root), centring(x_t.mean(0), root)


def _principal_angles(p_s: Tensor, p_t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A (D, d) in the source's subspace, C (D, d) at right angles to it, θ (d,); A cos θ + C sin θ is the target's."""
    for name, p in (("source", p_s), ("target", p_t)):
        check_features(p, what=f"{name} axes")
        gram = p.T.double() @ p.double()
        if not torch.allclose(gram, torch.eye(len(gram), dtype=gram.dtype, device=gram.device), atol=1e-4):
            raise ValueError(f"the {name} axes {tuple(p.shape)} are not orthonormal columns.")
    if p_s.shape != p_t.shape:
        raise ValueError(f"axes {tuple(p_s.shape)} and {tuple(p_t.shape)}: subspaces need the same dimension.")
    p_s, p_t = p_s.double(), p_t.double()
    u, cosine, vh = torch.linalg.svd(p_s.T @ p_t)
    a = p_s @ u
    rest = p_t @ vh.T - a * cosine
    sine = rest.norm(dim=0)
    # Where the two share a direction there is no way to go, and C, which is divided by 0 there, has no weight.
    return a, rest / sine.clamp_min(1e-12), torch.atan2(sine, cosine)


def _two_subspaces(z_s: Tensor, z_t: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Both clouds in double precision, and (D, dim) principal axes of each."""
    two_clouds(z_s, z_t)
    if not 1 <= (dim := check_count(dim, what="dim")) <= min(*z_s.shape, *z_t.shape):
        raise ValueError(f"dim={dim} must lie between 1 and {min(*z_s.shape, *z_t.shape)} for these features.")
    x_s, x_t = z_s.double(), z_t.double()
    return x_s, x_t, _principal_axes(x_s, z_s, dim, "source"), _principal_axes(x_t, z_t, dim, "target")


def _principal_axes(x: Tensor, z: Tensor, dim: int, side: str) -> Tensor:
    found = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    # What rounding in the features' own precision can bring forth is no axis.
    noise = max(z.shape) * torch.finfo(z.dtype).eps * z.double().abs().amax()
    rank = int((found.S > noise).sum())
    if dim > rank:
        raise ValueError(f"dim={dim}, but the {side} features vary in {rank} directions only.")
    return found.Vh[:dim].T
