"""Schedules of the learning rate: functions of progress p in [0, 1] that give a factor on the optimizer's own rate."""

from __future__ import annotations

import math


def _check_progress(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"p={p} must lie in [0, 1]: progress is step / steps, not the step.")


def cosine(p: float, *, warmup: float = 0.1) -> float:
    """A linear rise over the first `warmup` of the run, then half a cosine down to 0 (a factor on the rate).

    Raises:
        ValueError: p outside [0, 1], or `warmup` outside [0, 1).
    """
    _check_progress(p)
    if not 0.0 <= warmup < 1.0:
        raise ValueError(f"warmup={warmup} must be a share of the run, at least 0 and below 1.")
    if p < warmup:
        return (p + 0.01) / (warmup + 0.01)
    return 0.5 * (1 + math.cos(math.pi * (p - warmup) / (1 - warmup)))


def inverse_decay(p: float, *, alpha: float = 10.0, beta: float = 0.75) -> float:
    """1 / (1 + αp)^β, falling from 1 to 0.17 (Ganin et al. 2016, §5.2.2; their μ₀ is the optimizer's own rate).

    Raises:
        ValueError: p outside [0, 1], or α or β that is negative or not finite.
    """
    _check_progress(p)
    if not (0.0 <= alpha < math.inf and 0.0 <= beta < math.inf):
        raise ValueError(f"alpha={alpha}, beta={beta}: both must be finite and at least 0.")
    return 1.0 / (1.0 + alpha * p) ** beta
