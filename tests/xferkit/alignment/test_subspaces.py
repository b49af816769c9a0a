"""Ways between subspaces against their definitions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from xferkit.alignment.maps import apply_map
from xferkit.alignment.subspaces import fit_geodesic_flow, fit_subspaces, geodesic, subspace_alignment


def axes(d: int, k: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(d, k, generator=generator, dtype=torch.double)).Q


def projector(p: Tensor) -> Tensor:
    return p @ p.T


def clouds() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    z = torch.randn(2, 80, 9, generator=generator, dtype=torch.double)
    return z[0] * torch.linspace(3, 0.2, 9) + 1, z[1] * torch.linspace(0.2, 3, 9) - 2


@pytest.mark.parametrize(("d", "k"), [(9, 3), (5, 4), (3, 3)])
def test_the_way_begins_at_the_source_ends_at_the_target_and_stays_orthonormal(d: int, k: int) -> None:
    s, t = axes(d, k, 0), axes(d, k, 1)
    torch.testing.assert_close(projector(geodesic(s, t, 0)), projector(s))
    torch.testing.assert_close(projector(geodesic(s, t, 1)), projector(t))
    middle = geodesic(s, t, 0.5)
    torch.testing.assert_close(middle.T @ middle, torch.eye(k, dtype=torch.double))


def test_in_the_plane_the_angle_grows_evenly() -> None:
    s, t = torch.tensor([[1.0], [0.0]]), torch.tensor([[0.0], [1.0]])
    at = geodesic(s, t, 1 / 3).abs().flatten()
    torch.testing.assert_close(at, torch.tensor([3**0.5 / 2, 0.5], dtype=torch.double))


def test_no_way_where_both_are_the_same_subspace() -> None:
    s = axes(6, 2, 0)
    turned = s @ axes(2, 2, 3)
    torch.testing.assert_close(projector(geodesic(s, turned, 0.7)), projector(s))


def test_the_kernel_is_the_integral_over_the_way() -> None:
    z_s, z_t = clouds()
    t_s, t_t = fit_geodesic_flow(z_s, z_t, 3)
    p_s, p_t = (torch.linalg.svd(z - z.mean(0), full_matrices=False).Vh[:3].T for z in (z_s, z_t))
    steps = (torch.arange(2000) + 0.5) / 2000
    integral = torch.stack([projector(geodesic(p_s, p_t, at)) for at in steps.tolist()]).mean(0)
    torch.testing.assert_close(t_s[:-1] @ t_s[:-1].T, integral, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(t_s[:-1], t_t[:-1])
    torch.testing.assert_close(apply_map(z_s, t_s).mean(0), torch.zeros(9, dtype=torch.double))


def test_the_flow_of_a_domain_to_itself_is_its_projection() -> None:
    z_s, _ = clouds()
    t_s, _ = fit_geodesic_flow(z_s, z_s, 4)
    p = torch.linalg.svd(z_s - z_s.mean(0), full_matrices=False).Vh[:4].T
    torch.testing.assert_close(t_s[:-1], projector(p), atol=1e-6, rtol=1e-6)


def test_fitted_subspaces_serve_new_rows() -> None:
    z_s, z_t = clouds()
    t_s, t_t = fit_subspaces(z_s, z_t, 2)
    a, b = subspace_alignment(z_s, z_t, 2)
    torch.testing.assert_close(apply_map(z_s[:7], t_s), a[:7])
    torch.testing.assert_close(apply_map(z_t[:7], t_t), b[:7])


def test_what_is_no_subspace_is_refused() -> None:
    s, t = axes(6, 2, 0), axes(6, 3, 1)
    with pytest.raises(ValueError, match="need the same dimension"):
        geodesic(s, t, 0.5)
    with pytest.raises(ValueError, match="the source axes .* are not orthonormal"):
        geodesic(2 * s, s, 0.5)
    with pytest.raises(ValueError, match="at=nan"):
        geodesic(s, s, float("nan"))
    with pytest.raises(ValueError, match="dim=10 must lie between 1 and 9"):
        fit_geodesic_flow(*clouds(), 10)
