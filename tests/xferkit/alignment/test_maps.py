"""The alignment maps against their equations."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from torch import Tensor

from xferkit.alignment.maps import (
    apply_map,
    coral_map,
    fit_coral,
    fit_linear_map,
    fit_rotation,
    fit_whitening,
    whiten,
)
from xferkit.alignment.subspaces import subspace_alignment


def cloud(n: int, scales: tuple[float, ...], seed: int, mean: float = 0.0) -> Tensor:
    """Correlated points: a random rotation of independent coordinates with these deviations."""
    generator = torch.Generator().manual_seed(seed)
    d = len(scales)
    rotation = torch.linalg.qr(torch.randn(d, d, generator=generator)).Q
    return mean + (torch.randn(n, d, generator=generator) * torch.tensor(scales)) @ rotation


SOURCE = cloud(400, (3.0, 1.0, 0.5, 0.2), seed=1, mean=2.0)
TARGET = cloud(300, (1.0, 2.0, 0.3, 0.8), seed=2, mean=-1.0)


def test_whitened_features_have_mean_zero_and_identity_covariance() -> None:
    white = whiten(SOURCE, ridge=1e-6)
    torch.testing.assert_close(white.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cov(white.T), torch.eye(4), atol=1e-3, rtol=0)


def test_the_ridge_keeps_whitening_finite_where_a_direction_is_empty() -> None:
    flat = torch.cat([SOURCE, SOURCE[:, :1]], 1)
    assert whiten(flat).isfinite().all() and whiten(flat).abs().max() < 100


def test_coral_gives_the_source_the_targets_mean_and_covariance() -> None:
    mapped = coral_map(SOURCE, TARGET, ridge=1e-6)
    torch.testing.assert_close(mapped.mean(0), TARGET.mean(0), atol=1e-3, rtol=0)
    torch.testing.assert_close(torch.cov(mapped.T), torch.cov(TARGET.T), atol=1e-2, rtol=1e-2)


def test_coral_with_a_ridge_is_the_papers_algorithm() -> None:
    """D_s C_s^(−1/2) C_t^(1/2) with C = cov + 1, on centred source features (Sun et al. 2016, Algorithm 1)."""
    c_s, c_t = torch.cov(SOURCE.T).double() + torch.eye(4), torch.cov(TARGET.T).double() + torch.eye(4)
    mapped = coral_map(SOURCE, TARGET) - TARGET.mean(0)
    centred = (SOURCE - SOURCE.mean(0)).double()
    # Undo the target's half and redo the source's: what is left must have covariance A·cov·A with A = C_s^(−1/2).
    values, vectors = torch.linalg.eigh(c_s)
    by_hand = centred @ (vectors / values.sqrt()) @ vectors.T
    values, vectors = torch.linalg.eigh(c_t)
    by_hand = by_hand @ (vectors * values.sqrt()) @ vectors.T
    torch.testing.assert_close(mapped.double(), by_hand, atol=1e-3, rtol=1e-3)


def test_coral_of_a_domain_with_itself_changes_nothing() -> None:
    torch.testing.assert_close(coral_map(SOURCE, SOURCE), SOURCE, atol=1e-3, rtol=1e-3)


def test_coral_helps_a_classifier_across_a_linear_shift() -> None:
    """The target is the source with its second axis, the one that tells the classes apart, stretched and moved."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(400) % 2
    z_s = torch.randn(400, 2, generator=generator) * torch.tensor([1.0, 0.3]) + torch.stack([0 * y, 1.0 * y], 1)
    z_t = z_s * torch.tensor([1.0, 6.0]) + torch.tensor([0.0, -8.0])
    accuracy = {}
    for name, z in {"raw": z_s, "coral": coral_map(z_s, z_t, ridge=1e-3)}.items():
        accuracy[name] = LogisticRegression().fit(z.numpy(), y.numpy()).score(z_t.numpy(), y.numpy())
    assert accuracy["raw"] < 0.7 and accuracy["coral"] > 0.9


