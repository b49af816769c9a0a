"""Schedules: factors on a learning rate, against their formulas."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from xferkit.schedules import cosine, inverse_decay


def test_cosine_rises_falls_and_ends_near_zero() -> None:
    factors = [cosine(step / 200) for step in range(200)]
    peak = factors.index(max(factors))
    assert 0 < factors[0] < 0.1 and max(factors) == pytest.approx(1.0, abs=0.01)
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert cosine(0.55) == pytest.approx(0.5) and math.isclose(cosine(1.0), 0, abs_tol=1e-9)


def test_learning_rate_falls_as_in_the_paper() -> None:
    assert inverse_decay(0) == 1  # a factor, as every schedule
    assert inverse_decay(1) == pytest.approx(11**-0.75)
    assert inverse_decay(0.5) == pytest.approx(6**-0.75)
    assert inverse_decay(0.3, alpha=2.0, beta=0.5) == pytest.approx(1.6**-0.5)


@pytest.mark.parametrize("schedule", [cosine, inverse_decay])
@pytest.mark.parametrize("p", [-0.01, 1.01, 37, math.nan])
def test_a_step_is_not_taken_for_progress(schedule: Callable, p: float) -> None:
    with pytest.raises(ValueError, match=r"p=.*\[0, 1\]"):
        schedule(p)


def test_settings_that_give_no_factor_are_refused() -> None:
    for warmup in (1.0, -0.1, math.nan):
        with pytest.raises(ValueError, match="warmup"):
            cosine(0.5, warmup=warmup)
    for settings in ({"alpha": -1.0}, {"alpha": math.nan}, {"beta": math.inf}):
        with pytest.raises(ValueError, match="alpha=.*beta="):
            inverse_decay(0.5, **settings)
