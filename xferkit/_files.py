"""Files that came with a package, compared with their checksum before they are believed."""

from __future__ import annotations

import hashlib
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


def check_file(path: Path, sha256: str, again: str) -> None:
    """`read_checked` for a library that wants to read the file itself."""
    read_checked(path, sha256, again)
