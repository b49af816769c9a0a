"""The run over a class: each upload read, judged and written to a journal; a killed run goes on where it was."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from xfergrade.checks import Judge, Loaded, Verdict, judge
from xfergrade.collect import Submission, find_uploads, read_upload
from xfergrade.compare import clean_text
from xfergrade.notebook import MAX_TEXT
from xfergrade.sandbox import Answer, Sandbox


class JournalError(RuntimeError):
    """The output folder belongs to another run, or another grader is at work in it."""


class Journal:
    """One JSON object a line, written and synced before the next submission counts as done.

    The first line says which assignment, checks and secret the grades belong to. A line cut off by a crash is dropped.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise JournalError(f"another grader is writing to {path.parent}; wait for it, or end it first.") from None
        self._file.seek(0)
        data = self._file.read()
        whole = data.rfind(b"\n") + 1
        self._file.truncate(whole)
        lines = [json.loads(line) for line in data[:whole].splitlines()]
        if not lines:
            self.append({"fingerprint": fingerprint})
        elif lines[0].get("fingerprint") != fingerprint:
            self._file.close()
            raise JournalError(
                f"{path.parent} holds grades made with other checks, another source or another secret. "
                "Give a new output folder, or remove this one to grade again."
            )
        self.records: dict[str, dict[str, Any]] = {record["student"]: record for record in lines[1:]}

    def append(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record, sort_keys=True).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        if "student" in record:
            self.records[record["student"]] = record

    def close(self) -> None:
        self._file.close()


@contextmanager
def open_journal(folder: Path, fingerprint: str) -> Iterator[Journal]:
    """The journal in an output folder, locked while it is open.

    Raises:
        JournalError: it belongs to another run, or is locked.
    """
    journal = Journal(folder / "journal.jsonl", fingerprint)
    try:
        yield journal
    finally:
        journal.close()


def grade_class(
    loaded: Loaded, submissions: Path, out: Path, secret: bytes, *, isolation: str = "bwrap", jobs: int = 2
) -> list[dict[str, Any]]:
    """Grade every upload below `submissions` that the journal in `out` does not have yet.

    Returns: one record a student, sorted by name, for the students that are in the folder now.

    Raises:
        IsolationError: submissions cannot be isolated here. JournalError: `out` belongs to another run.
        AssignmentError: the assignment is inconsistent. FileNotFoundError: no submissions.
    """
    uploads = find_uploads(submissions)
    known = frozenset(loaded.source.stubs)
    with open_journal(out, loaded.fingerprint(secret)) as journal:
        todo: list[Submission] = []
        progress = tqdm(uploads, desc="reading", unit="upload", disable=None)
        for upload in progress:
            submission = read_upload(upload, loaded.name, loaded.spec.version, known)
            if journal.records.get(upload.student, {}).get("digest") != submission.digest:
                todo.append(submission)
        if todo:
            with Sandbox(loaded.spec.modules, loaded.spec.limits, isolation) as sandbox:
                _grade_all(Judge(loaded, secret, sandbox), todo, journal, jobs)
        return [journal.records[upload.student] for upload in uploads]


def _grade_all(judge: Judge, todo: list[Submission], journal: Journal, jobs: int) -> None:
    """A few submissions at a time; the journal is written by this thread alone."""
    queue = iter(todo)
    with (
        ThreadPoolExecutor(jobs) as pool,
        tqdm(total=len(todo), desc="grading", unit="submission", disable=None) as bar,
    ):
        running = {pool.submit(grade_one, judge, s) for s in islice(queue, jobs)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                journal.append(future.result())
                bar.update()
                following = next(queue, None)
                if following is not None:
                    running.add(pool.submit(grade_one, judge, following))


def grade_one(judging: Judge, submission: Submission) -> dict[str, Any]:
    """The journal's record of one submission."""
    loaded, notes = judging.loaded, list(submission.notes)
    verdicts: list[Verdict]
    if submission.notebook is None:
        nothing = {f"call {name}": Answer("missing") for name in judging.names}
        verdicts = judge(loaded, judging.cases, judging.expected, nothing)
    else:
        verdicts, cell_notes = judging.grade(submission.notebook)
        notes += cell_notes
    return {
        "student": submission.student,
        "digest": submission.digest,
        "late": submission.late,
        "notes": [clean_text(note) for note in notes],
        "verdicts": [asdict(v) for v in verdicts],
        "manual": _manual_parts(loaded, submission),
    }


def _manual_parts(loaded: Loaded, submission: Submission) -> list[dict[str, Any]]:
    """The open parts, with what the student handed in for each."""
    parts = []
    for part in loaded.source.parts:
        if part.manual:
            cells = [c for c in submission.notebook.cells if c.id == part.id] if submission.notebook else []
            text = clean_text("\n\n".join(c.source for c in cells), MAX_TEXT)
            changed = text.strip() not in ("", loaded.source.stubs[part.id].strip())
            pictures = [p for c in cells for p in c.pictures]
            parts.append({"part": part.id, "out_of": part.points, "text": text * changed, "pictures": pictures})
    return parts
