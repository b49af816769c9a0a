"""The grader's side of the wall: start the isolated server, hand it submissions, collect data, keep the time.

`bwrap` gives the server a read-only view of the system and of Python's packages and nothing else: no network, no
home, no submissions, no secret. For each submission the server forks a process that isolates itself further
(`contain.py`).
Nothing that comes back is believed: it is parsed by `wire.py` and compared elsewhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import itertools
import json
import os
import platform
import select
import shutil
import signal
import site
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xfergrade import wire

PACKAGE = Path(__file__).resolve().parent
INSIDE = ("wire.py", "contain.py", "worker.py")  # all of the grader that the sandbox can see
ISOLATIONS = ("bwrap", "user", "none")
START_SECONDS = 120


class IsolationError(RuntimeError):
    """Submissions cannot be isolated here; the message says why and what to do."""


class _ServerGone(RuntimeError):
    """The server or a supervisor ended, which no submission can bring about: the machine did."""


@dataclass(frozen=True)
class Limits:
    """What a submission may use. Times are wall-clock seconds; memory counts from what the imports already take."""

    seconds: float = 10  # for one step: one cell or one call
    total_seconds: float = 60  # for the whole submission, with all restarts
    memory_mb: int = 1024
    disk_mb: int = 64
    answer_mb: int = 16  # for what one call hands back
    threads: int = 32


@dataclass(frozen=True)
class Answer:
    """What one step gave: status "ok", "error" (it raised), "time", "ended" (the process died), "size", "skipped"."""

    status: str
    value: Any = None
    error: dict[str, Any] | None = None


@dataclass(frozen=True)
class Job:
    """A submission's cells, as (grade_id, code), and the names of the calls after them, "CHECK#CASE"."""

    cells: tuple[tuple[str, str], ...]
    calls: tuple[str, ...]


