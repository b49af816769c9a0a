"""Retrieval by hand."""

from __future__ import annotations

import pytest
import torch

from xferkit.metrics import retrieval_precision


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


def labelled(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed)), torch.arange(n) % 2


def test_rows_and_labels_belong_together() -> None:
    (q, qy), (g, gy) = labelled(4, 0), labelled(6, 1)
    with pytest.raises(ValueError, match="4 rows, but 6 gallery labels"):
        retrieval_precision(q, qy, g[:4], gy, 3)
    with pytest.raises(ValueError, match="4 rows, but 3 query labels"):
        retrieval_precision(q, qy[:3], g, gy, 3)
    with pytest.raises(ValueError, match=r"query labels.*\(4, 1\)"):
        retrieval_precision(q, qy[:, None], g, gy, 3)
    with pytest.raises(ValueError, match=r"gallery labels.*\(6, 1\)"):
        retrieval_precision(q, qy, g, gy[:, None], 3)
    with pytest.raises(TypeError, match="float32"):
        retrieval_precision(q, qy.float(), g, gy, 3)
    for k in (1.0, True):
        with pytest.raises(TypeError, match="k="):
            retrieval_precision(q, qy, g, gy, k)  # type: ignore[arg-type]


def test_rows_without_a_direction_are_refused() -> None:
    (q, qy), (g, gy) = labelled(4, 0), labelled(6, 1)
    q0, g0 = q.clone(), g.clone()
    q0[1], g0[[2, 3]] = 0, 0
    with pytest.raises(ValueError, match="1 of 4 query rows are all zeros"):
        retrieval_precision(q0, qy, g, gy, 1)
    with pytest.raises(ValueError, match="2 of 6 gallery rows are all zeros"):
        retrieval_precision(q, qy, g0, gy, 1)
    q0[1] = float("nan")
    with pytest.raises(ValueError, match="1 of 4 rows of query features hold NaN"):
        retrieval_precision(q0, qy, g, gy, 1)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e30])
def test_lengths_do_not_matter_however_small_or_large(scale: float) -> None:
    (q, qy), (g, gy) = labelled(40, 0), labelled(60, 1)
    expected = retrieval_precision(q, qy, g, gy, 5)
    g = g * torch.where(torch.arange(60) % 3 == 0, scale, 1.0)[:, None]
    assert torch.equal(retrieval_precision(scale * q, qy, g, gy, 5), expected)
    assert retrieval_precision(q.half(), qy.int(), q.half(), qy, 1).eq(1).all()
