"""Write the repository's address from _config.yml wherever a reader finds it, except in the chapters.

python scripts/set_address.py            write
python scripts/set_address.py --check    only say what is out of date (exit code 1)

The chapters get it from `python scripts/run_chapters.py --normalise-only`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
# Each pattern has one group: the address.
PLACES = {
    "README.md": r"git clone (\S+) course",
    "book/setup.md": r"git clone (\S+) course",
    "CITATION.cff": r'repository-code: "([^"]+)"',
}


def address() -> str:
    """The repository's address without a slash at its end."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    return str(config["repository"]["url"]).rstrip("/")


def with_address(text: str, pattern: str, url: str) -> str:
    """The text with every match's group replaced.

    Raises:
        ValueError: the pattern does not occur, so that the address would be lost unseen.
    """
    if not re.search(pattern, text):
        raise ValueError(f"nothing matches {pattern!r}")
    return re.sub(pattern, lambda m: m[0].replace(m[1], url), text)


def main() -> int:
    stale = []
    for name, pattern in PLACES.items():
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        new = with_address(text, pattern, address())
        if new != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(new, encoding="utf-8", newline="\n")
    print("address is the same everywhere" if not stale else f"out of date: {', '.join(stale)}")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
