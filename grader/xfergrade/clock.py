"""The time that a submission has, and the frames that arrive in it. Nothing that arrives is believed."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from typing import Any

from xfergrade import wire
from xfergrade.spec import Limits

PATIENCE = 10  # however long it waits for a processor, a step ends after this many times the seconds it has
TOO_MUCH_PROCESSOR = "it used up its time on the processors"


class ServerGone(RuntimeError):
    """Something ended, or did not start, that no submission can reach: the machine failed, so try again."""


def cpu_seconds(limits: Limits) -> int:
    """What all threads of one process may compute; the kernel ends it there."""
    return int(limits.total_seconds) + 5


class Clock:
    """The time that a submission has had: seconds on the wall, less those that it waited for a processor.

    The supervisor is asked for these only where time seems to have run out.
    """

    def __init__(self, limits: Limits) -> None:
        self.total_seconds = limits.total_seconds
        self.cpu_seconds = cpu_seconds(limits)
        self.begin = time.monotonic()
        self.waited, self._waited_before = 0.0, 0.0  # with, and without, what the present process waited

    def process(self, lifeline: socket.socket) -> None:
        """A new process starts; its supervisor holds the other end of `lifeline`."""
        lifeline.settimeout(2)
        self.lifeline, self._waited_before, self._ended = lifeline, self.waited, ""

    def pause(self, seconds: float) -> None:
        """The submission waited so long for its turn, which is no time of its own."""
        self.begin += seconds

    def step(self, seconds: float) -> None:
        """A new step starts, and may take this long."""
        self.start, self._waited_at_start, self.seconds = time.monotonic(), self.waited, seconds

    def total_left(self) -> float:
        """Seconds that the submission has left."""
        waited = min(self.waited, (PATIENCE - 1) * self.total_seconds)
        return self.begin + self.total_seconds + waited - time.monotonic()

    def left(self) -> float:
        """Seconds that the step has left."""
        if self._left() <= 0:
            self._ask()
        return self._left()

    def _left(self) -> float:
        waited = min(self.waited - self._waited_at_start, (PATIENCE - 1) * self.seconds)
        return min(self.start + self.seconds + waited - time.monotonic(), self.total_left())

    def step_seconds(self) -> float:
        """Seconds on the wall since the step started."""
        return time.monotonic() - self.start

    def _ask(self) -> None:
        with contextlib.suppress(OSError):
            self.lifeline.send(b"?")
        self._hear()

    def _hear(self) -> str:
        """Take one message from the supervisor; its kind, "" where it is gone."""
        try:
            kind, _, number = self.lifeline.recv(64).decode().partition(" ")
        except TimeoutError:
            return "silence"
        except OSError:  # it ended without reading the question; what it said before can still be heard
            return "error"
        if kind == "waited":
            self.waited = self._waited_before + int(number) / 1e9
        elif kind == "ended":
            self._ended = number
        return kind

    def how_it_ended(self) -> str:
        """The supervisor's word on the process that ended, such as "exit status 0" or "SIGSEGV"."""
        kind = "ended" if self._ended else self._hear()
        while kind in ("waited", "error"):  # the answer to an earlier question
            kind = self._hear()
        if kind == "":
            raise ServerGone
        if kind == "silence":
            return "it closed its output"
        code, _, computed = self._ended.partition(" ")
        return self._in_words(int(code), int(computed or 0))

    def _in_words(self, code: int, computed: int) -> str:
        if code == -signal.SIGKILL and computed >= self.cpu_seconds - 1:
            return TOO_MUCH_PROCESSOR
        if code >= 0:
            return f"exit status {code}"
        return signal.Signals(-code).name if -code in {*signal.Signals} else f"signal {-code}"


class Reader:
    """Frames from a pipe whose other end belongs to somebody untrusted."""

    def __init__(self, descriptor: int, max_blob: int, clock: Clock) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor, self.max_blob, self.clock, self.buffer = descriptor, max_blob, clock, bytearray()
        self.poll = select.poll()
        self.poll.register(descriptor, select.POLLIN)

    def take(self, count: int) -> bytes:
        while len(self.buffer) < count:
            left = self.clock.left()
            # What lies ready counts even if this side comes late, but not for ever.
            if not self.poll.poll(max(left, 0) * 1000) or left < -1:
                if self.clock.left() <= 0:
                    raise TimeoutError
                continue
            data = os.read(self.descriptor, 1 << 20)
            if not data:
                raise EOFError
            self.buffer += data
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def frame(self) -> tuple[dict[str, Any], bytes]:
        json_length, blob_length = wire.header(self.take(wire.HEADER.size), self.max_blob)
        return wire.unpack(self.take(json_length)), self.take(blob_length)
