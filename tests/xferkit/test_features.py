"""Features as data: what comes out of each stage, the alignment maps against their equations, retrieval by hand."""

from __future__ import annotations

import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from torch import Tensor

from xferkit.alignment.maps import coral_map, fit_linear_map, subspace_alignment, whiten
from xferkit.data import to_float
from xferkit.features import extract_features
from xferkit.metrics import retrieval_precision
from xferkit.models import lenet
from xferkit.session import device
from xferkit.train import predict


def cloud(n: int, scales: tuple[float, ...], seed: int, mean: float = 0.0) -> Tensor:
    """Correlated points: a random rotation of independent coordinates with these deviations."""
    generator = torch.Generator().manual_seed(seed)
    d = len(scales)
    rotation = torch.linalg.qr(torch.randn(d, d, generator=generator)).Q
    return mean + (torch.randn(n, d, generator=generator) * torch.tensor(scales)) @ rotation


SOURCE = cloud(400, (3.0, 1.0, 0.5, 0.2), seed=1, mean=2.0)
TARGET = cloud(300, (1.0, 2.0, 0.3, 0.8), seed=2, mean=-1.0)


# ------------------------------------------------------------------------------------------------- extract_features


def test_stages_come_out_averaged_over_space() -> None:
    torch.manual_seed(0)
    model = lenet(norm="batch").to(device()).train()
    x = torch.randint(256, (7, 3, 28, 28), dtype=torch.uint8)
    got = extract_features(model, x, layers=["stage1", "flatten"], batch_size=3)
    assert all(part.training for part in model.modules())
    model.eval()
    with torch.no_grad():
        first = model.features.stage1(to_float(x.to(device())))
    assert first.shape == (7, 32, 12, 12)
    close = {"atol": 1e-5 if device().type == "cpu" else 5e-3, "rtol": 1e-3}  # a GPU's TF32 units round coarsely
    torch.testing.assert_close(got["stage1"], first.mean((2, 3)).cpu(), **close)
    torch.testing.assert_close(got["flatten"], predict(model, x).features, **close)
    assert list(got) == ["stage1", "flatten"] and got["flatten"].shape == (7, 768)


def test_the_last_stage_is_the_default_and_it_can_be_trained_on() -> None:
    model = lenet().to(device())
    x = torch.randint(256, (3, 3, 28, 28), dtype=torch.uint8)
    got = extract_features(model, x)
    assert list(got) == ["flatten"]
    for z in (got["flatten"], extract_features(model, x, layers=["stage1"])["stage1"]):
        torch.nn.Linear(z.shape[1], 2)(z).sum().backward()


def test_an_unknown_stage_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'stage9'.*stage1, stage2, flatten"):
        extract_features(lenet(), torch.zeros(1, 3, 28, 28, dtype=torch.uint8), layers=["stage1", "stage9"])


# --------------------------------------------------------------------------------------------------- alignment maps


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


# -------------------------------------------------------------------------------------------------------- retrieval


def test_precision_at_k_by_hand() -> None:
    """Angles from the query at 0°: 10° (right), 20° (wrong), −30° (right), 90° (right), 180° (wrong)."""
    angles = torch.deg2rad(torch.tensor([10.0, 20.0, -30.0, 90.0, 180.0]))
    # Lengths differ: cosine similarity does not look at them.
    gallery = torch.stack([angles.cos(), angles.sin()], 1) * torch.tensor([1.0, 50.0, 0.1, 3.0, 9.0])[:, None]
    gallery_y = torch.tensor([4, 1, 4, 4, 1])
    queries, labels = torch.tensor([[2.0, 0.0], [-1.0, 0.01]]), torch.tensor([4, 1])
    # From the second query, near 180°: 180° (right), 90° (wrong), −30° (wrong), 20° (right), 10° (wrong).
    expected = {1: [1, 1], 2: [1 / 2, 1 / 2], 3: [2 / 3, 1 / 3], 4: [3 / 4, 2 / 4], 5: [3 / 5, 2 / 5]}
    for k, values in expected.items():
        got = retrieval_precision(queries, labels, gallery, gallery_y, k)
        torch.testing.assert_close(got, torch.tensor(values, dtype=torch.float32))


def test_impossible_retrieval_is_refused_with_the_shapes() -> None:
    query, gallery = torch.zeros(2, 3), torch.zeros(4, 3)
    y2, y4 = torch.zeros(2, dtype=torch.int64), torch.zeros(4, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"k=5, queries \(2, 3\), gallery \(4, 3\)"):
        retrieval_precision(query, y2, gallery, y4, 5)
    with pytest.raises(ValueError, match="k=0"):
        retrieval_precision(query, y2, gallery, y4, 0)
    with pytest.raises(ValueError, match="equal widths"):
        retrieval_precision(query[:, :2], y2, gallery, y4, 1)