def test_subspace_alignment_is_its_equations() -> None:
    """P_s M = P_s P_sᵀ P_t against scikit-learn's PCA; both sides' signs come from the target's axes alone."""
    a, b = subspace_alignment(SOURCE, TARGET, 2)
    p_s = torch.tensor(PCA(2).fit(SOURCE.numpy()).components_.T)
    p_t = torch.tensor(PCA(2).fit(TARGET.numpy()).components_.T)
    expected_a, expected_b = (SOURCE - SOURCE.mean(0)) @ p_s @ p_s.T @ p_t, (TARGET - TARGET.mean(0)) @ p_t
    signs = torch.sign((b * expected_b).sum(0))
    torch.testing.assert_close(b * signs, expected_b, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(a * signs, expected_a, atol=1e-3, rtol=1e-3)
    assert a.shape == (400, 2) and b.shape == (300, 2)


def test_subspace_alignment_in_all_dimensions_keeps_distances() -> None:
    a, b = subspace_alignment(SOURCE, TARGET, 4)
    torch.testing.assert_close(torch.cdist(a[:20], a[:20]), torch.cdist(SOURCE[:20], SOURCE[:20]), atol=1e-2, rtol=1e-3)
    torch.testing.assert_close(torch.cdist(b[:20], b[:20]), torch.cdist(TARGET[:20], TARGET[:20]), atol=1e-2, rtol=1e-3)
    with pytest.raises(ValueError, match="dim=5 must lie between 1 and 4"):
        subspace_alignment(SOURCE, TARGET, 5)


def test_the_linear_map_recovers_a_planted_one() -> None:
    generator = torch.Generator().manual_seed(3)
    planted, shift = torch.randn(4, 3, generator=generator), torch.tensor([5.0, -2.0, 100.0])
    found = fit_linear_map(SOURCE, SOURCE @ planted + shift, ridge=1e-8)
    torch.testing.assert_close(found, torch.cat([planted, shift[None]]), atol=1e-2, rtol=1e-3)


def test_the_linear_map_is_ridge_regression_with_a_free_constant() -> None:
    z_t = TARGET[:300] @ torch.ones(4, 2) + 7
    found = fit_linear_map(SOURCE[:300], z_t, ridge=0.5)
    theirs = Ridge(alpha=0.5 * 300).fit(SOURCE[:300].numpy(), z_t.numpy())
    torch.testing.assert_close(found[:-1], torch.tensor(theirs.coef_.T), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(found[-1], torch.tensor(theirs.intercept_), atol=1e-3, rtol=1e-3)
    with pytest.raises(ValueError, match="400 source rows and 300 target rows"):
        fit_linear_map(SOURCE, TARGET)


def test_a_fitted_map_serves_new_rows() -> None:
    new = cloud(50, (3.0, 1.0, 0.5, 0.2), seed=9, mean=2.0)
    for fitted, whole in (
        (fit_whitening(SOURCE), whiten(SOURCE)),
        (fit_coral(SOURCE, TARGET), coral_map(SOURCE, TARGET)),
    ):
        torch.testing.assert_close(apply_map(SOURCE, fitted), whole)
        both = apply_map(torch.cat([SOURCE, new]), fitted)
        torch.testing.assert_close(both[400:], apply_map(new, fitted))
    with pytest.raises(ValueError, match="need a map of 5 rows, not"):
        apply_map(SOURCE, torch.eye(4))


def test_the_rotation_recovers_a_planted_one_and_is_scipys() -> None:
    generator = torch.Generator().manual_seed(4)
    turn = torch.linalg.qr(torch.randn(4, 4, generator=generator)).Q
    shift = torch.tensor([1.0, -2.0, 0.0, 50.0])
    found = fit_rotation(SOURCE, SOURCE @ turn + shift)
    torch.testing.assert_close(found[:-1].float(), turn, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(apply_map(SOURCE, found), SOURCE @ turn + shift, atol=1e-3, rtol=1e-4)
    s, t = SOURCE[:300].double(), TARGET.double()
    theirs, _ = orthogonal_procrustes((s - s.mean(0)).numpy(), (t - t.mean(0)).numpy())
    torch.testing.assert_close(fit_rotation(SOURCE[:300], TARGET)[:-1], torch.tensor(theirs), atol=1e-5, rtol=1e-5)


def test_the_rotation_keeps_distances_and_needs_pairs() -> None:
    mapped = apply_map(SOURCE[:300], fit_rotation(SOURCE[:300], TARGET))
    torch.testing.assert_close(
        torch.cdist(mapped, mapped), torch.cdist(SOURCE[:300], SOURCE[:300]), atol=1e-2, rtol=1e-3
    )
    torch.testing.assert_close(mapped.mean(0), TARGET.mean(0), atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="400 source rows and 300 target rows"):
        fit_rotation(SOURCE, TARGET)


# ------------------------------------------------------------------------------------------------- degenerate features


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_maps_keep_the_precision_of_the_features(dtype: torch.dtype) -> None:
    s, t = SOURCE.to(dtype), TARGET.to(dtype)
    outputs = [whiten(s), coral_map(s, t), *subspace_alignment(s, t, 2), fit_linear_map(s[:300], t)]
    assert {o.dtype for o in outputs} == {dtype}
    assert fit_linear_map(SOURCE[:300], TARGET.double()).dtype == torch.float64
    torch.testing.assert_close(coral_map(s, t).float(), coral_map(SOURCE, TARGET), atol=2e-2, rtol=1e-2)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_maps_are_right_at_any_scale(scale: float) -> None:
    """In single precision the eigenvalues' rounding would exceed the ridge."""
    ridge = 1e-3 * scale**2
    mapped = coral_map(scale * SOURCE, scale * TARGET, ridge=ridge) / scale
    torch.testing.assert_close(mapped, coral_map(SOURCE, TARGET, ridge=1e-3), atol=1e-3, rtol=1e-3)
    white = whiten(1e6 * SOURCE, ridge=1e-3)
    torch.testing.assert_close(torch.cov(white.T), torch.eye(4), atol=1e-3, rtol=0)


def test_constant_dimensions_become_zero_or_the_targets_constant() -> None:
    flat = SOURCE.clone()
    flat[:, 2] = 3.0
    assert whiten(flat)[:, 2].abs().max() < 1e-5
    target = TARGET.clone()
    target[:, 2] = -5.0
    torch.testing.assert_close(coral_map(flat, target)[:, 2], torch.full((400,), -5.0))
    same = torch.ones(20, 3)
    assert torch.equal(whiten(same), torch.zeros(20, 3))
    torch.testing.assert_close(coral_map(same, 2 * same), 2 * same)
    torch.testing.assert_close(fit_linear_map(same, 2 * same), torch.tensor([[0.0] * 3] * 3 + [[2.0] * 3]))


def test_one_feature_is_enough() -> None:
    torch.testing.assert_close(whiten(SOURCE[:, :1]).std(0), torch.ones(1), atol=1e-2, rtol=0)
    mapped = coral_map(SOURCE[:, :1], TARGET[:, :1], ridge=1e-6)
    torch.testing.assert_close(mapped.std(0), TARGET[:, :1].std(0), atol=1e-3, rtol=1e-3)


def test_axes_that_the_data_does_not_have_are_refused() -> None:
    thin = torch.cat([SOURCE[:, :2], SOURCE[:, :2]], 1)  # rank 2
    assert subspace_alignment(thin, TARGET, 2)[0].shape == (400, 2)
    with pytest.raises(ValueError, match="dim=3, but the source features vary in 2 directions"):
        subspace_alignment(thin, TARGET, 3)
    with pytest.raises(ValueError, match="dim=1, but the target features vary in 0 directions"):
        subspace_alignment(SOURCE, torch.full((30, 4), 0.1), 1)
    with pytest.raises(ValueError, match="dim=3, but the target features vary in 2 directions"):
        subspace_alignment(SOURCE, TARGET[:3], 3)
    for wrong in (2.0, True, None):
        with pytest.raises(TypeError, match="dim="):
            subspace_alignment(SOURCE, TARGET, wrong)  # type: ignore[arg-type]


MAPS = {
    "whiten": lambda s, t, **ridge: whiten(s, **ridge),
    "coral": coral_map,
    "linear": lambda s, t, **ridge: fit_linear_map(s[:300], t, **ridge),
}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("ridge", [0.0, -1.0, float("nan"), float("inf")])
def test_a_ridge_is_positive(name: str, ridge: float) -> None:
    with pytest.raises(ValueError, match="ridge="):
        MAPS[name](SOURCE, TARGET, ridge=ridge)


@pytest.mark.parametrize("name", [*MAPS, "subspace"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda z: z[:1], "at least 2"),
        (lambda z: z[:0], "at least 2"),
        (lambda z: z.long(), "int64"),
        (lambda z: z.to(torch.complex64), "complex64"),
        (lambda z: z[:, 0], r"\(N, D\)"),
        (lambda z: z.index_fill(0, torch.tensor([3]), float("nan")), "1 of 400 rows|1 of 300 rows"),
    ],
)
def test_features_without_meaning_are_refused(name: str, change: Callable[[Tensor], Tensor], message: str) -> None:
    apply = MAPS.get(name, lambda s, t: subspace_alignment(s, t, 1))
    with pytest.raises((ValueError, TypeError), match=message):
        apply(change(SOURCE), TARGET)


def test_widths_must_agree_where_one_map_serves_both() -> None:
    for apply in (coral_map, lambda s, t: subspace_alignment(s, t, 1)):
        with pytest.raises(ValueError, match=r"\(400, 4\).*\(300, 3\).*widths"):
            apply(SOURCE, TARGET[:, :3])
