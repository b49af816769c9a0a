"""Scores that choose without target labels, against slow direct computations and their limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from xferkit.selection import entropy_score, im_score, snd_score

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


SCORES = {"entropy": entropy_score, "im": im_score, "snd": snd_score}


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (CERTAIN * float("nan"), "20 of 20 rows"),
        (CERTAIN - float("inf"), "NaN or infinity"),
        (CERTAIN[:, :1], "one class"),
        (CERTAIN[:0], "0 rows"),
        (CERTAIN[0], r"\(N, D\)"),
        (CERTAIN.long(), "int64"),
        (CERTAIN.argmax(1), "int64"),
    ],
)
def test_logits_that_say_nothing_are_refused(name: str, logits: torch.Tensor, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        SCORES[name](logits)


def test_scores_of_a_set_need_a_set() -> None:
    """Of one picture the mutual information is 0 and of two the density, whatever the network says."""
    with pytest.raises(ValueError, match="1 rows of logits: at least 2"):
        im_score(CERTAIN[:1])
    with pytest.raises(ValueError, match="2 rows of logits: at least 3"):
        snd_score(CERTAIN[:2])
    for temperature in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="temperature"):
            snd_score(CERTAIN, temperature=temperature)


@pytest.mark.parametrize("name", SCORES)
def test_half_precision_and_large_logits_are_scored(name: str) -> None:
    logits = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
    assert SCORES[name](logits.half()) == pytest.approx(SCORES[name](logits), abs=2e-2)
    assert math.isfinite(SCORES[name](1e30 * logits))
