"""The isolated server and its processes: one is forked for each submission, with what it needs and nothing else.

The process isolates itself further (`contain.py`) before it runs anything of the submission's.
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
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from xfergrade import wire
from xfergrade.clock import cpu_seconds
from xfergrade.spec import Limits
from xfergrade.walls import PACKAGE, IsolationError, _environment, bwrap_command, scratch_folder, why_not_isolated

START_SECONDS = 120


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


class Server:
    """A process behind the walls that has imported what submissions need. Use as a context manager.

    Raises:
        IsolationError: the isolation asked for does not work here.
    """

    def __init__(self, modules: Sequence[str], limits: Limits, isolation: str = "bwrap") -> None:
        reason = why_not_isolated(isolation)
        if reason is not None:
            raise IsolationError(reason)
        self.modules, self.limits, self.isolation = tuple(modules), limits, isolation
        self._scratch = scratch_folder(self.modules)
        self._lock = threading.Lock()
        self._numbers = itertools.count(os.getpid() * 1_009)  # graders at work side by side: other ids for each
        self._inputs = -1
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._first_uid, self._uids = _user_ids()

    def __enter__(self) -> Self:
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
    def fork(self, job: dict[str, Any]) -> Iterator[tuple[int, socket.socket]]:
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
