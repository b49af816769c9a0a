"""From a folder as a learning platform hands it out to one notebook for each student.

Nothing is unpacked to disk, no link is followed, every read has a limit. Known forms: Canvas
(`doejane_LATE_123_456_hw-2.ipynb`), Moodle (`Jane Doe_123_assignsubmission_file_/hw.ipynb`), Gradescope
(`submission_123/hw.ipynb`), nbgrader and plain folders (`jane/…/hw.ipynb`), plain files (`jane.ipynb`), each as a
notebook or a zip of one.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xfergrade.compare import clean_text
from xfergrade.notebook import MAX_NOTEBOOK, Notebook, NotebookError, read_notebook

MAX_ZIP, MAX_ENTRIES, MAX_FILES, MAX_DEPTH, MAX_NOTES = 100_000_000, 1_000, 50, 30, 40
MAX_UNPACKED = 60_000_000  # of notebooks, for all files of a student together
_CANVAS = re.compile(r"(?P<name>[^_]+)_(?P<late>LATE_)?(?P<user>\d+)_\d+_(?P<rest>.+)")
_MOODLE = re.compile(r"(?P<student>.+?_\d+)_assignsubmission_file")
_ATTEMPT = re.compile(r"(?:-(\d{1,4})| \((\d{1,4})\))$")
_LEFTOVERS = {"__MACOSX", ".git", ".ipynb_checkpoints", ".DS_Store", "Thumbs.db", "submission_metadata.yml"}


@dataclass(frozen=True)
class Upload:
    """The files of one student, before any of them is read."""

    student: str
    files: tuple[tuple[Path, int, bool], ...]  # path, attempt, late


@dataclass(frozen=True)
class Submission:
    """What of an upload is graded: a notebook or none, and what the student and the grader should know."""

    student: str
    notebook: Notebook | None
    late: bool
    digest: str  # of everything in the upload
    notes: tuple[str, ...]


def find_uploads(root: Path) -> list[Upload]:
    """Every student's files below `root`, students sorted by name.

    Raises:
        FileNotFoundError: there is no such folder, or nothing in it.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder. Unpack the platform's download and give its folder.")
    root = _inner_folder(root)
    students: dict[str, list[tuple[Path, int, bool]]] = {}
    for path in _files_below(root):
        student, attempt, late = _identify(path.relative_to(root))
        students.setdefault(student, []).append((path, attempt, late))
    if not students:
        raise FileNotFoundError(f"{root} holds no files.")
    return [Upload(student, tuple(files)) for student, files in sorted(students.items())]


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
        inside = [e for e in entries if e.name not in _LEFTOVERS and not e.name.startswith("._")]
        folders = [folder / e.name for e in inside if e.is_dir(follow_symlinks=False)]
        too_deep = len(folder.parts) - len(root.parts) >= MAX_DEPTH
        if folder != root and (not inside or (too_deep and folders)):
            yield folder
        yield from (folder / e.name for e in inside if not e.is_dir(follow_symlinks=False))
        if not too_deep:
            waiting += reversed(folders)


def _inner_folder(root: Path) -> Path:
    """Past folders that hold one folder of folders and nothing else, as in `export/assignment_12/…`."""
    while True:
        inside = [p for p in root.iterdir() if p.name not in _LEFTOVERS]
        if len(inside) != 1 or inside[0].is_symlink() or not inside[0].is_dir():
            return root
        if not any(p.is_dir() and not p.is_symlink() for p in inside[0].iterdir()):
            return root
        root = inside[0]


def _identify(path: Path) -> tuple[str, int, bool]:
    """(student, attempt, late) from a file's place and name."""
    stem = path.name[: -len(path.suffix)] if path.suffix else path.name
    counted = _ATTEMPT.search(stem)
    attempt = int(counted[1] or counted[2]) if counted else 0
    # Only the first part of the path is the platform's; the student chose the names below it.
    if moodle := _MOODLE.match(path.parts[0]):
        return moodle["student"], attempt, False
    if len(path.parts) > 1:
        return path.parts[0], attempt, False
    if canvas := _CANVAS.fullmatch(path.name):
        return f"{canvas['name']}_{canvas['user']}", attempt, canvas["late"] is not None
    return (stem[: counted.start()] if counted and counted[2] else stem) or path.name, attempt, False


