"""Distances between clouds whose values are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from xferkit.data import load_domain
from xferkit.features import extract_features
from xferkit.metrics import a_distance
from xferkit.models import lenet
from xferkit.session import device


def normal(n: int, d: int = 5, shift: float = 0.0, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


def test_a_distance_is_near_zero_for_two_halves_of_one_domain() -> None:
    torch.manual_seed(0)
    z = extract_features(lenet().to(device()), load_domain("mnist").train.subset(torch.randperm(3500)[:600]))["flatten"]
    assert abs(a_distance(z[:300], z[300:])) < 0.3
    halves = [a_distance(normal(300, seed=s), normal(300, seed=100 + s)) for s in range(5)]
    assert abs(np.mean(halves)) < 0.2


def test_a_distance_is_near_two_for_two_far_domains() -> None:
    assert a_distance(normal(100), normal(100, shift=10, seed=1)) > 1.99
    torch.manual_seed(0)
    model = lenet().to(device())
    z_a, z_b = (
        extract_features(model, load_domain(n).train.subset(range(300)))["flatten"] for n in ("mnist", "mnist_m")
    )
    assert a_distance(z_a, z_b) > 1.8


def test_a_distance_grows_with_the_shift() -> None:
    values = [a_distance(normal(400), normal(400, shift=s, seed=1)) for s in (0.1, 0.3, 0.6, 2.0)]
    assert values == sorted(values) and values[-1] - values[0] > 1


def test_a_distance_weighs_both_domains_alike() -> None:
    """A classifier that says the larger domain always would have a small plain error; balanced, it has one half."""
    assert abs(a_distance(normal(600), normal(30, seed=1))) < 0.5


def test_a_distance_has_not_seen_the_points_it_judges() -> None:
    """With more dimensions than points any training set can be separated perfectly; held-out points cannot."""
    assert a_distance(normal(60, d=300), normal(60, d=300, seed=1)) < 0.7


def test_a_distance_repeats_and_refuses_too_few_points() -> None:
    z_a, z_b = normal(50), normal(50, shift=0.5, seed=1)
    assert a_distance(z_a, z_b, seed=3) == a_distance(z_a, z_b, seed=3)
    with pytest.raises(ValueError, match="4 and 50 points.*five"):
        a_distance(z_a[:4], z_b)
