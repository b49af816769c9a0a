"""The reviewed table of classes, `classes.toml`: which emoji belong to a class because they look like it."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("classes.toml")
Emoji = dict[str, Any]


@dataclass(frozen=True)
class Classes:
    """What the table holds."""

    look: dict[str, str]  # class: one line on what it looks like
    emoji: dict[str, tuple[str, ...]]  # class: names
    variants: tuple[tuple[str, ...], ...]  # sets of which one is kept, beside those that the words of the names give
    twins: tuple[tuple[str, ...], ...]  # near twins by eye, each linked to the next
    looked_at: tuple[str, ...]  # seen while the classes were revised; always in train


def split_names(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.replace("\n", " ").split(",") if (name := " ".join(part.split())))


def read_classes(path: Path = TABLE) -> Classes:
    """The table, once no emoji stands in two classes and every other list names emoji of a class.

    Raises:
        ValueError: the table contradicts itself.
    """
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    emoji = {name: split_names(entry["emoji"]) for name, entry in table["class"].items()}
    often = [name for name, n in Counter(n for names in emoji.values() for n in names).items() if n > 1]
    if often:
        raise ValueError(f"{path.name}: in more than one class, or twice in one: {', '.join(often)}.")
    classes = Classes(
        look={name: entry["look"] for name, entry in table["class"].items()},
        emoji=emoji,
        variants=tuple(split_names(line) for line in table["variants"]),
        twins=tuple(split_names(line) for line in table["twins"]),
        looked_at=split_names(table["looked_at"]),
    )
    known = {name for names in emoji.values() for name in names}
    out = {n for names in table["left_out"].values() for n in split_names(names)}
    listed = {n for names in (*classes.variants, *classes.twins) for n in names}
    if unknown := sorted((listed | (set(classes.looked_at) - out)) - known):
        raise ValueError(f"{path.name}: in no class: {', '.join(unknown)}.")
    if both := sorted(out & known):
        raise ValueError(f"{path.name}: both in a class and left out: {', '.join(both)}.")
    return classes
