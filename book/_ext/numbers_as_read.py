"""Numbers as a reader compares them, and the words under figures.

Tables come from Markdown, pandas and `xk.table`, each with its own habits. Here a column of numbers is aligned by its
decimals, those of intervals too, a minus is a minus (−0.60, never -0.60), and per cent stands apart from its number
(9 %, never 9%). Code, formulas and what a quiz offers are left as they are. A paragraph that begins with **Figure 1.**
or **Table 1.** becomes a caption that a link can lead to.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

TABLE = re.compile(r"<table\b.*?</table>", re.DOTALL)
ROW = re.compile(r"<tr\b.*?</tr>", re.DOTALL)
CELL = re.compile(r"<(td|th)\b([^>]*)>(.*?)</\1>", re.DOTALL)
TAG = re.compile(r"<[^>]*>")
KEPT = re.compile(
    r"<(pre|code|script|style|summary|dt)\b.*?</\1>"
    r'|<(span|div)\b[^>]*class="[^"]*\bmath\b.*?</\2>'
    r"|<[^>]*>|([^<]+)",
    re.DOTALL,
)
NARROW = "\u202f"
PLAIN = rf"[<>≈~±+−-]?\s*\d[\d,.]*(?:e[+−-]?\d+)?[\s{NARROW}]*(?:%|×)?"
NUMBER = re.compile(rf"{PLAIN}(?:\s*(?:±|to|–|…)\s*{PLAIN})?(?:\s*[\[(]{PLAIN}\s*(?:,|to|–|…)\s*{PLAIN}[\])])?")
PIECE = re.compile(r"[+−-]?\d[\d,]*(?:\.\d+)?")
FIGURE_SPACE, POINT_SPACE = "\u2007", "\u2008"  # as wide as a digit, and as a point, where digits have one width
NOTHING = {"", "–", "—", "…", "nan", "not run"}
CAPTION = re.compile(r"<p><strong>(Figure|Table) (\d+)\.</strong>")


def written(text: str) -> str:
    """A piece of running text with one minus sign and one way to write per cent."""
    text = re.sub(r"(?<![\w.)\]}/−-])-(?=\.?\d)", "−", text)
    return re.sub(r"(?<=\d)%(?![\w])", f"{NARROW}%", text)


def _write(match: re.Match[str]) -> str:
    return written(match.group()) if match.group(3) else match.group()


def columns_of_numbers(table: str) -> set[int]:
    """Which columns hold numbers and nothing else; none where cells span columns."""
    if "colspan" in table:
        return set()
    rows = [[TAG.sub("", inside).strip() for kind, _, inside in CELL.findall(row)] for row in ROW.findall(table)]
    body = [row for row, source in zip(rows, ROW.findall(table), strict=True) if "<td" in source]
    found = set()
    for column in range(max(map(len, body), default=0)):
        cells = [row[column] for row in body if column < len(row) and row[column] not in NOTHING]
        if cells and all(NUMBER.fullmatch(cell) for cell in cells):
            found.add(column)
    return found


def widths(table: str, columns: set[int]) -> dict[int, list[tuple[int, int]]]:
    """For each column whose cells hold equally many numbers: the most characters before and behind their points."""
    found: dict[int, list[list[str]]] = {column: [] for column in columns}
    for row in ROW.findall(table):
        for column, (kind, _, inside) in enumerate(CELL.findall(row)):
            text = TAG.sub("", inside).strip()
            if column in found and kind == "td" and text not in NOTHING:
                found[column].append(PIECE.findall(text))
    most = {}
    for column, cells in found.items():
        if len({len(pieces) for pieces in cells}) == 1:
            parts = [[piece.partition(".") for piece in pieces] for pieces in zip(*cells, strict=True)]
            most[column] = [(max(len(a) for a, _, _ in p), max(len(b) for _, _, b in p)) for p in parts]
    return most


def padded(inside: str, most: list[tuple[int, int]]) -> str:
    """A cell's numbers with spaces before and behind, so that points stand under points."""
    wanted = iter(most)

    def pad(match: re.Match[str]) -> str:
        if match.group().startswith("<"):
            return match.group()
        (before, behind), (whole, point, rest) = next(wanted), match.group().partition(".")
        end = (POINT_SPACE if behind and not point else "") + FIGURE_SPACE * (behind - len(rest))
        return FIGURE_SPACE * (before - len(whole)) + whole + point + rest + end

    return re.sub(rf"<[^>]*>|{PIECE.pattern}", pad, inside)


def align(match: re.Match[str]) -> str:
    """A table with the class `number` on each cell of a column of numbers, its heading included."""
    table = match.group()
    columns = columns_of_numbers(table)
    most = widths(table, columns)

    def mark_row(row: re.Match[str]) -> str:
        places = iter(range(10_000))

        def mark(cell: re.Match[str]) -> str:
            kind, said, inside = cell.groups()
            column = next(places)
            if column not in columns:
                return cell.group()
            if kind == "td" and column in most and TAG.sub("", inside).strip() not in NOTHING:
                inside = padded(inside, most[column])
            said = re.sub(r'\bclass="', 'class="number ', said) if 'class="' in said else f'{said} class="number"'
            return f"<{kind}{said}>{inside}</{kind}>"

        return CELL.sub(mark, row.group())

    return ROW.sub(mark_row, table) if columns else table


def _caption(match: re.Match[str]) -> str:
    kind, number = match.groups()
    return f'<p class="figure-words" id="{kind.lower()}-{number}"><strong>{kind} {number}.</strong>'


def mend(body: str) -> str:
    """The HTML of a page's text with its numbers in order."""
    body = TABLE.sub(align, KEPT.sub(_write, body))
    return CAPTION.sub(_caption, body)


def mend_page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    if app.builder.format == "html" and context.get("body"):
        context["body"] = mend(context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", mend_page, priority=890)  # before tables get their frames
    return {"parallel_read_safe": True, "parallel_write_safe": True}
