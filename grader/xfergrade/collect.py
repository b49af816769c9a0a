"""From a folder as a learning platform hands it out to the files of each student.

Nothing is unpacked to disk and no link is followed. Known forms: Canvas (`doejane_LATE_123_456_hw-2.ipynb`), Moodle
(`Jane Doe_123_assignsubmission_file_/hw.ipynb`), Gradescope (`submission_123/hw.ipynb`), nbgrader and plain folders
(`jane/…/hw.ipynb`), plain files (`jane.ipynb`), each as a notebook or a zip of one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from xfergrade.lateness import GRADESCOPE, NBGRADER, gradescope_times, nbgrader_time

MAX_DEPTH = 30
_CANVAS = re.compile(r"(?P<name>[^_]+)_(?P<late>LATE_)?(?P<user>\d+)_\d+_(?P<rest>.+)")
_MOODLE = re.compile(r"(?P<student>.+?_\d+)_assignsubmission_(?:file|onlinetext)")
_GRADESCOPE = re.compile(r"submission_\d+")
_WRAPPER = re.compile(r"assignment_\d+(_export)?|submissions?|submitted|exports?|downloads?", re.IGNORECASE)
_ATTEMPT = re.compile(r"(?:-(\d{1,4})| \((\d{1,4})\))$")
LEFTOVERS = {"__MACOSX", ".git", ".ipynb_checkpoints", ".DS_Store", "Thumbs.db", GRADESCOPE, NBGRADER}


@dataclass(frozen=True)
class File:
    """A file that a student handed in."""

    path: Path
    attempt: int = 0
    late: bool = False


@dataclass(frozen=True)
class Upload:
    """The files of one student, before any of them is read.

    `origin` is the platform's own name for what was handed in, the first part of the path; `submitted` when it came, as
    far as the platform says.
    """

    student: str
    files: tuple[File, ...]
    origin: str = ""
    submitted: datetime | None = None


def find_uploads(root: Path, assignment: str = "") -> list[Upload]:
    """Every student's files below `root`, students sorted by name.

    Args:
        assignment: its name; a folder that is called so is no student.
    Raises:
        FileNotFoundError: there is no such folder, or nothing in it.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder. Unpack the platform's download and give its folder.")
    times: dict[str, datetime] = gradescope_times(root / GRADESCOPE)
    while (inner := _wrapped(root, assignment)) is not None:
        root = inner
        times |= gradescope_times(root / GRADESCOPE)
    students: dict[str, list[File]] = {}
    origins: dict[str, str] = {}
    for path in _files_below(root):
        relative = path.relative_to(root)
        student, file = _identify(relative, path)
        students.setdefault(student, []).append(file)
        origins.setdefault(student, relative.parts[0])
    if not students:
        raise FileNotFoundError(f"{root} holds no files.")
    uploads = []
    for student, files in sorted(students.items()):
        submitted = times.get(student) or _stamp(root / origins[student], assignment)
        uploads.append(Upload(student, tuple(files), origins[student], submitted))
    return uploads


def _stamp(folder: Path, assignment: str) -> datetime | None:
    """nbgrader's timestamp, in `jane/` or in `jane/ASSIGNMENT/`."""
    return nbgrader_time(folder / assignment / NBGRADER) or nbgrader_time(folder / NBGRADER)


def _files_below(root: Path) -> Iterator[Path]:
    """What is no folder, and folders that are empty, unreadable or too deep, so that no student's work just vanishes.

    A loop and not a recursion: students decide how deep their folders are.
    """
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda e: e.name)
        except OSError:
            entries = []
        inside = [e for e in entries if e.name not in LEFTOVERS and not e.name.startswith("._")]
        folders = [folder / e.name for e in inside if e.is_dir(follow_symlinks=False)]
        too_deep = len(folder.parts) - len(root.parts) >= MAX_DEPTH
        if folder != root and (not inside or (too_deep and folders)):
            yield folder
        yield from (folder / e.name for e in inside if not e.is_dir(follow_symlinks=False))
        if not too_deep:
            waiting += reversed(folders)


def _wrapped(root: Path, assignment: str) -> Path | None:
    """The one folder in `root`, where it is the platform's or a class's, and not a student's."""
    inside = [p for p in root.iterdir() if p.name not in LEFTOVERS]
    if len(inside) != 1 or inside[0].is_symlink() or not inside[0].is_dir():
        return None
    only = inside[0]
    below = [p for p in only.iterdir() if p.name not in LEFTOVERS]
    folders = [p for p in below if p.is_dir() and not p.is_symlink()]
    platforms = any(_MOODLE.match(p.name) or _CANVAS.fullmatch(p.name) or _GRADESCOPE.fullmatch(p.name) for p in below)
    if _MOODLE.match(only.name) or _GRADESCOPE.fullmatch(only.name) or assignment in {p.name for p in folders}:
        return None
    if platforms or (_WRAPPER.fullmatch(only.name) and folders):
        return only
    if len(below) == 1 and folders and _wrapped(only, assignment) is not None:
        return only
    handed_in = [p for p in below if p.suffix.lower() in (".ipynb", ".zip")]
    return only if len(folders) >= 2 and not handed_in else None


def _identify(path: Path, full: Path) -> tuple[str, File]:
    """Student and file, from a file's place and name."""
    stem = path.name[: -len(path.suffix)] if path.suffix else path.name
    counted = _ATTEMPT.search(stem)
    attempt = int(counted[1] or counted[2]) if counted else 0
    # Only the first part of the path is the platform's; the student chose the names below it.
    if moodle := _MOODLE.match(path.parts[0]):
        return moodle["student"], File(full, attempt)
    if len(path.parts) > 1:
        return path.parts[0], File(full, attempt)
    if canvas := _CANVAS.fullmatch(path.name):
        return f"{canvas['name']}_{canvas['user']}", File(full, attempt, canvas["late"] is not None)
    return (stem[: counted.start()] if counted and counted[2] else stem) or path.name, File(full, attempt)