def sealed_file(data: bytes) -> int:
    """A descriptor of a file in memory that nobody can change any more."""
    descriptor = os.memfd_create("job", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(os.dup(descriptor), "wb") as file:
        file.write(data)
    fcntl.fcntl(
        descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    )
    return descriptor


# -------------------------------------------------------------------------------------------- what the server can see


def visible_folders(modules: Sequence[str]) -> list[Path]:
    """The folders that Python needs: the system's, the interpreter's, its packages, `modules` installed elsewhere."""
    wanted = [Path("/usr"), Path(sys.base_prefix), Path(sys.prefix)]
    wanted += [Path(p) for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    for name in modules:
        spec = importlib.util.find_spec(name)
        if spec is None:
            raise IsolationError(f"the assignment needs the module {name!r}, which is not installed here.")
        wanted += [Path(p) for p in spec.submodule_search_locations or ()]
    folders: list[Path] = []
    for folder in (p.resolve() for p in wanted):
        if folder.is_dir() and not any(folder.is_relative_to(seen) for seen in folders):
            folders.append(folder)
    return folders


def bwrap_command(modules: Sequence[str]) -> list[str]:
    """bubblewrap's command line for the server, up to the program."""
    command = ["bwrap", "--die-with-parent", "--new-session", "--clearenv"]
    # Root stays root inside until a submission takes a user id of its own; everybody else gets a user namespace.
    command += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    command += [] if os.geteuid() == 0 else ["--unshare-user"]
    command += ["--cap-add", "ALL"]  # for the server, which needs them to build namespaces; submissions get none
    folders = visible_folders(modules)
    # bwrap makes missing parents for its caller alone; a submission with another user id must pass through them.
    parents = sorted(
        {p for folder in [*folders, Path("/grader/xfergrade/x")] for p in folder.parents if p != Path("/")}
    )
    for parent in parents:
        if not any(parent.is_relative_to(folder) for folder in folders):
            command += ["--perms", "0755", "--dir", str(parent)]
    for folder in folders:
        command += ["--ro-bind", str(folder), str(folder)]
    for name in ("lib", "lib64", "bin", "sbin"):
        if os.path.islink(f"/{name}"):
            command += ["--symlink", f"usr/{name}", f"/{name}"]
        elif os.path.isdir(f"/{name}"):
            command += ["--ro-bind", f"/{name}", f"/{name}"]
    command += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    if any(PACKAGE.is_relative_to(folder) for folder in folders):
        command += ["--tmpfs", str(PACKAGE), "--remount-ro", str(PACKAGE)]
    command += ["--ro-bind", os.devnull, "/grader/xfergrade/__init__.py"]
    for name in INSIDE:
        command += ["--ro-bind", str(PACKAGE / name), f"/grader/xfergrade/{name}"]
    command += ["--proc", "/proc", "--dev", "/dev", "--dir", "/tmp", "--chdir", "/"]
    command += ["--remount-ro", "/dev", "--remount-ro", "/"]
    for name, value in _environment("/grader").items():
        command += ["--setenv", name, value]
    return command


def _environment(grader: str) -> dict[str, str]:
    extra = [
        p for p in sys.path if Path(p).name in ("site-packages", "dist-packages") and p not in site.getsitepackages()
    ]
    # One thread of computation, and one pool of memory: each further pool reserves 64 MB of address space.
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX"), "1")
    return {
        "PATH": "/usr/bin:/bin", "HOME": "/tmp", "USER": "student", "LANG": "C.UTF-8", "MPLBACKEND": "agg",
        "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.pathsep.join([grader, *extra]),
        **one,
    }  # fmt: skip


def why_not_isolated(isolation: str = "bwrap") -> str | None:
    """Why this kind of isolation does not work here, or None where it does."""
    if platform.system() != "Linux":
        return "isolation needs Linux. On other systems run the grader in a Linux container or virtual machine."
    if isolation == "user":
        if os.geteuid() != 0:
            return "--isolation user changes the user id, which only root may do."
        for folder in visible_folders(()):
            if any(not p.stat().st_mode & 0o001 for p in (folder, *folder.parents)):
                return f"--isolation user: other users cannot read {folder}, where Python is. Install it elsewhere."
        return None
    if isolation == "none":
        return None
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed (Debian, Ubuntu: apt install bubblewrap; Fedora: dnf install bubblewrap)."
    tried = subprocess.run(
        [*bwrap_command(()), "/usr/bin/true"], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL
    )
    if tried.returncode != 0:
        return f"bubblewrap does not work here: {tried.stderr.strip()[:300]}"
    return None


# ------------------------------------------------------------------------------------------------------- the sandbox


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
        self._lock = threading.Lock()
        self._numbers = itertools.count()
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
        limits["cpu_seconds"] = int(self.limits.total_seconds) + 5
        limits["processes"] = self.limits.threads + (0 if os.geteuid() == 0 else _tasks_of_this_user())
        uid = self._first_uid + number % self._uids if os.geteuid() == 0 and self.isolation != "none" else None
        return {"isolation": self.isolation, "uid": uid, "folder": folder, "limits": limits}

    @contextlib.contextmanager
    def _fork(self, job: dict[str, Any]) -> Iterator[tuple[int, socket.socket]]:
        """A process for one submission: the pipe it answers on, and the lifeline that ends it when closed."""
        results, results_there = os.pipe()
        lifeline, lifeline_there = socket.socketpair()
        job_file = sealed_file(json.dumps(job).encode())
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, results)
            stack.enter_context(lifeline)
            with lifeline_there, contextlib.ExitStack() as handed_over:
                handed_over.callback(os.close, job_file)
                handed_over.callback(os.close, results_there)
                request = self._request("/tmp", next(self._numbers))
                if self.isolation != "bwrap":
                    request["folder"] = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
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

    def run(self, job: Job) -> dict[str, Answer]:
        """Run a submission; an `Answer` for each step, by "cell ID" or "call NAME".

        A step that hangs, ends the process or answers nonsense is noted, and the rest is run again without it.

        Raises:
            IsolationError: a protection could not be put in place, so nothing was run.
        """
        answers: dict[str, Answer] = {}
        dropped: set[str] = set()
        lost: set[str] = set()  # checks that cannot be passed any more: their other cases need no second wait
        failures = 0
        finish = time.monotonic() + self.limits.total_seconds
        while True:
            cells = [c for c in job.cells if f"cell {c[0]}" not in dropped]
            calls = [c for c in job.calls if f"call {c}" not in answers and c.partition("#")[0] not in lost]
            steps = [f"cell {c[0]}" for c in cells] + [f"call {c}" for c in calls]
            if not calls and all(s in answers for s in steps):
                break
            if time.monotonic() >= finish:
                answers.update({s: Answer("skipped") for s in steps if s not in answers})
                break
            try:
                with self._fork({"cells": cells, "calls": calls}) as (results, lifeline):
                    for step, answer in self._collect(steps, results, lifeline, finish):
                        answers.setdefault(step, answer)
                        if answer.status in ("time", "ended", "size"):
                            dropped.add(step)
                            lost.add(step.removeprefix("call ").partition("#")[0])
            except _ServerGone:
                failures += 1
                if failures > 2:
                    raise IsolationError("the sandbox's server was ended three times; is memory short?") from None
        for name in job.calls:
            answers.setdefault(f"call {name}", Answer("skipped"))
        return answers

    def _collect(
        self, steps: list[str], results: int, lifeline: socket.socket, finish: float
    ) -> Iterator[tuple[str, Answer]]:
        reader = _Reader(results, self.limits.answer_mb * 2**20)
        for step in ["start", *steps]:
            allowed = START_SECONDS if step == "start" else self.limits.seconds
            try:
                message, blob = reader.frame(min(time.monotonic() + allowed, finish))
                if message.get("step") == "containment":
                    raise IsolationError(f"a protection could not be put in place: {message.get('error')}")
                if message.get("step") != step:
                    raise wire.WireError("what came out of the sandbox is not in the agreed order")
                if step == "start":
                    continue
                error = message.get("error")
                if error is None:
                    yield step, Answer("ok", wire.decode(message.get("value"), blob))
                else:
                    yield step, Answer("error", error=_clean_error(error))
                continue
            except TimeoutError:
                answer = Answer("time")
            except EOFError:
                answer = Answer("ended", value=_how_it_ended(lifeline))
            except wire.WireError as error:
                answer = Answer("size", error={"type": "", "message": str(error), "cell": "", "line": 0})
            yield (steps[0] if step == "start" else step), answer
            return


class _Reader:
    """Frames from a pipe whose other end belongs to somebody untrusted."""

    def __init__(self, descriptor: int, max_blob: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor, self.max_blob, self.buffer = descriptor, max_blob, bytearray()
        self.poll = select.poll()
        self.poll.register(descriptor, select.POLLIN)

    def take(self, count: int, deadline: float) -> bytes:
        while len(self.buffer) < count:
            left = deadline - time.monotonic()
            if left <= 0 or not self.poll.poll(left * 1000):
                raise TimeoutError
            data = os.read(self.descriptor, 1 << 20)
            if not data:
                raise EOFError
            self.buffer += data
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def frame(self, deadline: float) -> tuple[dict[str, Any], bytes]:
        json_length, blob_length = wire.header(self.take(wire.HEADER.size, deadline), self.max_blob)
        return wire.unpack(self.take(json_length, deadline)), self.take(blob_length, deadline)


def _clean_error(error: Any) -> dict[str, Any]:
    """An exception's description as the untrusted side gave it, cut to size and to the types we expect."""
    fields = error if isinstance(error, dict) else {}
    text = {k: str(fields.get(k, ""))[:600] for k in ("type", "message", "cell")}
    line = fields.get("line")
    return {**text, "line": line if type(line) is int and 0 <= line < 10**6 else 0}


def _how_it_ended(lifeline: socket.socket) -> str:
    """The supervisor's word on the process that ended, such as "exit status 0" or "SIGSEGV"."""
    lifeline.settimeout(2)
    try:
        code = int(lifeline.recv(16))
    except TimeoutError:
        return "it closed its output"
    except (OSError, ValueError):
        raise _ServerGone from None
    return f"exit status {code}" if code >= 0 else signal.Signals(-code).name


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
