"""CSV files that spreadsheet programs open and save: written so that nothing is a formula, read as people save them."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# At the start, and wherever a program that takes another separator would see the start of a field.
_FORMULA = re.compile(r"(^|[;|\t\r\n])(\s*)(?=[=+\-@＝＋－＠])")
_PROTECTED = re.compile(r"(^|[;|\t\r\n])(\s*)'(?=[=+\-@＝＋－＠])")


class TableError(ValueError):
    """A table cannot be read as it is; the message names file and row."""


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8", newline="")
    os.replace(partial, path)


def cell(text: str) -> str:
    """Text of others for a table, never a formula: an apostrophe stands where a program would begin to calculate."""
    text = _FORMULA.sub(r"\1\2'", text)
    return "'" + text if text[:1] in ("\t", "\r", "\n") else text


def without_protection(text: str) -> str:
    """What `cell` was given."""
    return _PROTECTED.sub(r"\1\2", text)


def table(rows: Sequence[Sequence[object]]) -> str:
    """Rows as CSV."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


@dataclass(frozen=True)
class Row:
    """A line of a table: its number as a spreadsheet shows it, and its cells by column."""

    number: int
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")


def read_table(path: Path, needed: Sequence[str]) -> tuple[list[str], list[Row]]:
    """Columns and rows of a CSV in UTF-8, UTF-16 or Windows-1252, separated by commas, semicolons or tabs.

    Args:
        needed: columns that must be there; upper and lower case do not matter for these.
    Raises:
        TableError: a column is missing, or the text cannot be read.
    """
    text = decode(path)
    lines = text.split("\n", 1)
    if re.fullmatch(r"sep=.\r?", lines[0]):
        text = lines[1] if len(lines) > 1 else ""
    first = text.split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    try:
        raw = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=False))
    except csv.Error as error:
        raise TableError(f"{path}: {error}.") from None
    if not raw:
        raise TableError(f"{path} is empty.")
    known = {name.lower(): name for name in needed}
    columns = [known.get(name.strip().lower(), name.strip()) for name in raw[0]]
    missing = [name for name in needed if name not in columns]
    if missing:
        raise TableError(f"{path}, row 1: there is no column {', '.join(map(repr, missing))}; there are {columns}.")
    rows: list[Row] = []
    for number, values in enumerate(raw[1:], start=2):
        if any(value.strip() for value in values):  # a short row has nothing in the columns that are not there
            rows.append(Row(number, dict(zip(columns, [*values, *[""] * len(columns)], strict=False))))
    return columns, rows


def decode(path: Path) -> str:
    """A file's text, by its byte order mark, or as UTF-8, or as Windows-1252, which spreadsheet programs still write.

    Raises:
        TableError: it is none of them.
    """
    data = path.read_bytes()
    if data[:2] == b"PK":
        raise TableError(f"{path} is a workbook and no CSV: save it as CSV (UTF-8), under the name that it had.")
    marked = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    for encoding in ["utf-16"] if marked else ["utf-8-sig", "cp1252"]:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise TableError(f"{path} is neither UTF-8 nor UTF-16 nor Windows-1252: save it as CSV in UTF-8.")
