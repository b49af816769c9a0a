"""The run over a class: each upload read, judged and written to a journal; a killed run goes on where it was."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from xfergrade.checks import Judge, Loaded, Verdict, judge
from xfergrade.collect import Submission, Upload, find_uploads, read_upload
from xfergrade.compare import clean_text
from xfergrade.notebook import MAX_PICTURES, MAX_TEXT
from xfergrade.sandbox import Answer, IsolationError, Sandbox


class JournalError(RuntimeError):
    """The output folder belongs to another run, or another grader is at work in it."""


class Journal:
    """One JSON object a line, written and synced before the next submission counts as done.

    The first line says which assignment, checks and secret the grades belong to. A line cut off by a crash is dropped.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        import fcntl  # here, so that students' own checks run where there is no such module

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
    with (
        open_journal(out, loaded.fingerprint(secret)) as journal,
        tqdm(total=len(uploads), desc="grading", unit="submission", disable=None) as bar,
    ):
        todo = _not_graded_yet(loaded, uploads, journal, bar)
        first = next(todo, None)
        if first is not None:
            with Sandbox(loaded.spec.modules, loaded.spec.limits, isolation) as sandbox:
                _grade_all(Judge(loaded, secret, sandbox), chain([first], todo), journal, bar, jobs)
        return [journal.records[upload.student] for upload in uploads]


def _not_graded_yet(loaded: Loaded, uploads: list[Upload], journal: Journal, bar: tqdm[Any]) -> Iterator[Submission]:
    """Read one upload after the other, each when its turn comes: a class may be larger than memory."""
    known = frozenset(loaded.source.stubs)
    for upload in uploads:
        submission = read_upload(upload, loaded.name, loaded.spec.version, known)
        if journal.records.get(upload.student, {}).get("digest") == submission.digest:
            bar.update()
        else:
            yield submission


def _grade_all(judge: Judge, todo: Iterator[Submission], journal: Journal, bar: tqdm[Any], jobs: int) -> None:
    """A few submissions at a time; the journal is written by this thread alone."""
    with ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(grade_one, judge, s) for s in islice(todo, jobs)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                journal.append(future.result())
                bar.update()
            running |= {pool.submit(grade_one, judge, s) for s in islice(todo, jobs - len(running))}


def grade_one(judging: Judge, submission: Submission) -> dict[str, Any]:
    """The journal's record of one submission."""
    loaded, notes = judging.loaded, list(submission.notes)
    if submission.notebook is None:
        verdicts = _all_alike(judging, Answer("missing"))
    else:
        try:
            verdicts, cell_notes = judging.grade(submission.notebook)
            notes += cell_notes
        except (IsolationError, OSError, MemoryError):  # the machine's fault: stop, and go on from here another time
            raise
        except Exception as error:  # the grader's fault, which must not stop the class
            text = f"the grader failed on this submission ({type(error).__name__}); please grade it by hand"
            print(f"{submission.student!r}: {text}: {error!r:.300}", file=sys.stderr)
            verdicts = _all_alike(judging, Answer("failed", error={"message": text}))
            notes.append(text + ".")
    return {
        "student": submission.student,
        "digest": submission.digest,
        "late": submission.late,
        "notes": [clean_text(note) for note in notes],
        "verdicts": [asdict(v) for v in verdicts],
        "manual": _manual_parts(loaded, submission),
    }


def _all_alike(judging: Judge, answer: Answer) -> list[Verdict]:
    """Verdicts where every call had the same answer."""
    return judge(judging.loaded, judging.cases, judging.expected, {f"call {name}": answer for name in judging.names})


def _manual_parts(loaded: Loaded, submission: Submission) -> list[dict[str, Any]]:
    """The open parts, with what the student handed in for each."""
    parts = []
    for part in loaded.source.parts:
        if part.manual:
            cells = [c for c in submission.notebook.cells if c.id == part.id] if submission.notebook else []
            text = clean_text("\n\n".join(c.source for c in cells), MAX_TEXT)
            changed = text.strip() not in ("", loaded.source.stubs[part.id].strip())
            pictures = [p for c in cells for p in c.pictures][:MAX_PICTURES]
            parts.append({"part": part.id, "out_of": part.points, "text": text * changed, "pictures": pictures})
    return parts
