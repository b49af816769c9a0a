"""Scores that choose without target labels, against slow direct computations and their limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from torch import Tensor

from xferkit.selection import entropy_score, im_score, logme, snd_score


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


# ------------------------------------------------------------------------------------------------- entropy and IM

CERTAIN = 50 * torch.eye(4)[torch.arange(20) % 4]  # each class five times, without a doubt
UNDECIDED = torch.zeros(20, 4)
ONE_NAME = 50 * torch.eye(4)[torch.zeros(20, dtype=torch.int64)]


def test_entropy_score_has_its_two_limits() -> None:
    assert entropy_score(CERTAIN) == pytest.approx(0, abs=1e-6)
    assert entropy_score(UNDECIDED) == pytest.approx(-math.log(4))
    p = torch.tensor([[0.5, 0.25, 0.25]])
    assert entropy_score(p.log()) == pytest.approx(-1.5 * math.log(2))
    assert entropy_score(p.log() + 7) == pytest.approx(entropy_score(p.log()), abs=1e-6)  # a constant says nothing


def test_im_score_sees_the_network_that_knows_one_name_only() -> None:
    assert im_score(CERTAIN) == pytest.approx(math.log(4))
    assert im_score(UNDECIDED) == pytest.approx(0, abs=1e-6)
    assert im_score(ONE_NAME) == pytest.approx(0, abs=1e-6)
    assert entropy_score(ONE_NAME) == pytest.approx(0, abs=1e-6)  # where entropy alone is deceived


def test_im_score_is_mutual_information() -> None:
    """KL of each prediction from the mean prediction, averaged."""
    logits = torch.randn(30, 5, generator=torch.Generator().manual_seed(0)).double() * 2
    p = logits.softmax(1)
    expected = (p * (p / p.mean(0)).log()).sum(1).mean()
    assert im_score(logits) == pytest.approx(float(expected))


# --------------------------------------------------------------------------------------------------------------- SND


def test_snd_is_its_equations() -> None:
    """Softmax over cosine similarities to the *other* points, its entropy, averaged: written as loops."""
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).double()
    p = logits.softmax(1).numpy()
    entropies = []
    for i in range(6):
        weights = [
            math.exp(float(p[i] @ p[j]) / (np.linalg.norm(p[i]) * np.linalg.norm(p[j])) / 0.05)
            for j in range(6)
            if j != i
        ]
        q = np.array(weights) / sum(weights)
        entropies.append(-(q * np.log(q)).sum())
    assert snd_score(logits) == pytest.approx(float(np.mean(entropies)))


def test_snd_is_high_for_dense_neighbourhoods() -> None:
    assert snd_score(UNDECIDED) == pytest.approx(math.log(19))  # all alike: every other point is a neighbour
    assert snd_score(CERTAIN) == pytest.approx(math.log(4), abs=1e-3)  # four neighbours in one's own cluster
    scattered = 3 * torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    assert snd_score(scattered) < snd_score(UNDECIDED)
    assert snd_score(scattered, temperature=10.0) == pytest.approx(math.log(19), abs=0.01)
