"""Files that came with a package, compared with their checksum before they are believed."""

from __future__ import annotations

import hashlib
from pathlib import Path


def check_file(path: Path, sha256: str, again: str) -> None:
    """Compare a file's SHA-256 with the expected one.

    Args:
        again: one sentence that says how to get the file again.
    Raises:
        OSError: the file is missing or damaged; the message has the expected checksum and `again`.
    """
    if not path.is_file():
        raise OSError(f"{path} is missing (SHA-256 {sha256}). {again}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise OSError(f"{path} is damaged: its SHA-256 is {found}, expected {sha256}. {again}")
