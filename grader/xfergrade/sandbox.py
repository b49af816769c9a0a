"""The grader's side of the wall: hand submissions to the isolated server, collect data, keep the time.

Nothing that comes back is believed: it is parsed by `wire.py` and compared elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from xfergrade import wire
from xfergrade.answers import Answer, Job, Stage, answer_of, clean_error
from xfergrade.clock import TOO_MUCH_PROCESSOR, Clock, Reader, ServerGone
from xfergrade.server import START_SECONDS, Server
from xfergrade.spec import Limits
from xfergrade.turns import Turns
from xfergrade.walls import IsolationError


class Ungraded(RuntimeError):
    """Not the submission but the machine kept it from being graded; the message says how."""


class Sandbox(Server):
    """An isolated server and the submissions that it runs. `run` may be called from several threads.

    Raises:
        IsolationError: the isolation asked for does not work here.
    """

    def __init__(self, modules: Sequence[str], limits: Limits, isolation: str = "bwrap") -> None:
        super().__init__(modules, limits, isolation)
        self._turns = Turns()

    def allow(self, seconds: float) -> None:
        """From now on a step has at least so many seconds, and the whole submission more in proportion."""
        longer = max(1, seconds / self.limits.seconds)
        self.limits = replace(
            self.limits, seconds=self.limits.seconds * longer, total_seconds=self.limits.total_seconds * longer
        )

    def run(self, job: Job, keep: Callable[[str, Answer], Answer] = lambda step, answer: answer) -> dict[str, Answer]:
        """Run a submission; an `Answer` for each step, by "cell ID" or "call NAME".

        A step that hangs, ends the process or answers nonsense is noted, and the rest is run again without it.

        Args:
            keep: (step, answer) -> what is kept of it. Called when it arrives.
        Raises:
            IsolationError: a protection could not be put in place, so nothing was run.
            Ungraded: the machine ended it, twice, the second time with nothing else running.
        """
        attempt = _Attempt(self, job.cells, Clock(self.limits), keep)
        for stage in (Stage(job.calls), *job.stages):
            attempt.stage(stage)
        return attempt.answers

    def _collect(self, steps: list[str], results: int, clock: Clock) -> Iterator[tuple[str, Answer]]:
        reader = Reader(results, self.limits.answer_mb * 2**20, clock)
        clock.step(START_SECONDS)
        try:
            message, _ = reader.frame()
        except (TimeoutError, EOFError):  # before any of the submission's code
            raise ServerGone from None
        if message.get("step") != "start":
            raise IsolationError(f"a protection could not be put in place: {message.get('error')}")
        for step in steps:
            clock.step(self.limits.seconds)
            try:
                message, blob = reader.frame()
                if message.get("step") != step:
                    raise wire.WireError("what came out of the sandbox is not in the agreed order")
                yield step, answer_of(message, blob, clock.step_seconds())
                continue
            except TimeoutError:
                answer = Answer("time")
            except EOFError:
                answer = Answer("ended", value=clock.how_it_ended())
            except wire.WireError as error:
                answer = Answer("size", error=clean_error({"message": str(error)}))
            yield step, answer
            return


class _Attempt:
    """One submission on its way through the sandbox."""

    def __init__(
        self,
        sandbox: Sandbox,
        cells: tuple[tuple[str, str], ...],
        clock: Clock,
        keep: Callable[[str, Answer], Answer],
    ) -> None:
        self.sandbox, self.cells, self.clock, self.keep = sandbox, cells, clock, keep
        self.answers: dict[str, Answer] = {}
        self.dropped: set[str] = set()
        self.lost: set[str] = set()  # checks that cannot be passed any more: their other cases need no second wait
        self.failures, self.alone = 0, False

    def stage(self, stage: Stage) -> None:
        """Run cells and calls, as often as it takes until each has an answer."""
        while True:
            cells = [c for c in self.cells if f"cell {c[0]}" not in self.dropped]
            calls = [c for c in stage.calls if f"call {c}" not in self.answers and c.partition("#")[0] not in self.lost]
            steps = [f"cell {c[0]}" for c in cells] + [f"call {c}" for c in calls]
            if not calls and all(s in self.answers for s in steps):
                break
            if self.clock.total_left() <= 0:
                self.answers.update({s: Answer("skipped") for s in steps if s not in self.answers})
                break
            job = {"cells": cells, "calls": calls, "given": stage.given, "given_cells": stage.cells}
            came = time.monotonic()
            with self.sandbox._turns.alone() if self.alone else self.sandbox._turns.shared():
                self.clock.pause(time.monotonic() - came)
                try:
                    self._process(job, steps)
                except ServerGone:
                    self.failures += 1
                    if self.failures > 2:
                        raise IsolationError("a process died or did not start, three times; memory short?") from None
        for name in stage.calls:
            self.answers.setdefault(f"call {name}", Answer("lost"))

    def _process(self, job: dict[str, Any], steps: list[str]) -> None:
        """One process, to its end or to the first step that it does not survive."""
        start = time.monotonic()
        with self.sandbox.fork(job) as (results, lifeline):
            self.clock.process(lifeline)
            for step, answer in self.sandbox._collect(steps, results, self.clock):
                if answer.status == "ended" and answer.value == "SIGKILL":
                    # From outside, and so no fault of the submission's, as a rule: memory was short. Once more, alone.
                    if self.alone:
                        raise Ungraded(f"{step}: the process was killed from outside, twice, the second time with no "
                                       "other submission running. Is there memory enough?")  # fmt: skip
                    self.alone = True
                    self.clock.pause(time.monotonic() - start)
                    return
                if answer.status == "ended" and answer.value == TOO_MUCH_PROCESSOR:
                    answer = Answer("time")
                if step not in self.answers:
                    self.answers[step] = self.keep(step, answer)
                if answer.status in ("time", "ended", "size"):
                    self.dropped.add(step)
                    self.lost.add(step.removeprefix("call ").partition("#")[0])
