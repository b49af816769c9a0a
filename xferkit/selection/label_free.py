"""Choosing an adapted network without target labels.

The scores are made so that more is better. None of them is a guarantee; the chapters say where they mislead.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from xferkit._checks import check_features, check_number


def _check_logits(logits: Tensor, *, least: int = 1) -> None:
    check_features(logits, what="logits", least=least)
    if logits.shape[1] < 2:
        raise ValueError(f"logits of shape {tuple(logits.shape)}: with one class every prediction is certain.")


def entropy_score(logits: Tensor) -> float:
    """Minus the mean entropy of the predictions, in nats: 0 for certain ones, −log C for uniform ones.

    Args:
        logits: (N, C) on unlabelled target pictures, C ≥ 2.
    Returns:
        A number in [−log C, 0].
    Raises:
        ValueError: no rows, fewer than two classes, or logits that are not finite.
        TypeError: no real floating-point logits.
    """
    _check_logits(logits)
    log_p = F.log_softmax(logits.detach().double(), 1)
    return float((log_p.exp() * log_p).sum(1).mean())


def im_score(logits: Tensor) -> float:
    """The mutual information of input and prediction: entropy of the mean minus mean entropy, in nats.

    Unlike `entropy_score` it sees a network that calls everything by one name.

    Args:
        logits: (N, C) on unlabelled target pictures, N ≥ 2 (of one picture it is always 0), C ≥ 2.
    Returns:
        A number in [0, log C].
    Raises:
        ValueError: fewer than two rows or classes, or logits that are not finite.
        TypeError: no real floating-point logits.
    """
    _check_logits(logits, least=2)
    mean = F.softmax(logits.detach().double(), 1).mean(0)
    return float(-(mean * mean.clamp_min(1e-12).log()).sum()) + entropy_score(logits)


def snd_score(logits: Tensor, *, temperature: float = 0.05) -> float:
    """Soft neighbourhood density (Saito et al. 2021, Eqs. 2–4), in nats.

    The mean entropy of each point's softmax over its similarity to all others, similarity being the cosine of
    predicted probabilities. High: every point has many near neighbours, so the target forms dense clusters.

    Args:
        logits: (N, C) on unlabelled target pictures, N ≥ 3 (with one neighbour it is always 0), C ≥ 2; memory grows as
            N².
        temperature: τ > 0 of the paper.
    Returns:
        A number in [0, log(N − 1)]: compare networks on the same pictures only. A network that calls everything by one
        name reaches the upper end.
    Raises:
        ValueError: fewer than three rows or two classes, logits that are not finite, or a temperature that is not
            positive.
        TypeError: no real floating-point logits.
    """
    _check_logits(logits, least=3)
    check_number(temperature, what="temperature", positive=True)
    p = F.normalize(F.softmax(logits.detach().double(), 1), dim=1)
    similarity = (p @ p.T) / temperature
    similarity.fill_diagonal_(-math.inf)
    log_q = F.log_softmax(similarity, 1)
    return float(-(log_q.exp() * log_q.clamp_min(-1e9)).sum(1).mean())
