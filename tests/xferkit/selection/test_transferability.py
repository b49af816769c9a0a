"""LogME against a slow direct computation."""

from __future__ import annotations

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
