"""Centred kernel alignment against its equations."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from xferkit.metrics import linear_cka


def normal(n: int, d: int = 5, shift: float = 0.0, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


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


def test_debiased_cka_is_the_unbiased_estimator_of_its_three_terms() -> None:
    """Song et al. 2012, Eq. 5, written out."""
    x, y = normal(12, 4).double() + 1, normal(12, 7, seed=2).double() - 2
    y[:, :2] += x[:, :2]

    def hsic(k: Tensor, l: Tensor) -> Tensor:  # noqa: E741
        n, one = len(k), torch.ones(len(k)).double()
        k, l = k - k.diag().diag(), l - l.diag().diag()  # noqa: E741
        middle = (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ l @ one)
        return (torch.trace(k @ l) + middle) / (n * (n - 3))

    k, l = x @ x.T, y @ y.T  # noqa: E741
    expected = hsic(k, l) / (hsic(k, k) * hsic(l, l)).sqrt()
    assert linear_cka(x, y, debiased=True) == pytest.approx(float(expected))


def test_few_rows_and_many_dimensions_look_alike_unless_debiased() -> None:
    pairs = [(normal(20, 512, seed=s), normal(20, 512, seed=100 + s)) for s in range(10)]
    assert all(0.9 < linear_cka(x, y) <= 1 for x, y in pairs)
    values = [linear_cka(x, y, debiased=True) for x, y in pairs]
    assert abs(sum(values) / 10) < 0.05 and min(values) < 0 and all(-1 <= v <= 1 for v in values)
    x, y = normal(3000, 4), normal(3000, 4, seed=1)
    y[:, 0] = x[:, 0]
    assert linear_cka(x, y, debiased=True) == pytest.approx(linear_cka(x, y), abs=0.01)  # many rows: no bias left


def test_debiased_cka_does_not_see_rotation_scale_or_place() -> None:
    x = normal(20, 6)
    rotation = torch.linalg.qr(normal(6, 6, seed=5)).Q
    for same in (x, x @ rotation, 1e-9 * x, 1e6 * x, x + 3):
        assert linear_cka(x, same, debiased=True) == pytest.approx(1, abs=1e-4)
        assert linear_cka(x, same) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda z: torch.zeros_like(z), "same for all 10 inputs.*collapsed"),
        (lambda z: torch.full_like(z, 0.1), "same for all 10 inputs"),
        (lambda z: z[:1].repeat(10, 1), "same for all 10 inputs"),
        (lambda z: z * float("nan"), "10 of 10 rows"),
        (lambda z: z.long(), "int64"),
        (lambda z: z[:, 0], r"\(N, D\)"),
        (lambda z: z[:1], "1 rows"),
    ],
)
def test_features_without_a_likeness_are_refused(change: Callable, message: str, debiased: bool) -> None:
    x = normal(10)
    for pair in ((change(x), x), (x, change(x))):
        with pytest.raises((ValueError, TypeError), match=message):
            linear_cka(*pair, debiased=debiased)


def test_debiasing_needs_four_rows() -> None:
    assert linear_cka(normal(3), normal(3, seed=1)) <= 1
    with pytest.raises(ValueError, match="at least 4"):
        linear_cka(normal(3), normal(3, seed=1), debiased=True)
    with pytest.raises(ValueError, match="too few rows differ"):  # one row apart from all others, which are equal
        linear_cka(torch.eye(5)[:, :1], normal(5), debiased=True)
