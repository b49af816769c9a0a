"""manual.csv: answers to read, and the points and comments that somebody wrote beside them. Nothing written is lost.

Rows of students who are not in today's folder stay, columns that somebody added stay, and before the file is written
anew the old one is put into backups/. An answer that changed after it had got points is marked until somebody has
looked.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path

from xfergrade.assignment import Loaded
from xfergrade.records import Record
from xfergrade.spec import Item
from xfergrade.tables import Row, TableError, cell, read_table, table, without_protection, write_text
from xfergrade.text import clean_text, number

COLUMNS = ("id", "student", "part", "item", "out_of", "points", "comment", "changed", "answer", "text")
CHANGED = "look again: the answer is another one now (empty this cell when you have)"
_NUMBER = re.compile(r"(\d*[.,]?\d+|\d+[.,])\s*(?:(?:of|/|out of)\s*(\d+(?:[.,]\d+)?))?\s*(?:p|pts?|points?)?")
Key = tuple[str, str, str]  # id, part, item of the rubric or ""


@dataclass(frozen=True)
class Entry:
    """What stands by hand in one row: points or none yet, a comment, whether to look again, the answer it was for."""

    points: float | None = None
    comment: str = ""
    changed: str = ""
    answer: str = ""


@dataclass(frozen=True)
class Part:
    """What a student has for one part: points (None: open), what they are for, whether to look again."""

    points: float | None
    comment: str
    items: tuple[tuple[Item, Entry], ...]
    changed: bool


class Manual:
    """The hand-entered side of a class.

    Raises:
        TableError: the file on disk cannot be read as points and comments; the message names the row.
    """

    def __init__(self, loaded: Loaded, path: Path) -> None:
        self.loaded, self.path = loaded, path
        self._out_of = {(p.id, i.name): i.points for p in loaded.source.parts if p.manual for i in self.items(p.id)}
        self.entries: dict[Key, Entry] = {}
        self.rows: dict[Key, Row] = {}
        self.extra: list[str] = []
        self._read: bytes | None = None
        if path.is_file():
            self._load()

    def items(self, part: str) -> tuple[Item, ...]:
        """The rubric of a part; one nameless item where it has none."""
        points = next(p.points for p in self.loaded.source.parts if p.id == part)
        return self.loaded.spec.rubric.get(part) or (Item("", points),)

    def _load(self) -> None:
        self._read = self.path.read_bytes()
        columns, rows = read_table(self.path, ("id", "part", "points"))
        self.extra = [c for c in columns if c not in COLUMNS and c]
        for row in rows:
            key = (row["id"].strip(), row["part"].strip(), row["item"].strip())
            where = f"{self.path}, row {row.number} ({row['student'] or key[0]}, {' '.join(filter(None, key[1:]))})"
            out_of = self._out_of.get(key[1:])
            entry = Entry(
                _points(row["points"], out_of, where), row["comment"], row["changed"].strip(), row["answer"].strip()
            )
            earlier = self.entries.get(key)
            if earlier is not None and (earlier.points, earlier.comment) != (entry.points, entry.comment):
                raise TableError(f"{where}: stands here twice, and not with the same points and comment.")
            self.entries[key], self.rows[key] = entry, row

    def update(self, records: list[Record]) -> None:
        """Mark what has points for an answer that is no longer the one handed in."""
        for record in records:
            for answer in record.answers:
                for item in self.items(answer.part):
                    key = (slug(record.student), answer.part, item.name)
                    entry = self.entries.get(key, Entry())
                    graded = entry.points is not None or entry.comment
                    if graded and entry.answer and entry.answer != answer.digest:
                        entry = replace(entry, changed=CHANGED)
                    self.entries[key] = replace(entry, answer=answer.digest)

    def part(self, record: Record, part: str) -> Part:
        """A student's points for a part. What was not answered has none, unless somebody gave some."""
        name = slug(record.student)
        given = tuple((item, self.entries.get((name, part, item.name), Entry())) for item in self.items(part))
        empty = record.failure is None and all(a.empty for a in record.answers if a.part == part)
        values = [0.0 if entry.points is None and empty else entry.points for _, entry in given]
        comment = "\n".join(entry.comment for _, entry in given if entry.comment)
        points = None if any(v is None for v in values) else sum(v for v in values if v is not None)
        return Part(points, comment, given, any(entry.changed for _, entry in given))

    def to_look_at(self) -> list[str]:
        """The ids and parts whose answer changed after it had got points."""
        return sorted({f"{key[0]} {key[1]}" for key, entry in self.entries.items() if entry.changed})

    def strangers(self, records: list[Record]) -> list[int]:
        """Numbers of rows with points for nobody and nothing in these records: kept, and not counted."""
        known = {slug(r.student) for r in records}
        return [
            row.number for key, row in self.rows.items()
            if self.entries[key].points is not None and (key[0] not in known or key[1:] not in self._out_of)
        ]  # fmt: skip

    def write(self, records: list[Record]) -> None:
        """Write the file anew, the old one into backups/ first.

        Raises:
            TableError: somebody saved the file in the meantime.
        """
        rows: list[list[str]] = [[*COLUMNS, *self.extra]]
        written: set[Key] = set()
        for record in records:
            for answer in record.answers:
                for index, item in enumerate(self.items(answer.part)):
                    key = (slug(record.student), answer.part, item.name)
                    text = cell(answer.text + _figures(len(answer.figures))) if index == 0 else ""
                    rows.append(self._row(key, cell(shown(record.student)), number(item.points), text))
                    written.add(key)
        for key, row in self.rows.items():  # of students who are not in today's folder, of parts that are gone
            if key not in written:
                rows.append(self._row(key, row["student"], row["out_of"], row["text"]))
        text = table(rows)
        if self._read is not None:
            if self.path.read_bytes() != self._read:
                raise TableError(f"{self.path} was saved while it was read. It was left as it is: run again.")
            if self._read != text.encode():
                _back_up(self.path, self._read)
        write_text(self.path, text)
        self._read = text.encode()

    def _row(self, key: Key, student: str, out_of: str, text: str) -> list[str]:
        entry, row = self.entries.get(key, Entry()), self.rows.get(key)
        points = "" if entry.points is None else number(entry.points)
        own = [row[column] if row is not None else "" for column in self.extra]
        return [key[0], student, *key[1:], out_of, points, entry.comment, entry.changed, entry.answer, text, *own]


