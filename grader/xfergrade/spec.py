"""What an assignment's checks.py is written in. Data alone: nothing here runs a submission or knows the grader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Compare = Callable[[Any, Any, tuple[Any, ...]], str | None]
MISSING = object()


@dataclass(frozen=True)
class Limits:
    """What a submission may use. Memory counts from what the imports already take.

    Times are seconds of a clock that stops while the submission waits for a processor that others use: on a busy
    machine it gets what it gets on an idle one, within `clock.PATIENCE` times as many seconds on the wall.
    """

    seconds: float = 10  # for one step: one cell or one call
    total_seconds: float = 60  # for the whole submission, with all restarts
    memory_mb: int = 1024
    disk_mb: int = 64
    answer_mb: int = 16  # for what one call hands back
    threads: int = 32


@dataclass(frozen=True)
class Inputs:
    """Arguments for a call, and the truth that stays outside the sandbox and counts as the expected answer."""

    args: tuple[Any, ...]
    truth: Any = MISSING


@dataclass(frozen=True)
class Check:
    """One thing to get right: a call, the inputs for it, the comparison, the points.

    Args:
        id: its name, "FUNCTION.ASPECT".
        part: the grade_id of the test cell that it belongs to.
        call: the student's function, or "drivers.NAME".
        inputs: draws the arguments from a generator; seeded by the secret, afresh for each of `cases`.
        compare: (expected, got, args) -> what is wrong, in words, or None.
        hint: what usually goes wrong.
        visible: students see it, with other inputs.
        given: functions of earlier parts. The source's own stand in for the student's, so that a mistake in them is
            paid for once, where they are asked for.
        tells: (*args) -> whether these inputs can tell the mistakes that the check is there for from the right answer.
            Inputs that cannot are drawn again.
    """

    id: str
    part: str
    points: float
    call: str
    inputs: Callable[[np.random.Generator], tuple[Any, ...] | Inputs]
    compare: Compare
    hint: str
    cases: int = 3
    visible: bool = False
    given: tuple[str, ...] = ()
    tells: Callable[..., bool] | None = None


@dataclass(frozen=True)
class Item:
    """A line of the rubric for a part that is graded by hand."""

    name: str
    points: float


@dataclass(frozen=True)
class Assignment:
    """What a checks.py defines, under the name `assignment`.

    Args:
        modules: what the sandbox imports once, for every submission.
        rubric: for parts graded by hand, by grade_id: the items that their points consist of.
    """

    title: str
    version: str
    checks: tuple[Check, ...]
    modules: tuple[str, ...] = ("numpy",)
    limits: Limits = field(default_factory=Limits)
    rubric: Mapping[str, tuple[Item, ...]] = field(default_factory=dict)
