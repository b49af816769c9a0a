"""Embeddings: every point under its name, and no input that kills the process."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from xferkit.plots import plot_embedding


def test_an_embedding_draws_every_point_under_its_name() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(30) % 3
    z = torch.randn(30, 4, generator=generator) + 30 * torch.nn.functional.one_hot(labels, 4)
    ax = plot_embedding(z, labels, ["x", "y", "z"], title="before")
    assert [len(c.get_offsets()) for c in ax.collections] == [10, 10, 10]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["x", "y", "z"] and ax.get_title() == "before"
    # Clusters far apart in the features are far apart in the picture.
    points = [np.asarray(c.get_offsets()) for c in ax.collections]
    spread = max(np.linalg.norm(p - p.mean(0), axis=1).max() for p in points)
    gaps = [np.linalg.norm(points[i].mean(0) - points[j].mean(0)) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert min(gaps) > spread


def scattered(n: int, d: int = 8) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "z",
    [
        torch.zeros(40, 8),
        torch.full((40, 8), 0.1) + 1e-9 * scattered(40),  # nothing but rounding
        torch.cat([scattered(1).expand(39, 8), torch.ones(1, 8)]),
        scattered(4),
        scattered(2).repeat(20, 1),
        torch.full((40, 8), float("nan")),
        torch.cat([scattered(39), torch.full((1, 8), float("inf"))]),
        torch.full((40, 8), 1e308, dtype=torch.float64),
        torch.zeros(0, 8),
        torch.zeros(40, 0),
    ],
    ids=["constant", "rounding", "one outlier", "four points", "two points", "nan", "inf", "overflow", "empty", "no D"],
)
def test_features_without_neighbourhoods_are_refused_and_kill_nothing(z: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="features"):
        plot_embedding(z, torch.zeros(len(z), dtype=torch.int64), ["a"])


@pytest.mark.parametrize(
    "z",
    [
        1e-30 * scattered(40),
        1e30 * scattered(40),
        100 + 1e-3 * scattered(40),
        scattered(40, d=1),
        scattered(40)[:, :1].expand(40, 8),
        scattered(5),
        torch.cat([scattered(1).expand(300, 8), scattered(6)]),
        scattered(40).half(),
        scattered(40).double().requires_grad_(),
    ],
    ids=["tiny", "huge", "far off", "one column", "one rank", "five", "mostly one", "half", "double with gradient"],
)
def test_unusual_features_are_drawn(z: torch.Tensor) -> None:
    ax = plot_embedding(z, torch.zeros(len(z), dtype=torch.int64), ["a"])
    points = np.asarray(ax.collections[0].get_offsets())
    assert np.isfinite(points).all() and len(np.unique(points, axis=0)) >= 5


def test_every_label_needs_a_name_and_every_point_a_label() -> None:
    with pytest.raises(ValueError, match="label 2 has no name"):
        plot_embedding(scattered(30), torch.arange(30) % 3, ["a", "b"])
    with pytest.raises(ValueError, match="30 rows, but 29 labels"):
        plot_embedding(scattered(30), torch.zeros(29, dtype=torch.int64), ["a"])


def test_more_than_seven_labels_keep_different_looks() -> None:
    labels = torch.arange(40) % 10
    ax = plot_embedding(torch.randn(40, 3), labels, [str(i) for i in range(10)])
    looks = {(to_hex(c.get_facecolor()[0][:3]), c.get_paths()[0].vertices.tobytes()) for c in ax.collections}
    assert len(looks) == 10
