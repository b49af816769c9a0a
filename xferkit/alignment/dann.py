"""Domain-adversarial training (Ganin et al. 2016, JMLR 17(59)): gradient reversal, discriminator, loss, schedules."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _GradReverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, lam: float) -> Tensor:
        ctx.lam = lam
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return -ctx.lam * grad, None


def grad_reverse(x: Tensor, lam: float) -> Tensor:
    """The identity going forward; going back, the gradient times −λ (Ganin et al. 2016, Eqs. 16–17).

    Args:
        x: any shape.
        lam: λ ≥ 0, how strongly the features are pushed away from what the discriminator wants.
    """
    return _GradReverse.apply(x, lam)


class DomainDiscriminator(nn.Sequential):
    """One logit for each feature vector: positive says "target", negative says "source".

    Takes (B, dim), gives (B,). One hidden layer, as in the paper's MNIST network (Fig. 4a).
    """

    def __init__(self, dim: int, hidden: int = 100) -> None:
        super().__init__(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Flatten(0))


def loss(disc: nn.Module, z_s: Tensor, z_t: Tensor, lam: float) -> Tensor:
    """The discriminator's loss with the gradient reversed on its way to the features.

    The mean over the source batch **plus** the mean over the target batch (Ganin et al. 2016, Eq. 10), so the two
    domains weigh the same whatever their batch sizes. λ acts on the features only: the discriminator itself always
    learns at full rate.

    Args:
        z_s: (B_s, D) source features.
        z_t: (B_t, D) target features.
    Returns:
        A scalar: 2·log 2 ≈ 1.386 when the discriminator cannot tell the domains apart.
    Raises:
        ValueError: the two feature widths differ.
    """
    if z_s.shape[1:] != z_t.shape[1:]:
        raise ValueError(
            f"source features are {tuple(z_s.shape)} and target features {tuple(z_t.shape)}: "
            "both must come from the same encoder, with the same width."
        )
    logits_s, logits_t = disc(grad_reverse(torch.cat([z_s, z_t]), lam)).split([len(z_s), len(z_t)])
    source = F.binary_cross_entropy_with_logits(logits_s, torch.zeros_like(logits_s))
    target = F.binary_cross_entropy_with_logits(logits_t, torch.ones_like(logits_t))
    return source + target


def lambda_ramp(p: float, *, gamma: float = 10.0, start: float = 0.0) -> float:
    """λ(p) = 2 / (1 + exp(−γq)) − 1, from 0 at the start to almost 1 at the end (Ganin et al. 2016, §5.2.2).

    Args:
        p: training progress over the whole run, from 0 to 1.
        start: λ stays 0 until then, so that the labels are learned first; q = (p − start) / (1 − start) afterwards. The
            paper has 0. In a short run λ would be large before there is anything to align.
    Raises:
        ValueError: `start` is not in [0, 1).
    """
    if not 0.0 <= start < 1.0:
        raise ValueError(f"start={start} must be at least 0 and below 1.")
    q = max(0.0, (p - start) / (1.0 - start))
    return 2.0 / (1.0 + math.exp(-gamma * q)) - 1.0
