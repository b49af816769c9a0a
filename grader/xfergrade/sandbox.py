"""The grader's side of the wall: start the isolated server, hand it submissions, collect data, keep the time.

For each submission the server forks a process that isolates itself further (`contain.py`). Nothing that comes back is
believed: it is parsed by `wire.py` and compared elsewhere.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from xfergrade import wire
from xfergrade.answers import Answer, Job, Stage, answer_of, clean_error
from xfergrade.clock import TOO_MUCH_PROCESSOR, Clock, Reader, ServerGone, cpu_seconds
from xfergrade.spec import Limits
from xfergrade.turns import Turns
from xfergrade.walls import PACKAGE, IsolationError, _environment, bwrap_command, scratch_folder, why_not_isolated

START_SECONDS = 120


class Ungraded(RuntimeError):
    """Not the submission but the machine kept it from being graded; the message says how."""


def sealed_file(data: bytes) -> int:
    """A descriptor of a file in memory that nobody can change any more."""
    import fcntl  # here, so that students' own checks run where there is no such module

    descriptor = os.memfd_create("job", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(os.dup(descriptor), "wb") as file:
        file.write(data)
    fcntl.fcntl(
        descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    )
    return descriptor


class Sandbox:
    """An isolated server and its submissions. Use as a context manager; `run` may be called from several threads.

    Raises:
        IsolationError: the isolation asked for does not work here.
    """

    def __init__(self, modules: Sequence[str], limits: Limits, isolation: str = "bwrap") -> None:
        reason = why_not_isolated(isolation)
        if reason is not None:
            raise IsolationError(reason)
        self.modules, self.limits, self.isolation = tuple(modules), limits, isolation
        self._scratch = scratch_folder(self.modules)
        self._lock, self._turns = threading.Lock(), Turns()
        self._numbers = itertools.count(os.getpid() * 1_009)  # graders at work side by side: other ids for each
        self._inputs = -1
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._first_uid, self._uids = _user_ids()

    def __enter__(self) -> Sandbox:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        if self._inputs >= 0:
            os.close(self._inputs)
            self._inputs = -1

    def set_inputs(self, drivers: str | None, calls: dict[str, dict[str, Any]], blob: bytes) -> None:
        """What every submission is called with: `calls` maps a name to target, seed and an encoded argument tree."""
        if self._inputs >= 0:
            os.close(self._inputs)
        self._inputs = sealed_file(wire.pack({"drivers": drivers, "calls": calls}, blob))

    def allow(self, seconds: float) -> None:
        """From now on a step has at least so many seconds, and the whole submission more in proportion."""
        longer = max(1, seconds / self.limits.seconds)
        self.limits = replace(
            self.limits, seconds=self.limits.seconds * longer, total_seconds=self.limits.total_seconds * longer
        )

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = [sys.executable, "-B", "-c", "from xfergrade.worker import main; main()"]
        arguments = [str(theirs.fileno()), *self.modules]
        if self.isolation == "bwrap":
            command, environment = [*bwrap_command(self.modules), *program, *arguments], dict(os.environ)
        else:
            command, environment = [*program, *arguments], _environment(str(PACKAGE.parent))
        with tempfile.TemporaryFile() as errors:
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                env=environment,
            )  # fmt: skip
            theirs.close()
            ours.settimeout(START_SECONDS)
            try:
                word = ours.recv(4096)
            except TimeoutError:
                word = b"it did not answer in time"
            if word != b"ready":
                self._process.kill()
                self._process.wait()
                errors.seek(0)
                said = (word + b" " + errors.read(2000)).decode(errors="replace").strip()
                raise IsolationError(f"the sandbox did not start: {said}")
        ours.settimeout(None)
        self._control = ours

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _request(self, folder: str, number: int) -> dict[str, Any]:
        limits = asdict(self.limits)
        limits["cpu_seconds"] = cpu_seconds(self.limits)
        limits["processes"] = self.limits.threads + (0 if os.geteuid() == 0 else _tasks_of_this_user())
        uid = self._first_uid + number % self._uids if os.geteuid() == 0 and self.isolation != "none" else None
        return {"isolation": self.isolation, "uid": uid, "folder": folder, "limits": limits}

    @contextlib.contextmanager
    def _fork(self, job: dict[str, Any]) -> Iterator[tuple[int, socket.socket]]:
        """A process for one submission: the pipe it answers on, and the lifeline that ends it when closed."""
        results, results_there = os.pipe()
        lifeline, lifeline_there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        job_file = sealed_file(json.dumps(job).encode())
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, results)
            stack.enter_context(lifeline)
            with lifeline_there, contextlib.ExitStack() as handed_over:
                handed_over.callback(os.close, job_file)
                handed_over.callback(os.close, results_there)
                request = self._request(self._scratch, next(self._numbers))
                if self.isolation != "bwrap":
                    request["folder"] = tempfile.mkdtemp(prefix="xfergrade-")
                    stack.callback(_remove_folder, request["folder"], lifeline)
                    if request["uid"] is not None:
                        os.chown(request["folder"], request["uid"], request["uid"])
                message = json.dumps(request).encode()
                descriptors = [job_file, self._inputs, results_there, lifeline_there.fileno()]
                with self._lock:
                    try:
                        socket.send_fds(self._connection(), [message], descriptors)
                    except OSError:  # the server died (the machine was out of memory, say): a fresh one, once
                        self._stop()
                        self._start()
                        socket.send_fds(self._connection(), [message], descriptors)
            yield results, lifeline

    def _connection(self) -> socket.socket:
        assert self._control is not None, "use the sandbox as a context manager"
        return self._control

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
        with self.sandbox._fork(job) as (results, lifeline):
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


def _remove_folder(folder: str, lifeline: socket.socket) -> None:
    """End the process that works in a folder, then remove the folder: by `rm`, which no depth of folders troubles."""
    lifeline.settimeout(2)
    with contextlib.suppress(OSError):
        lifeline.shutdown(socket.SHUT_WR)
        while lifeline.recv(64):
            pass
    subprocess.run(["/bin/rm", "-rf", "--", folder], stderr=subprocess.DEVNULL)


def _user_ids() -> tuple[int, int]:
    """The first user id for submissions, and how many: far above real accounts, where this system has such ids."""
    with contextlib.suppress(OSError, ValueError):
        rows = [[int(n) for n in row.split()] for row in Path("/proc/self/uid_map").read_text().splitlines()]
        if any(start <= 2_000_000_000 and start + count > 2_001_000_000 for start, _, count in rows):
            return 2_000_000_000, 1_000_000
    return 61_000, 4_000


def _tasks_of_this_user() -> int:
    """Processes and threads of the present user: the kernel counts them all against a limit on processes."""
    count = 0
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid == os.getuid():
                count += len(os.listdir(f"/proc/{entry.name}/task"))
    return count
