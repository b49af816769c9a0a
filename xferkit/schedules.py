"""Schedules of the learning rate: functions of progress p in [0, 1] that give a factor on the optimizer's own rate."""

from __future__ import annotations

import math


def cosine(p: float, *, warmup: float = 0.1) -> float:
    """A linear rise over the first `warmup` of the run, then half a cosine down to 0 (a factor on the rate)."""
    if p < warmup:
        return (p + 0.01) / (warmup + 0.01)
    return 0.5 * (1 + math.cos(math.pi * (p - warmup) / (1 - warmup)))


def inverse_decay(p: float, *, alpha: float = 10.0, beta: float = 0.75) -> float:
    """1 / (1 + αp)^β, falling from 1 to 0.17 (Ganin et al. 2016, §5.2.2; their μ₀ is the optimizer's own rate)."""
    return 1.0 / (1.0 + alpha * p) ** beta
