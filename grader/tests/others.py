"""What users other than the one who runs the tests can read: an interpreter, and copies where the course is closed.

The course may lie in a home that nobody else may enter. Tests with another user id work on copies; what is too large to
copy must be readable, and otherwise the test is skipped and says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from where import PACKAGE


def open_to_all(path: Path) -> bool:
    """Whether every user may pass through all folders down to a path."""
    return all(p.stat().st_mode & 0o001 for p in (path.resolve(), *path.resolve().parents) if p.is_dir())


def python() -> Path | str:
    """The system's interpreter, where it is of the running one's version; otherwise why there is none."""
    system = Path("/usr/bin/python3")
    if not system.exists():
        return "there is no system interpreter, which every user may read"
    version = subprocess.run([system, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True)
    if version.stdout.strip() != str(sys.version_info[:2]):
        return f"the system's interpreter, which every user may read, is {version.stdout.strip()}: not this version"
    return system


def packages(folder: Path) -> str:
    """PYTHONPATH for another user: the grader, copied into `folder`, and the installed packages, which are too large.

    Skips the test where the packages are closed to others.
    """
    installed = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    if not open_to_all(installed):
        pytest.skip(f"other users may not enter {installed}, where the packages are")
    shutil.copytree(PACKAGE, folder / "code" / "xfergrade", ignore=shutil.ignore_patterns("__pycache__"))
    return os.pathsep.join([str(folder / "code"), str(installed)])
