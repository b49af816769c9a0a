"""Choosing without target labels: which pretrained network to take, which adapted one to keep.

All four scores are made so that more is better. None of them is a guarantee; the chapters say where they mislead.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def logme(features: Tensor, y: Tensor) -> float:
    """The log of the maximum evidence per picture, averaged over classes (You et al. 2021, Eq. 2 and Algorithm 1).

    How well a Bayesian linear regression with fitted prior α and noise β explains one-hot labels. It ranks pretrained
    networks for a labelled task without training a head.

    Args:
        features: (N, D).
        y: int64 (N,).
    """
    z = features.double()
    n, d = z.shape
    u, s, _ = torch.linalg.svd(z, full_matrices=False)
    sigma = s.square()
    scores = []
    for c in range(int(y.max()) + 1):
        t = (y == c).double()
        projected = (u.T @ t).square()
        rest = t.square().sum() - projected.sum()
        alpha, beta = torch.ones((), dtype=torch.double), torch.ones((), dtype=torch.double)
        for _ in range(100):
            ratio = alpha / beta
            gamma = (sigma / (sigma + ratio)).sum()
            m2 = (sigma * projected / (sigma + ratio).square()).sum()
            residual = (projected * (ratio / (sigma + ratio)).square()).sum() + rest
            alpha, beta = gamma / (m2 + 1e-10), (n - gamma) / (residual + 1e-10)
            if abs(float(alpha / beta - ratio)) <= 1e-4 * float(ratio):
                break
        log_det = torch.log(alpha + beta * sigma).sum() + (d - len(sigma)) * torch.log(alpha)
        evidence = 0.5 * (
            n * torch.log(beta)
            + d * torch.log(alpha)
            - n * math.log(2 * math.pi)
            - beta * residual
            - alpha * m2
            - log_det
        )
        scores.append(evidence / n)
    return float(torch.stack(scores).mean())


def entropy_score(logits: Tensor) -> float:
    """Minus the mean entropy of the predictions, in nats: 0 for certain ones, −log C for uniform ones.

    Args:
        logits: (N, C) on unlabelled target pictures.
    """
    log_p = F.log_softmax(logits.double(), 1)
    return float((log_p.exp() * log_p).sum(1).mean())


def im_score(logits: Tensor) -> float:
    """The mutual information of input and prediction: entropy of the mean minus mean entropy, in nats, from 0 to log C.

    Unlike `entropy_score` it sees a network that calls everything by one name.

    Args:
        logits: (N, C) on unlabelled target pictures.
    """
    mean = F.softmax(logits.double(), 1).mean(0)
    return float(-(mean * mean.clamp_min(1e-12).log()).sum()) + entropy_score(logits)


def snd_score(logits: Tensor, *, temperature: float = 0.05) -> float:
    """Soft neighbourhood density (Saito et al. 2021, Eqs. 2–4), in nats.

    The mean entropy of each point's softmax over its similarity to all others, similarity being the cosine of
    predicted probabilities. High: every point has many near neighbours, so the target forms dense clusters.

    Args:
        logits: (N, C) on unlabelled target pictures; memory grows as N².
        temperature: τ of the paper.
    """
    p = F.normalize(F.softmax(logits.double(), 1), dim=1)
    similarity = (p @ p.T) / temperature
    similarity.fill_diagonal_(-math.inf)
    log_q = F.log_softmax(similarity, 1)
    return float(-(log_q.exp() * log_q.clamp_min(-1e9)).sum(1).mean())
