"""Choosing a pretrained network without training a head on it."""

from __future__ import annotations

import math

import torch
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
