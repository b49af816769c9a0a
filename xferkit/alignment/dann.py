"""Domain-adversarial training (Ganin et al. 2016, JMLR 17(59)): gradient reversal, discriminator, loss, schedules."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xferkit._checks import check_count, check_floating, check_number, check_same_width

# Ends of a discriminator that gives probabilities, by module and by what autograd calls their functions.
_SQUASHING = (nn.Sigmoid, nn.Hardsigmoid, nn.LogSigmoid, nn.Softmax, nn.LogSoftmax, nn.Softmin)
_SQUASHED = ("Sigmoid", "Hardsigmoid", "LogSigmoid", "Softmax", "LogSoftmax")
_RESHAPED = ("View", "UnsafeView", "ReshapeAlias", "Squeeze", "Select", "Slice", "Index", "Alias", "ToCopy")


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
    Raises:
        ValueError: λ is negative (that would help the discriminator), infinite or NaN.
    """
    if not 0 <= lam < math.inf:
        raise ValueError(f"lam={lam} must be finite and at least 0: the minus sign is in the reversal itself.")
    return _GradReverse.apply(x, lam)


class DomainDiscriminator(nn.Sequential):
    """One raw logit for each feature vector: positive says "target", negative says "source".

    Takes (B, dim), gives (B,). One hidden layer, as in the paper's MNIST network (Fig. 4a).
    """

    def __init__(self, dim: int, hidden: int = 100) -> None:
        dim, hidden = check_count(dim, what="dim"), check_count(hidden, what="hidden")
        super().__init__(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Flatten(0))


def domain_logits(disc: nn.Module, z: Tensor) -> Tensor:
    """`disc(z)`, after a look at whether it is what `loss` and the domain accuracies need.

    Args:
        disc: (B, D) ↦ (B,), one raw logit a row: positive for the target. No sigmoid or softmax at the end: the loss
            has it inside, and a second one leaves hardly any gradient.
    Raises:
        ValueError: another shape, probabilities instead of logits, or no features.
        TypeError: outputs that are no real floating-point numbers.
    """
    if not len(z):
        raise ValueError("no features: both domains need at least one row.")
    logits = disc(z)
    if logits.shape != (len(z),):
        raise ValueError(
            f"the discriminator gave {tuple(logits.shape)} for {len(z)} rows, but must give ({len(z)},), one logit a "
            "row: a last layer with one output, then nn.Flatten(0)."
        )
    if not logits.is_floating_point():
        raise TypeError(f"the discriminator gave {logits.dtype}, but must give real floating-point logits.")
    if (end := _squashing_end(disc, logits)) is not None:
        raise ValueError(f"the discriminator ends in {end}, but must give raw logits: leave that layer out.")
    return logits


def _squashing_end(disc: nn.Module, logits: Tensor) -> str | None:
    """The sigmoid or softmax that a discriminator ends in, be it a module or a call inside its `forward`."""
    node = logits.grad_fn
    while node is not None:
        name = node.name().removesuffix("Backward0").removesuffix("Backward1")
        if name.lstrip("_") in _SQUASHED:
            return name.lstrip("_")
        node = node.next_functions[0][0] if name in _RESHAPED and node.next_functions else None
    leaves = [part for part in disc.modules() if next(part.children(), None) is None]
    leaves = [part for part in leaves if not isinstance(part, nn.Flatten | nn.Unflatten | nn.Identity)]
    return type(leaves[-1]).__name__ if leaves and isinstance(leaves[-1], _SQUASHING) else None


def loss(disc: nn.Module, z_s: Tensor, z_t: Tensor, lam: float) -> Tensor:
    """The discriminator's loss with the gradient reversed on its way to the features.

    The mean over the source batch **plus** the mean over the target batch (Ganin et al. 2016, Eq. 10), so the two
    domains weigh the same whatever their batch sizes. λ acts on the features only: the discriminator itself always
    learns at full rate.

    Args:
        disc: (B, D) ↦ (B,), one raw logit a row, positive for the target, such as `DomainDiscriminator`. Called once,
            on source and target together.
        z_s: (B_s, D) source features.
        z_t: (B_t, D) target features.
        lam: λ ≥ 0, as in `grad_reverse`.
    Returns:
        A scalar: 2·log 2 ≈ 1.386 when the discriminator cannot tell the domains apart. NaN in the features gives NaN.
    Raises:
        ValueError: the two feature widths differ, a side is empty, λ is negative or not finite, or `disc` gives
            something else than (B,) raw logits.
        TypeError: features or outputs of `disc` that are no real floating-point numbers.
    """
    for name, z in (("source", z_s), ("target", z_t)):
        check_floating(z, what=f"{name} features")
    check_same_width(z_s, z_t, what=("source features", "target features"))
    if not len(z_s) or not len(z_t):
        raise ValueError(f"{len(z_s)} source and {len(z_t)} target rows: both domains need at least one.")
    logits = domain_logits(disc, grad_reverse(torch.cat([z_s, z_t]), lam))
    logits_s, logits_t = logits.split([len(z_s), len(z_t)])
    source = F.binary_cross_entropy_with_logits(logits_s, torch.zeros_like(logits_s))
    target = F.binary_cross_entropy_with_logits(logits_t, torch.ones_like(logits_t))
    return source + target


def lambda_ramp(p: float, *, gamma: float = 10.0, start: float = 0.0) -> float:
    """λ(p) = 2 / (1 + exp(−γq)) − 1, from 0 at the start to almost 1 at the end (Ganin et al. 2016, §5.2.2).

    Args:
        p: training progress over the whole run, from 0 to 1 (not a number of steps).
        gamma: γ > 0, how steep the rise is.
        start: λ stays 0 until then, so that the labels are learned first; q = (p − start) / (1 − start) afterwards. The
            paper has 0. In a short run λ would be large before there is anything to align.
    Raises:
        ValueError: `p` is not in [0, 1], `start` not in [0, 1), or `gamma` not positive.
    """
    if not 0.0 <= start < 1.0:
        raise ValueError(f"start={start} must be at least 0 and below 1.")
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"p={p} must be the share of the run that is done, from 0 to 1.")
    check_number(gamma, what="gamma", positive=True)
    q = max(0.0, (p - start) / (1.0 - start))
    return 2.0 / (1.0 + math.exp(-gamma * q)) - 1.0
