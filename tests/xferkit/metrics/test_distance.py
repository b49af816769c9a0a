"""Distances between clouds whose values are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xferkit.alignment import dann
from xferkit.data import load_domain
from xferkit.features import extract_features
from xferkit.metrics import a_distance, domain_accuracy, fresh_domain_accuracy
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


# ----------------------------------------------------------------------------------------------------------- twins


def test_a_domain_and_itself_are_at_distance_zero() -> None:
    """Every point's twin has the other label; without groups it would train the classifier against the point."""
    for z in (normal(60), normal(60, d=200), normal(60).half()):
        assert a_distance(z, z) == pytest.approx(0, abs=1e-9)
        assert a_distance(z, z[torch.randperm(60)]) == pytest.approx(0, abs=1e-9)


def test_groups_keep_the_same_picture_of_two_domains_in_one_fold() -> None:
    """Pairs that differ by a little noise: as far apart as no distance, once one knows that they are pairs."""
    z_a = normal(150, d=100)
    z_b = z_a + 1e-3 * normal(150, d=100, seed=1)
    assert a_distance(z_a, z_b) < -0.5
    pairs = torch.arange(150)
    assert abs(a_distance(z_a, z_b, groups_a=pairs, groups_b=pairs)) < 0.15
    order = torch.randperm(150, generator=torch.Generator().manual_seed(0))
    assert abs(a_distance(z_a, z_b[order], groups_a=pairs, groups_b=order.tolist())) < 0.15
    moved = a_distance(z_a, z_b + 3, groups_a=pairs, groups_b=pairs)
    assert moved == 2  # a shift is still seen


def test_groups_of_one_are_no_groups() -> None:
    z_a, z_b = normal(50), normal(50, shift=0.5, seed=1)
    alone = a_distance(z_a, z_b, groups_a=torch.arange(50), groups_b=torch.arange(50, 100))
    assert alone == a_distance(z_a, z_b)


def test_pictures_repeated_on_one_side_are_kept_together_too() -> None:
    """Ten copies of each of 30 points: a classifier that knows one copy knows the others, though nothing tells the
    domains apart."""
    copies = [normal(30, d=60, seed=s).repeat(10, 1) for s in range(6)]
    values = [a_distance(copies[s], copies[s + 1]) for s in (0, 2, 4)]
    assert abs(np.mean(values)) < 0.6 and max(values) < 1
    hidden = [z + 1e-6 * normal(300, d=60, seed=9 + s) for s, z in enumerate(copies[:2])]  # equal no more
    assert a_distance(*hidden) > 1.5


def test_a_distance_is_between_minus_two_and_two() -> None:
    """Worse than chance counts as below zero: each point's only neighbours have the other label."""
    z = torch.eye(20).repeat_interleave(2, 0) + 1e-6 * normal(40, d=20)
    value = a_distance(z[::2], z[1::2])
    assert -2 <= value < -1


def test_collapsed_features_have_distance_zero_or_an_error() -> None:
    same = torch.full((30, 4), 0.1)
    assert a_distance(same, same) == 0.0
    with pytest.raises(ValueError, match="1 and 1 distinct points.*collapsed"):
        a_distance(same, same + 1)
    with pytest.raises(ValueError, match="1 and 30 distinct points"):
        a_distance(same, normal(30, d=4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups_a": torch.arange(20)}, "one domain only"),
        ({"groups_a": torch.arange(20), "groups_b": torch.arange(19)}, r"\(19,\) for 20 rows"),
        ({"groups_a": torch.arange(20)[:, None], "groups_b": torch.arange(20)}, r"\(20, 1\) for 20 rows"),
        ({"groups_a": torch.arange(20.0), "groups_b": torch.arange(20.0)}, "float32"),
        ({"groups_a": torch.ones(20, dtype=torch.bool), "groups_b": torch.arange(20)}, "bool"),
        ({"groups_a": torch.arange(20) % 4, "groups_b": torch.arange(20)}, "4 and 20 groups"),
    ],
)
def test_groups_that_do_not_fit_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        a_distance(normal(20), normal(20, seed=1), **arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda z: z * float("nan"), "20 of 20 rows"),
        (lambda z: z[:, :3], r"\(20, 5\) and \(20, 3\).*widths|\(20, 3\) and \(20, 5\).*widths"),
        (lambda z: z.long(), "int64"),
        (lambda z: z[:, 0], r"\(N, D\)"),
    ],
)
def test_features_that_do_not_fit_are_refused_on_either_side(change: Callable[[Tensor], Tensor], message: str) -> None:
    z = normal(20)
    disc = dann.DomainDiscriminator(5)
    for pair in ((change(z), z), (z, change(z))):
        for distance in (a_distance, lambda *p: domain_accuracy(disc, *p), lambda *p: fresh_domain_accuracy(z, z, *p)):
            with pytest.raises((ValueError, TypeError), match=message):
                distance(*pair)
        with pytest.raises((ValueError, TypeError), match=message):
            fresh_domain_accuracy(*pair, z, z)


