"""LogME against a slow direct computation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from torch import Tensor

from xferkit.selection import logme


def labelled(n: int = 60, d: int = 4, signal: float = 1.5, classes: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n) % classes
    centres = torch.randn(classes, d, generator=generator)
    return signal * centres[y] + torch.randn(n, d, generator=generator), y


def slow_logme(z: Tensor, y: Tensor) -> float:
    """The evidence of t = Zw + ε, w ~ N(0, 1/α), ε ~ N(0, 1/β) as one Gaussian over t, maximised numerically."""
    gram, n = (z @ z.T).double().numpy(), len(z)
    best = []
    for c in range(int(y.max()) + 1):
        t = (y == c).double().numpy()

        def minus_evidence(log_precisions: np.ndarray, t: np.ndarray = t) -> float:
            alpha, beta = np.exp(log_precisions)
            covariance = np.eye(n) / beta + gram / alpha
            return -float(multivariate_normal(cov=covariance).logpdf(t))

        found = minimize(minus_evidence, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-6})
        best.append(-found.fun / n)
    return float(np.mean(best))


@pytest.mark.parametrize(("n", "d"), [(60, 4), (24, 40)])
def test_logme_is_the_maximum_evidence(n: int, d: int) -> None:
    """Also with more dimensions than pictures."""
    z, y = labelled(n, d)
    assert logme(z, y) == pytest.approx(slow_logme(z, y), abs=2e-3)


def test_logme_prefers_features_that_tell_classes_apart() -> None:
    scores = [logme(*labelled(n=150, signal=s)) for s in (0.3, 1.0, 3.0)]
    assert scores == sorted(scores) and scores[-1] - scores[0] > 0.2
    z, y = labelled(n=150, signal=3.0)
    assert logme(z, y) > logme(z, y[torch.randperm(150, generator=torch.Generator().manual_seed(1))])


def test_logme_does_not_see_a_rotation_of_the_features() -> None:
    z, y = labelled()
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(2))).Q
    assert logme(z @ rotation, y) == pytest.approx(logme(z, y), abs=1e-4)


def test_logme_does_not_see_how_classes_are_numbered() -> None:
    """Neither a shift, nor gaps, nor another order: a class is a label that occurs."""
    z, y = labelled()
    expected = logme(z, y)
    for numbers in ([1, 2, 3], [0, 5, 9], [2, 0, 1]):
        assert logme(z, torch.tensor(numbers)[y]) == pytest.approx(expected, abs=1e-9)
    assert logme(z, y.int()) == expected


@pytest.mark.parametrize("scale", [1e-20, 1e-3, 1e6, 1e30])
def test_logme_does_not_see_the_scale_of_the_features(scale: float) -> None:
    z, y = labelled()
    assert logme(scale * z.double(), y) == pytest.approx(logme(z.double(), y), abs=1e-6)


def test_logme_is_a_log_density_and_may_be_above_zero() -> None:
    z, y = labelled(signal=0.0)
    assert logme(z, y) < 0
    exact = torch.nn.functional.one_hot(y, 3).float()
    assert 1 < logme(exact + 0.01 * z[:, :3], y) < logme(exact + 1e-4 * z[:, :3], y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda z, y: (z, y[:-1]), "60 rows, but 59 labels"),
        (lambda z, y: (z, y[:, None]), r"\(60, 1\)"),
        (lambda z, y: (z, y.float()), "float32"),
        (lambda z, y: (z, y - 1), "-1"),
        (lambda z, y: (z, 0 * y + 4), "all 60 labels are 4"),
        (lambda z, y: (0 * z, y), "all zero"),
        (lambda z, y: (z * float("inf"), y), "NaN or infinity"),
        (lambda z, y: (z[:1], y[:1]), "at least 2"),
        (lambda z, y: (z.long(), y), "int64"),
    ],
)
def test_what_has_no_evidence_is_refused(change: Callable[[Tensor, Tensor], tuple], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        logme(*change(*labelled()))


def test_constant_features_have_the_evidence_of_a_mean() -> None:
    _, y = labelled()
    assert logme(torch.full((60, 3), 5.0), y) == pytest.approx(logme(torch.ones(60, 1), y), abs=1e-6)
