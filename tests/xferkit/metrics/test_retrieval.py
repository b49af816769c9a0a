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
