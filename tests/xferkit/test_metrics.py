"""Metrics: the one reading of the test labels, and distances between clouds whose values are known."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xferkit.data import Domain, Split, load_domain
from xferkit.features import extract_features
from xferkit.metrics import a_distance, final_test, linear_cka
from xferkit.models import Classifier, lenet
from xferkit.report import gap_closed
from xferkit.session import device


def normal(n: int, d: int = 5, shift: float = 0.0, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


# ------------------------------------------------------------------------------------------------------- a_distance


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


# ------------------------------------------------------------------------------------------------------- linear_cka


def test_cka_does_not_see_rotation_scale_or_place() -> None:
    x = normal(80, 6)
    rotation = torch.linalg.qr(normal(6, 6, seed=5)).Q
    for same in (x, x @ rotation, 7 * x, x + 3, -2 * (x @ rotation) + 1):
        assert linear_cka(x, same) == pytest.approx(1, abs=1e-4)
    assert linear_cka(x, x * torch.tensor([10.0, 1, 1, 1, 1, 1])) < 0.9  # any other linear map shows


def test_cka_is_symmetric_and_low_for_unrelated_features() -> None:
    x, y = normal(2000, 4), normal(2000, 7, seed=1)
    assert linear_cka(x, y) == pytest.approx(linear_cka(y, x)) and 0 <= linear_cka(x, y) < 0.05
    assert linear_cka(x, torch.cat([x, y], 1)) > 0.3


def test_cka_is_its_equation() -> None:
    """Against the Gram matrix form of HSIC: tr(KHLH) / sqrt(tr(KHKH) tr(LHLH))."""
    x, y = normal(30, 4).double() + 1, normal(30, 3, seed=2).double() - 2
    h = torch.eye(30).double() - 1 / 30
    k, l = x @ x.T @ h, y @ y.T @ h  # noqa: E741
    expected = torch.trace(k @ l) / torch.sqrt(torch.trace(k @ k) * torch.trace(l @ l))
    assert linear_cka(x, y) == pytest.approx(float(expected))
    with pytest.raises(ValueError, match="30 and 29 rows"):
        linear_cka(x, y[:29])


# ------------------------------------------------------------------------------------------------------- gap_closed


def test_gap_closed_is_the_share_of_the_gap() -> None:
    assert gap_closed(0.5, 0.5, 0.9) == 0 and gap_closed(0.5, 0.9, 0.9) == 1
    assert gap_closed(0.5, 0.4, 0.9) == pytest.approx(-0.25)
    # Ganin et al. 2016, Table 2, MNIST → MNIST-M: their own accuracies give 55.8 %.
    assert gap_closed(52.25, 76.66, 95.96) == pytest.approx(0.558, abs=5e-4)
    for target_only in (0.5, 0.4):
        with pytest.raises(ValueError, match="no gap"):
            gap_closed(0.5, 0.6, target_only)


# ------------------------------------------------------------------------------------------------------- final_test


class Always(nn.Module):
    """Features that make the head below say one class, whatever the picture."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.c = c

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.one_hot(torch.full((len(x),), self.c, device=x.device), 3).float()


def always(c: int) -> Classifier:
    head = nn.Linear(3, 3)
    nn.init.eye_(head.weight)
    nn.init.zeros_(head.bias)
    return Classifier(nn.Sequential(Always(c)), head).to(device())


@pytest.fixture
def domain() -> Domain:
    def split(labels: list[int]) -> Split:
        return Split(torch.zeros(len(labels), 3, 4, 4, dtype=torch.uint8), torch.tensor(labels))

    return Domain(f"toy-{uuid.uuid4()}", split([2, 2]), split([1, 1]), split([0, 0, 0, 1, 2, 2, 1, 0]), ("a", "b", "c"))


@pytest.fixture
def no_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_final_test_reads_the_test_part(domain: Domain, no_warning: None) -> None:
    models = {"first": [always(0), always(1)], "second": [always(2)]}
    assert final_test(models, domain, question="which is best?") == {"first": [0.5, 0.25], "second": [0.25]}


def test_a_second_reading_warns_and_another_question_does_not(domain: Domain) -> None:
    models = {"m": [always(0)]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        final_test(models, domain, question="once")
        final_test(models, domain, question="another")
    with pytest.warns(UserWarning, match=f"{domain.name} have already answered 'once'"):
        assert final_test(models, domain, question="once") == {"m": [0.5]}


@pytest.mark.parametrize("models", [{}, {"m": []}])
def test_a_reading_without_networks_is_refused_and_not_counted(
    models: dict[str, list[Classifier]], domain: Domain
) -> None:
    with pytest.raises(ValueError, match="no networks"):
        final_test(models, domain, question="q")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        final_test({"m": [always(1)]}, domain, question="q")
