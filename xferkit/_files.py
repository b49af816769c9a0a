"""Files read and written whole: compared with their checksum before they are believed, put in place in one move."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path


def read_checked(path: Path, sha256: str, again: str) -> bytes:
    """A file's bytes, once their SHA-256 has been compared with the expected one.

    Args:
        again: one sentence that says how to get the file again.
    Raises:
        OSError: the file is missing (`FileNotFoundError`), cannot be read or is damaged; the message has the expected
            checksum and `again`.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing (SHA-256 {sha256}). {again}") from None
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error.strerror}; expected SHA-256 {sha256}). {again}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise OSError(f"{path} is damaged: its SHA-256 is {found}, expected {sha256}. {again}")
    return data


def write_whole(path: Path, data: bytes, *, draft: tuple[str, str] | None = None) -> None:
    """Write a file in one piece: whoever reads meanwhile, and whatever fails on the way, finds the old one or the new.

    Args:
        draft: how the name of the half-written file begins and ends, beside the other.
    Raises:
        OSError: the folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    begins, ends = draft or (f".{path.name}.", "")
    handle, half = tempfile.mkstemp(prefix=begins, suffix=ends, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(half, 0o644)
        os.replace(half, path)
    except BaseException:
        Path(half).unlink(missing_ok=True)
        raise