# ------------------------------------------------------------------------------------------------- domain accuracies


class First(nn.Module):
    """The first coordinate is the logit."""

    def forward(self, z: Tensor) -> Tensor:
        return z[:, 0]


def test_domain_accuracy_by_hand() -> None:
    """Source: 3 of 4 below zero. Target: 1 of 2 not below zero. Balanced, whatever the sizes."""
    z_s, z_t = torch.tensor([[-1.0], [-2.0], [3.0], [-1.0]]), torch.tensor([[0.0], [-1.0]])
    assert domain_accuracy(First(), z_s, z_t) == pytest.approx((0.75 + 0.5) / 2)
    assert domain_accuracy(First(), z_s.repeat(5, 1), z_t) == pytest.approx((0.75 + 0.5) / 2)


def test_domain_accuracy_asks_a_discriminator_at_rest_and_leaves_it_alone() -> None:
    torch.manual_seed(0)
    disc = nn.Sequential(nn.Linear(5, 50), nn.BatchNorm1d(50), nn.Dropout(0.9), nn.Linear(50, 1), nn.Flatten(0))
    before = {name: t.clone() for name, t in disc.state_dict().items()}
    z_s, z_t = normal(100), normal(100, shift=0.3, seed=1)
    assert domain_accuracy(disc, z_s, z_t) == domain_accuracy(disc, z_s, z_t)
    assert domain_accuracy(disc, z_s.double(), z_t.double()) == domain_accuracy(disc, z_s, z_t)
    assert disc.training and all(torch.equal(t, before[name]) for name, t in disc.state_dict().items())


def test_probabilities_and_nan_are_no_logits() -> None:
    """A sigmoid's outputs are never below zero: everything would be a target, and the accuracy one half."""
    squashed = nn.Sequential(nn.Linear(5, 1), nn.Flatten(0), nn.Sigmoid())
    with torch.no_grad(), pytest.raises(ValueError, match="ends in Sigmoid"):
        domain_accuracy(squashed, normal(20), normal(20))
    broken = dann.DomainDiscriminator(5)
    nn.init.constant_(broken[0].weight, float("nan"))
    with pytest.raises(ValueError, match="NaN"):
        domain_accuracy(broken, normal(20), normal(20))


def test_a_fresh_discriminator_finds_what_is_there_and_nothing_else() -> None:
    halves = [normal(400, seed=s) for s in range(4)]
    assert abs(fresh_domain_accuracy(*halves, steps=100) - 0.5) < 0.06
    shifted = [halves[0], halves[1] + 2, halves[2], halves[3] + 2]
    assert fresh_domain_accuracy(*shifted, steps=100) > 0.95
    # Not along a line: the inner and the outer ring, which no linear classifier tells apart.
    rings = [nn.functional.normalize(z[:, :2], dim=1) * r for z, r in zip(halves, (1.0, 2.0, 1.0, 2.0), strict=True)]
    assert fresh_domain_accuracy(*rings) > 0.95 and abs(a_distance(rings[0], rings[1])) < 0.4


@pytest.mark.parametrize("scale", [1e-8, 1e4])
def test_a_fresh_discriminator_sees_any_scale(scale: float) -> None:
    shifted = [scale * (normal(200, seed=s) + 2 * (s % 2)) for s in range(4)]
    assert fresh_domain_accuracy(*shifted, steps=100) > 0.9


def test_a_fresh_discriminator_repeats_and_leaves_the_random_state_alone() -> None:
    halves = [normal(50, shift=0.3 * s, seed=s) for s in range(4)]
    state = torch.get_rng_state()
    first = fresh_domain_accuracy(*halves, steps=5, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(10)
    with torch.no_grad():
        assert fresh_domain_accuracy(*halves, steps=5, seed=3) == first
    constant = [torch.ones(10, 4)] * 4
    assert fresh_domain_accuracy(*constant, steps=5) == 0.5
    with pytest.raises(ValueError, match="steps=0"):
        fresh_domain_accuracy(*halves, steps=0)
