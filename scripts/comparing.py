"""Comparing what a chapter shows with what it showed when it was stored: words exactly, numbers within a tolerance.

Tolerances stand in the cell's metadata, `"xferkit": {"tolerance": {"1": 0.3, "3": 0.004, "e": 0.05}}`: for numbers
printed with so many decimals by how much they may differ; for numbers with an exponent, by which share. What has no
entry must agree to the printed digit, whole numbers too unless "0" is given. `measure_spread.py` writes the entries.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Tolerance = Mapping[str, float]
EXACT: Tolerance = {}

# A sign belongs to a number where no digit or letter stands before it. Digits inside a word are part of the word.
NUMBER = re.compile(r"(?<![\w.])[-−+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-−+]?\d+)?(?![\d\w]|[.]\d)")
COMPARED_KINDS = ("text/plain", "text/markdown", "text/html", "text/latex", "application/json")


@dataclass(frozen=True)
class Number:
    """A number as it is printed."""

    text: str

    @property
    def value(self) -> float:
        return float(self.text.replace("−", "-").replace(",", ""))

    @property
    def kind(self) -> str:
        """How many decimals it has, or "e"."""
        if "e" in self.text.lower():
            return "e"
        return str(len(self.text.partition(".")[2]))

    def differs(self, other: Number) -> float:
        """By how much, or by which share where there is an exponent."""
        gap = abs(self.value - other.value)
        if "e" in (self.kind, other.kind) and gap:
            return gap / max(abs(self.value), abs(other.value))
        return gap

    def agrees(self, live: Number, tolerance: Tolerance) -> bool:
        allowed = tolerance.get(self.kind, 0.0)
        if not allowed:
            return self.text.lstrip("+") == live.text.lstrip("+")
        return self.differs(live) <= allowed * (1 + 1e-9)


def pieces(text: str) -> tuple[list[str], list[Number]]:
    """A text as its words, with a sign in each number's place, and its numbers.

    Runs of spaces and of dashes count as one: a table's columns are as wide as its numbers.
    """
    numbers = [Number(match[0]) for match in NUMBER.finditer(text)]
    words = re.sub(r"-{2,}(:?)", r"--\1", NUMBER.sub("\0", text)).split()
    return words, numbers


def compare(stored: str, live: str, tolerance: Tolerance = EXACT) -> list[str]:
    """What differs between two texts, in words; nothing if they agree."""
    (words, numbers), (new_words, new_numbers) = pieces(stored), pieces(live)
    if words != new_words:
        for i, (old, new) in enumerate(zip([*words, "(end)"], [*new_words, "(end)"], strict=False)):
            if old != new:
                context = " ".join(words[max(0, i - 6) : i]).replace("\0", "#")
                return [f"after “{context}” stood {old!r}, now {new!r}".replace("\\x00", "#")]
    found = []
    for old, new in zip(numbers, new_numbers, strict=True):
        if not old.agrees(new, tolerance):
            allowed = tolerance.get(old.kind, 0.0)
            found.append(f"{old.text} is now {new.text}" + (f" (allowed: {allowed:g})" if allowed else ""))
    return found


def texts_of(outputs: list[Any]) -> list[dict[str, str]]:
    """For each output its texts by kind: what is printed, shown, and recorded of claims and test readings.

    A picture counts as being there; what it shows is not compared, nor the line that stands for it in plain text.
    """
    shown = []
    for output in outputs:
        if output.output_type == "stream":
            shown.append({"stream": output.text})
            continue
        if output.output_type == "error":
            shown.append({"error": f"{output.ename}: {output.evalue}"})
            continue
        data = output.get("data", {})
        pictures = {kind: "" for kind in data if kind.startswith("image/")}
        kinds = [kind for kind in COMPARED_KINDS if kind in data and not (pictures and kind == "text/plain")]
        texts = {kind: data[kind] if isinstance(data[kind], str) else json.dumps(data[kind]) for kind in kinds}
        records = {
            key: json.dumps(value, sort_keys=True, ensure_ascii=False)
            for key, value in output.get("metadata", {}).items()
            if key.startswith("xferkit")
        }
        shown.append(pictures | texts | records)
    return shown


def differences(stored: list[Any], live: list[Any], tolerance: Tolerance = EXACT) -> list[str]:
    """What differs between two cells' outputs, in words."""
    before, now = texts_of(stored), texts_of(live)
    if (kinds := [sorted(t) for t in before]) != (new := [sorted(t) for t in now]):
        return [f"stored are the outputs {kinds}, now there are {new}"]
    return [
        f"{kind}: {what}"
        for old, fresh in zip(before, now, strict=True)
        for kind in old
        for what in compare(old[kind], fresh[kind], tolerance)
    ]


def spread(a: list[Any], b: list[Any]) -> Iterator[tuple[str, float]]:
    """For each number in two runs' outputs its kind and by how much it differs.

    Raises:
        ValueError: the words differ.
    """
    before, now = texts_of(a), texts_of(b)
    if [sorted(t) for t in before] != [sorted(t) for t in now]:
        raise ValueError(f"the outputs are of other kinds: {before} and {now}")
    for old, new in zip(before, now, strict=True):
        for kind in old:
            (words, numbers), (new_words, new_numbers) = pieces(old[kind]), pieces(new[kind])
            if words != new_words:
                raise ValueError(f"the words differ: {compare(old[kind], new[kind])}")
            for first, second in zip(numbers, new_numbers, strict=True):
                yield first.kind, first.differs(second)
                yield second.kind, first.differs(second)
