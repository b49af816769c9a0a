"""What a chapter's Markdown holds for the machine: marks behind numbers, and the solutions of exercises.

A mark ties a number to its value: `**47.1<!-- =f"{scores.mean():.1f}" -->** points`. No reader sees it. What stands
directly before it must be what the expression gives in the chapter's kernel after the last code cell: a text exactly, a
number rounded to the digits that are shown, or with `<!-- =gap ± 0.5 -->` within 0.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MARK = re.compile(r"<!--\s*=(?P<expression>.*?)(?:\s+±\s*(?P<tolerance>[\d.]+))?\s*-->", re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
LAST_NUMBER = re.compile(r"(?<![\w.,])[-−+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?$")

DETAILS = re.compile(r"<details[^>]*>\s*<summary[^>]*>(?P<summary>.*?)</summary>(?P<body>.*?)</details>", re.DOTALL)
FENCE = re.compile(r"^(?P<indent> {0,3})(?P<ticks>`{3,}|~{3,})python[ \t]*\n(?P<code>.*?)^ {0,3}(?P=ticks)[ \t]*$",
                   re.MULTILINE | re.DOTALL)  # fmt: skip


@dataclass(frozen=True)
class Mark:
    """An expression, the text on its line before it, and the tolerance if it has one."""

    before: str
    expression: str
    tolerance: float | None


def marks(source: str) -> list[Mark]:
    """The marks of one Markdown cell, in order."""
    found = []
    for match in MARK.finditer(source):
        line = source[source.rfind("\n", 0, match.start()) + 1 : match.start()]
        tolerance = float(match["tolerance"]) if match["tolerance"] else None
        found.append(Mark(COMMENT.sub("", line), match["expression"].strip(), tolerance))
    return found


def disagreement(mark: Mark, value: str | bool | int | float) -> str | None:
    """What is wrong with a marked number or text, given the value of its expression; None if it agrees."""
    where = f"“{mark.before[-40:]}” (={mark.expression})"
    if isinstance(value, bool):
        return None if value and mark.tolerance is None else f"{where} is tested, and false"
    if isinstance(value, str) and mark.tolerance is None:
        stands = bool(value) and mark.before.endswith(value)
        rest = mark.before[: -len(value)] if stands else ""
        # "47.1" must not be found in "147.1", nor "even" in "seven".
        if stands and rest and re.match(r"\w", value) and re.search(r"[\w.,]$|(?<!\w)[-−+]$", rest):
            stands = False
        return None if stands else f"{where} is now {value!r}"
    shown = LAST_NUMBER.search(mark.before)
    if shown is None:
        return f"{where}: no number stands before the mark"
    stated, digits = float(shown[0].replace("−", "-").replace(",", "")), len(shown[0].partition(".")[2])
    value = float(value.replace("−", "-").replace(",", "").rstrip(" %")) if isinstance(value, str) else float(value)
    if mark.tolerance is None:
        agrees = f"{value:.{digits}f}".replace("-0.", "0.") == f"{stated:.{digits}f}".replace("-0.", "0.") or (
            round(value, digits) == stated
        )
    else:
        agrees = abs(value - stated) <= mark.tolerance
    return None if agrees else f"{where} is now {value:.6g}"


def solutions(source: str) -> Iterator[str]:
    """The Python code of the solutions in one Markdown cell: fences in <details> whose summary says "Solution"."""
    for block in DETAILS.finditer(source):
        if "solution" in block["summary"].lower():
            for fence in FENCE.finditer(block["body"]):
                yield fence["code"]


# ------------------------------------------------------------------------------------------- numbers without a mark

# What is not prose, or is somebody else's number.
CODE = re.compile(r"^(?P<ticks>`{3,}|~{3,}).*?^(?P=ticks)[ \t]*$|(?P<tick>`+)[^`]*?(?P=tick)", re.MULTILINE | re.DOTALL)
FORMULA = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$", re.DOTALL)
LINK_TARGET = re.compile(r"\]\([^)]*\)|<https?:[^>]*>")
VERSION = re.compile(r"\b(?:CC BY(?:-SA|-NC|-ND)*|Apache(?: License)?,?|[Vv]ersion|Python|v)[\s-]?\d+(?:\.\d+)+")
CITED = re.compile(r"\]\([^)]*(?:bibliography|references)[^)]*\)|\{cite|<!--\s*paper\s*-->")
FIGURE = re.compile(r"(?<![\w.])\d[\d,]*\.\d+(?![\w.]*\d)|(?<![\w.])\d[\d,.]*\s?(?:%|per cent)")
MARKED_FIGURE = re.compile(r"\s*(?:%|per cent)?\s*<!--\s*=")
SENTENCE_END = re.compile(r"(?<!\bal\.)(?<=[.!?:])[\s*]+(?=[A-Z“\"(*`$])|\n\s*\n|\n\s*[-*|#>]|\n\s*\d+\. ")


def unmarked(source: str) -> list[str]:
    """The numbers with a decimal point or per cent in a Markdown cell's prose that have no mark.

    Exempt are code, formulas, versions, the targets of links, and sentences that cite, or carry `<!-- paper -->`.
    """
    text = MARK.sub("<!-- = -->", CODE.sub(" ", source))
    text = VERSION.sub(" ", FORMULA.sub(" ", text))
    found = []
    for sentence in SENTENCE_END.split(text):
        if CITED.search(sentence):
            continue
        sentence = LINK_TARGET.sub("]", sentence)
        found += [m[0] for m in FIGURE.finditer(sentence) if not MARKED_FIGURE.match(sentence, m.end())]
    return found
