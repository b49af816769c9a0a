"""Files that a script makes for the book: written, or with `--check` compared with those that are there."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def write_or_check(made: dict[Path, bytes], what: str) -> int:
    """The script's exit code: 1 if it was asked to check and a file is not up to date.

    Args:
        what: what the files are, with its verb, such as "the ladder is".
    """
    if "--check" in sys.argv[1:]:
        stale = [path.name for path, data in made.items() if not path.exists() or path.read_bytes() != data]
        print(f"not up to date: {', '.join(stale)}" if stale else f"{what} up to date")
        return bool(stale)
    for path, data in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        print(f"{path.relative_to(ROOT)}: {len(data) / 1000:.0f} KB")
    return 0
