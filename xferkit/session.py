"""One call that makes a run repeatable: seeds, device, profile, and a line that says which.

On one CPU with one thread count, two runs give identical numbers. On one GPU they agree within 1e-3 in a loss and
one point in an accuracy, because some CUDA kernels add in an order that changes from run to run.
"""

from __future__ import annotations

import ctypes
import os
import platform
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from xferkit._checks import check_count

PROFILES = ("small", "full")
DEVICES = ("auto", "cpu", "cuda", "mps")
T = TypeVar("T")


@dataclass(frozen=True)
class Session:
    """What `setup` chose: everything a reader needs to repeat the run."""

    seed: int
    device: torch.device
    profile: str
    versions: dict[str, str] = field(default_factory=dict)

    def _ipython_display_(self) -> None:
        """Nothing more, as a cell's last value: `setup` has printed its line."""


def _choice(variable: str, default: str, valid: tuple[str, ...]) -> str:
    value = os.environ.get(variable, default).strip().lower() or default
    if value not in valid:
        raise ValueError(f"{variable}={value!r} is not known. Choose one of: {', '.join(valid)}.")
    return value


def profile() -> str:
    """The running profile, from `XFERKIT_PROFILE`: "small" (offline, two CPU cores) or "full".

    Raises:
        ValueError: the variable holds another word.
    """
    return _choice("XFERKIT_PROFILE", "small", PROFILES)


def by_profile(*, small: T, full: T) -> T:
    """The value for the running profile, so that one cell serves both."""
    return small if profile() == "small" else full


def device() -> torch.device:
    """The device to compute on, from `XFERKIT_DEVICE`.

    "auto" takes CUDA where there is one and otherwise the CPU. Apple's "mps" has to be asked for by name: it has
    not been tried with this course.

    Raises:
        ValueError: the variable holds an unknown word.
        RuntimeError: the device asked for is not on this machine.
    """
    name = _choice("XFERKIT_DEVICE", "auto", DEVICES)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(
            "XFERKIT_DEVICE=cuda, but torch sees no CUDA GPU here. Use auto or cpu, or check the driver."
        )
    if name == "mps" and not torch.backends.mps.is_available():
        raise RuntimeError("XFERKIT_DEVICE=mps, but torch sees no Apple GPU here. Use auto or cpu.")
    return torch.device(name)


def data_root() -> Path:
    """Where the full profile keeps downloads and weights: `XFERKIT_DATA`, or `~/.cache/xferkit`.

    Raises:
        OSError: the variable is not set and the home folder is not known.
    """
    return _folder("XFERKIT_DATA", "~/.cache/xferkit")


def cache_root() -> Path | None:
    """Where features are kept: `XFERKIT_CACHE`, or `~/.cache/xferkit/features`; None if the variable says "off".

    Raises:
        OSError: the variable is not set and the home folder is not known.
    """
    if os.environ.get("XFERKIT_CACHE", "").strip().lower() == "off":
        return None
    return _folder("XFERKIT_CACHE", "~/.cache/xferkit/features")


def _folder(variable: str, default: str) -> Path:
    chosen = os.environ.get(variable, "").strip() or default
    try:
        return Path(chosen).expanduser()
    except RuntimeError as error:
        raise OSError(f"there is no home folder for {chosen}: set {variable} to a folder that exists.") from error


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (every device).

    Args:
        seed: a whole number from 0 to 2⁶⁴ − 1; NumPy takes it modulo 2³².
    Raises:
        TypeError: no whole number.
        ValueError: outside that range.
    """
    seed = check_count(seed, what="seed", least=0)
    if seed >= 2**64:
        raise ValueError(f"seed={seed} must be below 2**64.")
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Let torch compute with n threads, in a `with` block or, as a decorator, in a function; then as before.

    The order in which threads add decides the last bits of a result, so a pinned number makes it the same on every
    machine of a kind. With one thread, small networks are often faster too.

    Raises:
        TypeError, ValueError: n is no whole number of at least 1.
    """
    n, before = check_count(n, what="n"), torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _keep_freed_memory() -> bool:
    """Ask glibc to keep memory that was freed, for the next step, and say whether it will.

    By default it gives large blocks back to the system at once, and each training step pays for new pages again: a
    fifth to a third of a small network's time. Other C libraries, macOS and Windows are left as they are, and so is
    whoever has set glibc's own variables.
    """
    own = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
    if sys.platform != "linux" or any(name in os.environ for name in own):
        return False
    try:
        if not (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc"):
            return False
        mallopt = ctypes.CDLL(None).mallopt
        # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h; the second may not exceed 32 MiB.
        return bool(mallopt(-1, 2_000_000_000)) and bool(mallopt(-3, 32 * 2**20))
    except (AttributeError, OSError, ValueError):
        return False


def setup(seed: int = 0) -> Session:
    """Seed everything, settle device and profile, and print one line that names them.

    On Linux with glibc it also asks the allocator to keep freed memory for the next step (two `mallopt` settings,
    unless you have set glibc's own variables): a training step on a CPU is the faster for it, and the process stays as
    large as it was at its largest. Figures get the course's look, whether pyplot was imported before or comes later.

    Args:
        seed: as in `seed_everything`.
    Raises:
        ValueError: `XFERKIT_DEVICE` or `XFERKIT_PROFILE` holds an unknown word, or the seed is out of range.
        TypeError: the seed is no whole number.
        RuntimeError: the device asked for is not on this machine.
    """
    from xferkit._style import use_style  # matplotlib, which `import xferkit` does not load

    # cuBLAS reads this once, when the first handle is made; without it matrix products vary from run to run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    chosen = device()
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    seed_everything(seed)
    _keep_freed_memory()
    use_style()
    versions = {
        "xferkit": version("xferkit"),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "python": platform.python_version(),
    }
    n = torch.get_num_threads()
    where = torch.cuda.get_device_name() if chosen.type == "cuda" else f"{n} thread{'s' * (n != 1)}"
    untried = ", untried with this course" if chosen.type == "mps" else ""
    if chosen.type == "mps":
        warnings.warn("The mps device has not been tried with this course; please tell us how it went.", stacklevel=2)
    _say(
        f"xferkit {versions['xferkit']} · torch {versions['torch']} · {chosen.type} ({where}{untried}) · "
        f"profile {profile()} · seed {seed}"
    )
    return Session(int(seed), chosen, profile(), versions)


def _say(line: str) -> None:
    """Print, also where the terminal cannot show every character."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        line.encode(encoding)
    except UnicodeEncodeError:
        line = line.replace("·", "|").encode(encoding, "replace").decode(encoding)
    print(line)
