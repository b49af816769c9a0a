"""The program inside the sandbox: a server that imports NumPy and torch once and forks for each submission.

The server never sees a submission. For each one it is handed file descriptors and forks; the child leaves the
server's namespaces (`contain.py`) and forks once more; that second child locks itself down, reads the student's code,
runs it, and writes what the functions return to a pipe. The first child only waits, and kills the second when the
grader hangs up. Everything the second child writes is data that somebody else checks.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any

from xfergrade import wire
from xfergrade.calling import describe, run


def read_all(descriptor: int) -> bytes:
    """A sealed file's content, without touching the offset that other processes share."""
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def student_process(request: dict[str, Any], job_fd: int, inputs_fd: int, result_fd: int) -> None:
    """Lock down, then run the submission; never returns."""

    def send(message: dict[str, Any], blob: bytes) -> None:
        data = memoryview(wire.pack(message, blob))
        while data:
            data = data[os.write(3, data) :]

    from xfergrade import contain

    job = json.loads(read_all(job_fd))
    inputs, blob = wire.load(read_all(inputs_fd))
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(result_fd, 200)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.dup2(200, 3)
    os.closerange(4, 4096)
    try:
        if request["isolation"] != "none":
            contain.lock_down(
                limits=request["limits"],
                uid=request["uid"],
                mounts=request["isolation"] == "bwrap",
                folder=request["folder"],
            )
        else:
            os.chdir(request["folder"])
    except BaseException as error:
        send({"step": "containment", "error": describe(error)}, b"")
        os._exit(1)
    os.environ.update(HOME=request["folder"], TMPDIR=request["folder"])
    send({"step": "start"}, b"")
    run(job, inputs, blob, send)
    os._exit(0)


def supervise(request: dict[str, Any], job_fd: int, inputs_fd: int, result_fd: int, lifeline_fd: int) -> None:
    """Start the student's process in namespaces of its own; kill it when the grader hangs up; report how it ended.

    Whenever the grader asks, it is told how long the process has waited for a processor.
    """
    from xfergrade import contain

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        if request["isolation"] == "bwrap":
            contain.new_namespaces()
    except contain.ContainmentError as error:
        os.write(result_fd, wire.pack({"step": "containment", "error": describe(error)}))
        return
    processes = os.open("/proc", os.O_RDONLY)  # the child will hide /proc, from this process too
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(lifeline_fd)
        try:
            student_process(request, job_fd, inputs_fd, result_fd)
        finally:
            os._exit(1)
    for descriptor in (job_fd, inputs_fd, result_fd):
        os.close(descriptor)
    ended = os.pidfd_open(child)
    with contextlib.suppress(OSError):
        while ended not in select.select([lifeline_fd, ended], [], [])[0]:
            if not os.read(lifeline_fd, 1):
                break
            os.write(lifeline_fd, b"waited %d" % (1e9 * waited(processes, child, time.monotonic() - start)))
    os.kill(child, signal.SIGKILL)
    _, status, used = os.wait4(child, 0)
    computed = int(used.ru_utime + used.ru_stime)
    with contextlib.suppress(OSError):
        os.write(lifeline_fd, b"ended %d %d" % (os.waitstatus_to_exitcode(status), computed))


def waited(processes: int, process: int, elapsed: float) -> float:
    """Seconds that a process was ready to run while others had the processors; 0 on kernels that do not count.

    Its own threads are no others: what they have computed, of the seconds `elapsed` since the start, was no waiting.
    """
    try:
        file = os.open(f"{process}/schedstat", os.O_RDONLY, dir_fd=processes)
        ready = int(os.read(file, 100).split()[1]) / 1e9
        os.close(file)
        computed = time.clock_gettime((~process << 3) | 2)  # the processor time of that process: clock_getcpuclockid(3)
        return max(0, min(ready, elapsed - computed))
    except (OSError, ValueError, IndexError):
        return 0


def serve(control: socket.socket) -> None:
    """Fork once for every request (JSON and four descriptors) until the grader hangs up."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the supervisors
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 65536, 4)
        if not data:
            return
        if os.fork() == 0:
            try:
                control.close()
                supervise(json.loads(data), *descriptors)
            finally:
                os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)


def main() -> None:
    """`python -c … CONTROL_FD MODULE…`: import the modules, say ready, serve."""
    # Once, for every submission. Not at the top: students' own checks also run where there is no Linux.
    import xfergrade.contain  # noqa: F401

    control = socket.socket(fileno=int(sys.argv[1]))
    sys.modules["xfergrade"].check = lambda *args, **options: None  # type: ignore[attr-defined]
    try:
        for module in ("numpy.random", *sys.argv[2:]):
            importlib.import_module(module)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)
        with contextlib.suppress(ImportError):  # reads IPython's own syntax in cells
            importlib.import_module("IPython.core.inputtransformer2")
    except BaseException as error:
        control.send(f"cannot import {module}: {type(error).__name__}: {error}"[:2000].encode())
        return
    control.send(b"ready")
    serve(control)
