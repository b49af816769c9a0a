"""Tables of a run's numbers, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from xferkit._display import show


class Table(str):
    """A Markdown table that has been shown already: as a cell's last value it shows nothing more."""

    def _ipython_display_(self) -> None: ...


def table(
    rows: Sequence[Sequence[object]],
    header: Sequence[object],
    *,
    digits: int = 1,
    caption: str = "",
    note: str = "",
) -> Table:
    """Show a table of this run's numbers, and return its Markdown.

    A cell may be text, which stays as it is, or a number: a float gets `digits` decimals, a whole number commas.
    None is shown as "–". A column of numbers stands to the right, the first column always to the left.

    Args:
        caption: a line above the table.
        note: a line below it.
    Raises:
        ValueError: no row, or a row of another length than the header.
    """
    text = Table(markdown_table(rows, header, digits=digits, caption=caption, note=note))
    show(str(text), str(text))
    return text


def markdown_table(
    rows: Sequence[Sequence[object]],
    header: Sequence[object],
    *,
    digits: int = 1,
    caption: str = "",
    note: str = "",
) -> str:
    """The Markdown of `table`, for a page that a script writes; its source is aligned too."""
    if isinstance(header, str) or any(isinstance(row, str) for row in rows):
        raise TypeError("the header and every row must be a list of cells, not one text.")
    lines = [[_cell(value, digits) for value in row] for row in [header, *rows]]
    if len(lines) < 2 or not lines[0]:
        raise ValueError("a table needs a header and at least one row.")
    for i, line in enumerate(lines):
        if len(line) != len(lines[0]):
            raise ValueError(f"row {i} has {len(line)} cells, the header {len(lines[0])}: {line}.")
    columns = list(zip(*lines, strict=True))
    right = [i > 0 and _numeric(column[1:]) for i, column in enumerate(columns)]
    width = [max(3, *map(len, column)) for column in columns]
    lines.insert(1, [("-" * (w - 1) + ":") if r else "-" * w for r, w in zip(right, width, strict=True)])
    body = "\n".join(
        "| " + " | ".join(c.rjust(w) if r else c.ljust(w) for c, r, w in zip(line, right, width, strict=True)) + " |"
        for line in lines
    )
    return "\n\n".join(part for part in (caption, body, note) if part)


def _cell(value: object, digits: int) -> str:
    if isinstance(value, Tensor | np.ndarray | np.generic):
        if value.ndim:
            raise TypeError(f"a cell holds an array of shape {tuple(value.shape)}: give one number, or text.")
        value = value.item()
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.{digits}f}".replace("-", "−").replace("nan", "NaN")
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}".replace("-", "−")
    # A bare bar would end the cell, a line break the table.
    return re.sub(r"(?<!\\)\|", r"\\|", str(value)).replace("\n", "<br>")


def _numeric(cells: Sequence[str]) -> bool:
    filled = [cell.lstrip("*[(<>~≈ ") for cell in cells if cell not in ("", "–", "·")]
    return bool(filled) and all(re.match(r"[-+−±]?(\d|NaN|inf)", cell) for cell in filled)
