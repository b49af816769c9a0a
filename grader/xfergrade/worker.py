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
import random
import re
import select
import signal
import socket
import sys
import time
import types
from collections.abc import Callable
from typing import Any

from xfergrade import wire

MAX_TEXT = 600
Send = Callable[[dict[str, Any], bytes], None]


# ---------------------------------------------------------------------------------------------- running a submission


class Student:
    """What a driver sees of the submission: `student.f` is the student's `f`."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace

    def __getattr__(self, name: str) -> Any:
        if name not in self._namespace:
            raise NameError(f"`{name}` is not defined: its cell is missing or failed")
        return self._namespace[name]


def seed_everything(seed: int) -> None:
    """Seed what is imported, so that student and reference draw the same numbers."""
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def call(namespace: dict[str, Any], drivers: dict[str, Any], target: str, args: tuple[Any, ...], seed: int) -> Any:
    """Call the student's function `target`, or the driver `drivers.NAME` with the student's functions.

    Raises:
        NameError: there is no such function. Whatever the function raises comes through.
    """
    seed_everything(seed)
    if target.startswith("drivers."):
        return drivers[target.removeprefix("drivers.")](Student(namespace), *args)
    return getattr(Student(namespace), target)(*args)


def load_drivers(source: str | None) -> dict[str, Any]:
    """The functions of an assignment's drivers.py."""
    namespace: dict[str, Any] = {"__name__": "drivers"}
    if source:
        exec(compile(source, "<drivers.py>", "exec", dont_inherit=True), namespace)
    return namespace


def compile_cell(name: str, source: str) -> types.CodeType:
    """A cell's code; where it is no Python, lines of IPython's own (`%matplotlib`, `!pip`) count as `pass`.

    Only ever called in the student's process: a crafted source keeps the compiler busy for minutes.
    """
    try:
        return compile(source, f"<cell {name}>", "exec", dont_inherit=True)
    except SyntaxError:
        plain = re.sub(r"^([ \t]*)[%!].*$", r"\1pass", source, flags=re.MULTILINE)
        return compile(plain, f"<cell {name}>", "exec", dont_inherit=True)


def describe(error: BaseException) -> dict[str, Any]:
    """What a student needs to know of an exception: type, message, cell, line. Short, and text only."""
    where, line = "", 0
    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name.startswith("<cell "):
            where, line = name[6:-1], trace.tb_lineno
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and str(error.filename).startswith("<cell "):
        where, line = str(error.filename)[6:-1], error.lineno or 0
    try:
        message = str(error)[:MAX_TEXT]
    except BaseException:
        message = "(the exception has no readable message)"
    return {"type": type(error).__name__[:80], "message": message, "cell": where, "line": line}


def run(job: dict[str, Any], inputs: dict[str, Any], blob: bytes, send: Send) -> None:
    """Run the cells from top to bottom, then the calls, and send a frame after each of them.

    A cell or call that raises is reported and the next one runs: in a submission everything counts by itself.
    """
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    namespace = vars(main)
    seed_everything(0)  # what a cell draws is the same in every run
    for name, source in job["cells"]:
        try:
            exec(compile_cell(name, source), namespace)
        except BaseException as error:
            send({"step": f"cell {name}", "error": describe(error)}, b"")
        else:
            send({"step": f"cell {name}"}, b"")
    drivers = load_drivers(inputs["drivers"])
    for name in job["calls"]:
        spec, answer = inputs["calls"][name], bytearray()
        try:
            args = wire.decode(spec["args"], blob, tensors=True)
            value = wire.encode(call(namespace, drivers, spec["target"], args, spec["seed"]), answer)
        except BaseException as error:
            send({"step": f"call {name}", "error": describe(error)}, b"")
        else:
            send({"step": f"call {name}", "value": value}, bytes(answer))


# -------------------------------------------------------------------------------------------------------- the server


def read_all(descriptor: int) -> bytes:
    """A sealed file's content, without touching the offset that other processes share."""
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def load_inputs(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Drivers, calls and the arrays they need, from one frame."""
    length, _ = wire.header(data[: wire.HEADER.size], len(data))
    start = wire.HEADER.size
    return wire.unpack(data[start : start + length]), data[start + length :]


def student_process(request: dict[str, Any], job_fd: int, inputs_fd: int, result_fd: int) -> None:
    """Lock down, then run the submission; never returns."""

    def send(message: dict[str, Any], blob: bytes) -> None:
        data = memoryview(wire.pack(message, blob))
        while data:
            data = data[os.write(3, data) :]

    from xfergrade import contain

    job = json.loads(read_all(job_fd))
    inputs, blob = load_inputs(read_all(inputs_fd))
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
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(OSError):
        os.write(lifeline_fd, b"ended %d" % status)


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
    except BaseException as error:
        control.send(f"cannot import {module}: {type(error).__name__}: {error}"[:2000].encode())
        return
    control.send(b"ready")
    serve(control)
