"""One call that makes a run repeatable: seeds, device, profile, and a line that says which.

On one CPU with one thread count, two runs give identical numbers. On one GPU they agree within 1e-3 in a loss and
one point in an accuracy, because some CUDA kernels add in an order that changes from run to run.
"""

from __future__ import annotations

import os
import platform
import random
import warnings
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

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
        OSError: this user has no home folder, and `XFERKIT_DATA` names no other place.
    """
    try:
        return Path(os.environ.get("XFERKIT_DATA") or "~/.cache/xferkit").expanduser()
    except RuntimeError as error:
        raise OSError(f"{error} Set XFERKIT_DATA to a folder for downloads and weights.") from error


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (every device)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def setup(seed: int = 0) -> Session:
    """Seed everything, settle device and profile, and print one line that names them.

    Raises:
        ValueError: `XFERKIT_DEVICE` or `XFERKIT_PROFILE` holds an unknown word.
        RuntimeError: the device asked for is not on this machine.
    """
    # cuBLAS reads this once, when the first handle is made; without it matrix products vary from run to run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    chosen = device()
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    seed_everything(seed)
    versions = {
        "xferkit": version("xferkit"),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "python": platform.python_version(),
    }
    where = torch.cuda.get_device_name() if chosen.type == "cuda" else f"{torch.get_num_threads()} threads"
    untried = ", untried with this course" if chosen.type == "mps" else ""
    if chosen.type == "mps":
        warnings.warn("The mps device has not been tried with this course; please tell us how it went.", stacklevel=2)
    print(
        f"xferkit {versions['xferkit']} · torch {versions['torch']} · {chosen.type} ({where}{untried}) · "
        f"profile {profile()} · seed {seed}"
    )
    return Session(seed, chosen, profile(), versions)
