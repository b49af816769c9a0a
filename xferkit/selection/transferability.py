"""Choosing a pretrained network without training a head on it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from xferkit._checks import check_features, check_labels


def logme(features: Tensor, y: Tensor) -> float:
    """The log of the maximum evidence per picture, averaged over classes (You et al. 2021, Eq. 2 and Algorithm 1).

    How well a Bayesian linear regression with fitted prior α and noise β explains one-hot labels. It ranks pretrained
    networks for a labelled task without training a head. Numbering, rotation and scale of the features do not matter.

    Args:
        features: (N, D).
        y: integers (N,), two classes or more. A class is a label that occurs, so how they are numbered, and numbers
            that are left out, do not matter.
    Returns:
        Any real number, in nats, more is better: the log of a density, so not bounded by 0. Compare it for the same
        pictures and labels only. It grows without bound as the features come to give the labels exactly.
    Raises:
        ValueError: lengths that differ, one class alone, features that are not finite or all zero.
        TypeError: features that are no real floating-point numbers, or labels that are no integers.
    """
    check_features(features, least=2)
    check_labels(y, len(features))
    present = y.unique()
    if len(present) < 2:
        raise ValueError(f"all {len(y)} labels are {int(present[0])}: there must be classes to tell apart.")
    z = features.detach().double()
    n, d = z.shape
    # The fitted α takes up any common scale; with a mean square of one the iteration starts where it does for any.
    largest = z.abs().amax()
    if not float(largest):
        raise ValueError("the features are all zero: has the encoder collapsed?")
    z = z / largest
    z = z / z.square().mean().sqrt()
    u, s, _ = torch.linalg.svd(z, full_matrices=False)
    sigma = s.square()
    scores = []
    for c in present:
        t = (y == c).to(z)
        projected = (u.T @ t).square()
        rest = (t.square().sum() - projected.sum()).clamp_min(0)
        alpha, beta = torch.ones_like(rest), torch.ones_like(rest)
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
