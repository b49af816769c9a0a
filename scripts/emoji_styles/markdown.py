"""Markdown that is written and never typed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def put(card: Path, name: str, content: str) -> None:
    """Replace what stands between the card's two marks of this name; the prose around them stays."""
    start, end = f"% {name}: generated", f"% end of {name}"
    before, _, rest = card.read_text(encoding="utf-8").partition(start)
    _, mark, after = rest.partition(end)
    if not mark:
        raise ValueError(f"{card} lacks the lines {start!r} … {end!r}.")
    body = f"\n\n{content}\n\n" if content else "\n"
    card.write_text(f"{before}{start}{body}{end}{after}", encoding="utf-8")
