"""nbgrader as an instructor runs it: the same commands in a course folder of its own."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

CONFIG = "c = get_config()\nc.CourseDirectory.course_id = 'x'\nc.ExecutePreprocessor.timeout = 600\n"


def nbgrader(folder: Path, *arguments: str, **environment: str) -> str:
    """Run one command in `folder`; what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments], cwd=folder, capture_output=True, text=True,
        # nbgrader calls alembic by name: in an environment that is not activated, only this path finds it.
        env={**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
             "JUPYTER_PLATFORM_DIRS": "1", "IPYTHONDIR": str(folder), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def scores(folder: Path) -> dict[str, float]:
    """Points by student, as nbgrader exports them."""
    nbgrader(folder, "export")
    with open(folder / "grades.csv", encoding="utf-8", newline="") as file:
        return {row["student_id"]: float(row["raw_score"]) for row in csv.DictReader(file)}
