"""List the addresses outside the book that its pages lead to, and ask each one whether it is still there.

    python scripts/external_links.py [_build/html]            # list them, with the pages that name them
    python scripts/external_links.py [_build/html] --check    # ask each; needs the network

Inner links are checked by `make book`. These are not checked there: another server's bad day is no fault of a change.
"""

from __future__ import annotations

import argparse
import sys
import urllib.error
import urllib.request
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bs4 import BeautifulSoup

from scripts.check_book import pages_of

# Some servers answer only what looks like a browser, and some forbid asking for the head alone.
HEADERS = {"User-Agent": "Mozilla/5.0 (link check of an open course)"}
WAIT = 20


def links_of(root: Path) -> dict[str, list[str]]:
    """Each outside address, without its fragment, and the pages that lead to it."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for page in pages_of(root):
        soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
        for link in soup.find_all("a", href=True):
            address = urldefrag(str(link["href"]).strip()).url
            # Each page has a button that opens an empty report about it; nothing stands there to be found.
            if urlsplit(address).scheme in ("http", "https") and "/issues/new?" not in address:
                found[address].add(page.relative_to(root).as_posix())
    return {address: sorted(pages) for address, pages in sorted(found.items())}


def ask(address: str) -> str:
    """Empty where the address answers, otherwise what came instead."""
    said = ""
    for method in ("HEAD", "GET"):
        try:
            with urllib.request.urlopen(urllib.request.Request(address, headers=HEADERS, method=method), timeout=WAIT):
                return ""
        except urllib.error.HTTPError as error:
            said = f"HTTP {error.code}"
        except (OSError, ValueError) as error:
            said = str(getattr(error, "reason", error))
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("book", nargs="?", type=Path, default=Path("_build/html"))
    parser.add_argument("--check", action="store_true", help="ask each address (needs the network)")
    options = parser.parse_args()
    links = links_of(options.book)
    if not options.check:
        for address, pages in links.items():
            print(f"{address}  ({', '.join(pages[:3])}{', …' if len(pages) > 3 else ''})")
        print(f"{len(links)} addresses outside the book")
        return 0
    with ThreadPoolExecutor(8) as pool:
        answers = dict(zip(links, pool.map(ask, links), strict=True))
    dead = {address: said for address, said in answers.items() if said}
    for address, said in dead.items():
        print(f"{said}: {address}  ({', '.join(links[address])})")
    print(f"{len(links)} addresses asked, {len(dead)} without a good answer")
    return 1 if dead else 0


if __name__ == "__main__":
    sys.exit(main())