def read_upload(upload: Upload, assignment: str, version: str, known_cells: frozenset[str]) -> Submission:
    """Choose the notebook to grade: this assignment's, the current version, the last attempt, the most marked cells."""
    notes: list[str] = []
    digest = hashlib.sha256()
    found: list[tuple[tuple[bool, bool, int, int, str], str, Notebook, bool]] = []
    room = MAX_UNPACKED
    files = sorted(upload.files, key=lambda f: f[0].suffix.lower() not in (".ipynb", ".zip"))
    for path, attempt, late in files[:MAX_FILES]:
        # File names come from students too; below a student's folder they may repeat, so the name alone is shown.
        label = clean_text(path.name, 80)
        try:
            data = _read_file(path)
            digest.update(path.name.encode("utf-8", "surrogateescape") + hashlib.sha256(data).digest())
            candidates = _notebooks_in(path.name, label, data, room, notes)
            room -= sum(len(content) for _, content in candidates)
        except NotebookError as error:
            notes.append(f"{label}: {error}")
            continue
        for name, content in candidates:
            try:
                notebook = read_notebook(content)
            except NotebookError as error:
                notes.append(f"{name}: {error}")
                continue
            marked = sum(c.id in known_cells for c in notebook.cells)
            if notebook.assignment not in (None, assignment):
                notes.append(f"{name}: this is the assignment {notebook.assignment!r}, not {assignment!r}.")
            elif marked == 0:
                notes.append(f"{name}: none of the assignment's marked cells is in it.")
            else:
                rank = (notebook.assignment == assignment, notebook.version == version, attempt, marked, name)
                found.append((rank, name, notebook, late))
    if len(upload.files) > MAX_FILES:
        notes.append(f"{len(upload.files):,} files were handed in; the first {MAX_FILES} were read.")
    if not found:
        late = any(late for _, _, late in upload.files)
        return Submission(
            upload.student, None, late, digest.hexdigest(), (*notes[:MAX_NOTES], "nothing could be graded.")
        )
    found.sort(key=lambda f: f[0])
    _, name, notebook, late = found[-1]
    notes += [f"{other}: another copy; {name} was graded." for _, other, _, _ in found[:-1]]
    if notebook.version != version:
        notes.append(f"{name}: made from version {notebook.version or 'unknown'}; the current one is {version}.")
    return Submission(upload.student, notebook, late, digest.hexdigest(), (*notes[-MAX_NOTES:], *notebook.notes))


def _read_file(path: Path) -> bytes:
    """The bytes of a regular file.

    Raises:
        NotebookError: a link, a pipe, a device, unreadable or too large.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise NotebookError(f"cannot be read, or is a link ({error.strerror}).") from None
    try:
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(kind):
            raise NotebookError("a folder that is empty, or goes too deep to be read.")
        if not stat.S_ISREG(kind):
            raise NotebookError("is not a regular file.")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(MAX_ZIP + 1)
    except OSError as error:
        raise NotebookError(f"cannot be read ({error.strerror}).") from None
    finally:
        os.close(descriptor)
    if len(data) > MAX_ZIP:
        raise NotebookError(f"is larger than {MAX_ZIP:,} bytes.")
    return data


def _notebooks_in(filename: str, label: str, data: bytes, room: int, notes: list[str]) -> list[tuple[str, bytes]]:
    """(name, bytes) of the notebooks in a file, which may be a zip. Nothing is written anywhere.

    Raises:
        NotebookError: the zip is damaged, or holds too much, or more than `room` bytes of notebooks.
    """
    suffix = Path(filename).suffix.lower()
    if suffix == ".ipynb":
        if len(data) > room:
            raise NotebookError(f"not read: all notebooks together have more than {MAX_UNPACKED:,} bytes.")
        return [(label, data)]
    if suffix != ".zip":
        notes.append(f"{label}: neither a notebook nor a zip; not read.")
        return []
    if data.count(b"PK\x01\x02") > MAX_ENTRIES:  # each entry's mark; zipfile would first list millions of them
        raise NotebookError(f"the zip has more than {MAX_ENTRIES:,} entries.")
    found: list[tuple[str, bytes]] = []
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist():
                parts = entry.filename.replace("\\", "/").split("/")
                if entry.is_dir() or _LEFTOVERS & set(parts) or parts[-1].startswith("._"):
                    continue
                name = f"{label}/{clean_text(parts[-1], 80)}"
                if ".." in parts or parts[0] == "" or ":" in parts[0]:
                    notes.append(f"{name}: its path leaves the zip; not read.")
                elif stat.S_ISLNK(entry.external_attr >> 16):
                    notes.append(f"{name}: is a link; not read.")
                elif not parts[-1].lower().endswith(".ipynb"):
                    continue
                elif entry.flag_bits & 1:
                    notes.append(f"{name}: is encrypted; not read.")
                elif entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    # zipfile has no limit on what a kilobyte of bzip2 or LZMA unpacks to
                    notes.append(f"{name}: is packed in an unusual way; not read. Make an ordinary zip.")
                else:
                    with archive.open(entry) as file:
                        content = file.read(MAX_NOTEBOOK + 1)
                    room -= len(content)
                    if room < 0:
                        raise NotebookError(f"the zip holds more than {MAX_UNPACKED:,} bytes of notebooks.")
                    found.append((name, content))
    except NotebookError:
        raise
    except Exception as error:  # on damaged files zipfile raises many kinds: BadZipFile, zlib.error, EOFError…
        raise NotebookError(f"the zip cannot be read ({type(error).__name__}).") from None
    if not found:
        notes.append(f"{label}: no notebook in the zip.")
    return found
