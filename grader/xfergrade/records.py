"""What is known of a submission once it is graded, and the journal that keeps it: all files are made from it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from xfergrade.judging import Verdict
from xfergrade.pictures import Figure


class JournalError(RuntimeError):
    """The output folder belongs to another run, or another grader is at work in it."""


@dataclass(frozen=True)
class Answer:
    """What a student handed in for a part that is graded by hand: words without the question, and figures."""

    part: str
    out_of: float
    text: str = ""
    figures: tuple[Figure, ...] = ()

    @property
    def empty(self) -> bool:
        """Nothing was answered, so there is nothing to grade."""
        return not self.text and not self.figures

    @property
    def digest(self) -> str:
        """Changes with the answer."""
        whole = json.dumps([self.text, [asdict(f) for f in self.figures]])
        return hashlib.sha256(whole.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Record:
    """A graded submission, or one that could not be graded (`failure` says why; it is tried again in the next run)."""

    student: str
    digest: str
    late: bool
    notes: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    answers: tuple[Answer, ...]
    handed_in: bool = True  # something that could be graded
    failure: str | None = None
    submitted: str | None = None  # ISO 8601
    origin: str = ""  # the platform's name for the upload, and the file's in it
    file: str = ""

    @property
    def score(self) -> float:
        """The points of the parts graded by machine."""
        return float(sum(v.points for v in self.verdicts))

    @property
    def time(self) -> datetime | None:
        """When it was handed in, as far as the platform says."""
        return datetime.fromisoformat(self.submitted) if self.submitted else None


def to_json(record: Record) -> dict[str, Any]:
    """The record as one line of the journal holds it."""
    return asdict(record)


def from_json(data: dict[str, Any]) -> Record:
    """The record that `to_json` wrote."""
    answers = (
        Answer(**{**answer, "figures": tuple(Figure(**f) for f in answer["figures"])}) for answer in data["answers"]
    )
    verdicts = tuple(Verdict(**v) for v in data["verdicts"])
    return Record(**{**data, "notes": tuple(data["notes"]), "verdicts": verdicts, "answers": tuple(answers)})


class Journal:
    """One JSON object a line, written and synced before the next submission counts as done.

    The first line says which assignment, checks, secret and grader the grades belong to. A line cut off by a crash is
    dropped.
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
        self.head: dict[str, Any] = lines[0] if lines else {"fingerprint": fingerprint}
        if not lines:
            self._write(self.head)
        elif self.head.get("fingerprint") != fingerprint:
            self._file.close()
            raise JournalError(
                f"{path.parent} holds grades made with other checks, another source, another secret or another version "
                "of the grader. Give a new output folder; with --from OLD_FOLDER it takes over what has not changed."
            )
        self.records: dict[str, Record] = {}
        for line in lines[1:]:
            if "student" in line:
                self.records[line["student"]] = from_json(line)
            else:
                self.head |= line

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, sort_keys=True).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def append(self, record: Record) -> None:
        """Keep a record; the last one of a student counts."""
        self._write(to_json(record))
        self.records[record.student] = record

    def remember(self, **facts: Any) -> None:
        """Keep something about the whole run."""
        if any(self.head.get(name) != value for name, value in facts.items()):
            self._write(facts)
            self.head |= facts

    def close(self) -> None:
        """Let others write."""
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


def read_journal(folder: Path) -> tuple[dict[str, Any], dict[str, Record]]:
    """Head and records of another run's journal, to take grades over from.

    Raises:
        FileNotFoundError: there is none. JournalError: it is of a version that cannot be read.
    """
    head: dict[str, Any] = {}
    records: dict[str, Record] = {}
    try:
        for text in (folder / "journal.jsonl").read_bytes().split(b"\n")[:-1]:
            line = json.loads(text)
            if "student" in line:
                records[line["student"]] = from_json(line)
            else:
                head |= line
    except (KeyError, TypeError, ValueError) as error:
        raise JournalError(f"{folder}/journal.jsonl cannot be read ({type(error).__name__}): {error}") from None
    return head, records
