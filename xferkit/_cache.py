"""Features that were computed before, on disk.

One safetensors file an entry, under the digest of all that the numbers depend on. An entry holds its own checksum:
what is damaged is noticed, named in a warning, and computed again. Nothing here ever stops a run.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
import warnings
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from xferkit._files import write_whole
from xferkit.session import cache_root

# The oldest entries go when all together take more than this.
LIMIT = 2 * 10**9
# What may be removed; a reader may have chosen a folder that holds other files too.
_ENTRY = re.compile(r"[0-9a-f]{64}\.safetensors")
_HALF_WRITTEN = re.compile(r"xferkit-.*\.part")
_said: set[str] = set()


def is_on() -> bool:
    """Whether there is a folder to keep features in; without one no digest need be made."""
    return _path("") is not None


def load(key: str) -> Tensor | None:
    """The entry under this key, a tensor of its own each time; None where there is none that can be trusted."""
    path = _path(key)
    if path is None:
        return None
    try:
        if not path.is_file():
            return None
        tensors = safetensors.torch.load(path.read_bytes())
        z = tensors["features"].clone()
        if tensors["sha256"].numpy().tobytes() != _checksum(key, z):
            raise ValueError("its checksum does not fit")
    except Exception as error:
        _warn(str(path), f"the cached features in {path} cannot be used ({_why(error)}); they are computed again.")
        return None
    try:
        os.utime(path)  # read lately, so it goes last
    except OSError:
        pass  # a cache that may be read and not written
    return z


def save(key: str, z: Tensor) -> None:
    """Keep the entry, whole or not at all: others may read and write the same folder meanwhile."""
    path = _path(key)
    if path is None:
        return
    try:
        checksum = torch.frombuffer(bytearray(_checksum(key, z)), dtype=torch.uint8)
        raw = safetensors.torch.save({"features": z.contiguous(), "sha256": checksum})
        write_whole(path, raw, draft=("xferkit-", ".part"))
        _trim(path.parent)
    except Exception as error:
        remedy = "Set XFERKIT_CACHE to another folder, or to off."
        _warn(str(path.parent), f"features cannot be kept in {path.parent} ({_why(error)}). {remedy}")


def _path(key: str) -> Path | None:
    try:
        root = cache_root()
    except OSError as error:
        _warn("home", f"features are not kept: {error}")
        return None
    return None if root is None else root / f"{key}.safetensors"


def _checksum(key: str, z: Tensor) -> bytes:
    digest = hashlib.sha256(f"{key} {z.dtype} {tuple(z.shape)}".encode())
    digest.update(z.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.digest()


def _trim(folder: Path) -> None:
    """Remove the entries that were not read for the longest time, and what killed processes left half written."""
    entries = []
    for file in os.scandir(folder):
        try:
            status = file.stat()
            if _HALF_WRITTEN.fullmatch(file.name) and status.st_mtime < time.time() - 86_400:
                os.unlink(file.path)
            elif _ENTRY.fullmatch(file.name):
                entries.append((status.st_mtime, status.st_size, file.path))
        except OSError:
            continue  # another process was faster
    total = sum(size for _, size, _ in entries)
    for _, size, entry in sorted(entries):
        if total <= LIMIT:
            break
        try:
            os.unlink(entry)
        except OSError:
            continue
        total -= size


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _warn(what: str, message: str) -> None:
    """Say it once for each file or folder, however often it is tried."""
    if what not in _said:
        _said.add(what)
        warnings.warn(message, stacklevel=4)
