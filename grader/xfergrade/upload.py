"""What of an upload is graded: one notebook, chosen and read with a limit on everything."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import zipfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from xfergrade.collect import LEFTOVERS, Upload
from xfergrade.notebook import MAX_NOTEBOOK, Notebook, NotebookError, read_notebook, shortened
from xfergrade.text import clean_text

MAX_ZIP, MAX_ENTRIES, MAX_FILES, MAX_NOTES = 100_000_000, 1_000, 50, 40
MAX_UNPACKED = 60_000_000  # of notebooks, for all files of a student together
OURS = ".checks"  # what came with the assignment and goes back with some platforms


@dataclass(frozen=True)
class Submission:
    """What of an upload is graded: a notebook or none, and what the student and the grader should know."""

    student: str
    notebook: Notebook | None
    late: bool
    digest: str  # of everything in the upload
    notes: tuple[str, ...]
    origin: str = ""
    file: str = ""  # the name of the file that is graded
    submitted: datetime | None = None


def read_upload(upload: Upload, assignment: str, version: str, known_cells: frozenset[str]) -> Submission:
    """Choose the notebook to grade: this assignment's, the current version, the last attempt, the most marked cells."""
    notes: list[str] = []
    digest = hashlib.sha256()
    found: list[tuple[tuple[bool, bool, int, int, str], str, Notebook, bool, str]] = []
    room = MAX_UNPACKED
    listed = [f for f in upload.files if f.path.suffix.lower() != OURS]
    files = sorted(listed, key=lambda f: f.path.suffix.lower() not in (".ipynb", ".zip"))
    for file in files[:MAX_FILES]:
        # File names come from students too; below a student's folder they may repeat, so the name alone is shown.
        label = clean_text(file.path.name, 80)
        try:
            data = _read_file(file.path)
            digest.update(file.path.name.encode("utf-8", "surrogateescape") + hashlib.sha256(data).digest())
            candidates = _notebooks_in(file.path.name, label, data, room, notes)
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
                rank = (notebook.assignment == assignment, notebook.version == version, file.attempt, marked, name)
                found.append((rank, name, notebook, file.late, file.path.name))
    if len(listed) > MAX_FILES:
        notes.append(f"{len(listed):,} files were handed in; the first {MAX_FILES} were read.")
    if not found:
        late = any(file.late for file in upload.files)
        notes = [*shortened(notes, MAX_NOTES), "nothing could be graded."]
        facts = (digest.hexdigest(), tuple(notes), upload.origin, "", upload.submitted)
        return Submission(upload.student, None, late, *facts)
    found.sort(key=lambda f: f[0])
    _, name, notebook, late, graded = found[-1]
    notes = shortened(notes, MAX_NOTES)
    notes += shortened([f"{other}: another copy; {name} was graded." for _, other, _, _, _ in found[:-1]], MAX_NOTES)
    if notebook.version != version:
        notes.append(f"{name}: made from version {notebook.version or 'unknown'}; the current one is {version}.")
    notes += notebook.notes
    return Submission(
        upload.student, notebook, late, digest.hexdigest(), tuple(notes), upload.origin, graded, upload.submitted
    )


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
                if entry.is_dir() or LEFTOVERS & set(parts) or parts[-1].startswith("._"):
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
