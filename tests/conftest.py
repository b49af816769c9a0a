"""Shared by all tests of the course."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder that may not be written to, with a file `secret` and a folder `closed` that may not be read.

    Permissions do not bind root, so as root the test runs as user 65534.
    """
    folder = Path(tempfile.mkdtemp())  # pytest's own folders are closed to other users
    (folder / "secret").write_bytes(b"")
    (folder / "secret").chmod(0)
    (folder / "closed").mkdir(mode=0)
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)