def _figures(count: int) -> str:
    return f"\n[{count} figure{'s' * (count > 1)}: on the feedback page]" if count else ""


def _points(text: str, out_of: float | None, where: str) -> float | None:
    """Points as people write them: "1.5", "1,5", "1 of 2", "1/2", "2 points"; None for an empty cell.

    Raises:
        TableError: no number, or more than there are.
    """
    text = without_protection(text.strip()).strip()
    if not text:
        return None
    most = "" if out_of is None else f" of {number(out_of)}"
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise TableError(f"{where}: {clean_text(text, 40)!r} is no number of points.")
    points = float(match[1].replace(",", "."))
    if match[2] is not None and out_of is not None and float(match[2].replace(",", ".")) != out_of:
        raise TableError(f"{where}: {clean_text(text, 40)!r}, but there are{most.replace(' of', '')} points.")
    if out_of is not None and points > out_of:
        raise TableError(f"{where}: {number(points)}{most} points.")
    return points


def _back_up(path: Path, content: bytes) -> None:
    """Put the file as it was beside it, under the next free number; the same content only once in a row."""
    folder = path.parent / "backups"
    folder.mkdir(exist_ok=True)
    existing = sorted(folder.glob(f"{path.stem}-*{path.suffix}"))
    if existing and existing[-1].read_bytes() == content:
        return
    last = int(existing[-1].stem.rpartition("-")[2]) if existing else 0
    (folder / f"{path.stem}-{last + 1:04}{path.suffix}").write_bytes(content)


def slug(student: str) -> str:
    """A file name for a student, safe on every system and different for different students."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "_", student)[:40].strip("._-")
    return f"{readable}-{hashlib.sha256(student.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def shown(student: str) -> str:
    """A student's name as one line of valid text (a file name may hold any bytes)."""
    return " ".join(clean_text(student, 300).split())
