"""Check the built pages: nothing is loaded from outside, pictures have words, tables are tables, every inner link and
anchor leads on, every page has a title and a language.

    python scripts/check_book.py _build/html

`make book` ends with this. It reads every page and style sheet, not a sample, and fails on an empty folder.
"""

from __future__ import annotations

import re
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag

# What a browser fetches by itself when it opens a page, as against a link that a reader may follow.
LOADED = {
    "script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src", "track": "src",
    "embed": "src", "input": "src", "object": "data", "image": "href", "use": "href",
}  # fmt: skip
LOADED_LINKS = {"stylesheet", "icon", "preload", "prefetch", "modulepreload", "dns-prefetch", "preconnect", "manifest"}
CSS_URL = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")


def is_external(address: str) -> bool:
    """Whether an address leaves the book (data: and fragments do not)."""
    parts = urlsplit(address.strip())
    return bool(parts.netloc) or parts.scheme in ("http", "https", "ftp")


def check_css(text: str, where: str) -> list[str]:
    """Outside addresses in a style sheet or a style attribute."""
    found = [first or second for first, second in CSS_URL.findall(text)]
    return [f"{where}: style loads {address}" for address in found if is_external(address)]


class Anchors:
    """The places of each page that a link can lead to; each page is read once."""

    PLACE = re.compile(r"""<[a-zA-Z][^<>]*?\s(?:id|name)\s*=\s*(?:"([^"]*)"|'([^']*)')""")

    def __init__(self) -> None:
        self._known: dict[Path, set[str]] = {}

    def of(self, page: Path) -> set[str]:
        page = page.resolve()
        if page not in self._known:
            text = page.read_text(encoding="utf-8")
            self._known[page] = {unescape(first or second) for first, second in self.PLACE.findall(text)}
        return self._known[page]


def check_page(page: Path, root: Path, anchors: Anchors | None = None) -> list[str]:
    """What is wrong with one page."""
    anchors = anchors or Anchors()
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    where = page.relative_to(root).as_posix()
    problems: list[str] = []
    if soup.title is None or not soup.title.get_text().strip():
        problems.append(f"{where}: no title")
    if soup.html is None or not soup.html.get("lang"):
        problems.append(f"{where}: does not say its language")
    for tag in soup.find_all(True):
        problems += [f"{where}: {problem}" for problem in _check_tag(tag)]
        problems += check_css(str(tag.get("style") or ""), where)
        if tag.name == "style":
            problems += check_css(tag.get_text(), where)
        if tag.name in ("a", "link", "img", "script"):
            problems += _check_inner_link(str(tag.get("href") or tag.get("src") or ""), page, root, anchors)
    return problems


def _check_tag(tag: Tag) -> list[str]:
    problems = []
    address = str(tag.get(LOADED.get(tag.name, ""), ""))
    if is_external(address):
        problems.append(f"<{tag.name}> loads {address}")
    if any(is_external(part.strip().split(" ")[0]) for part in str(tag.get("srcset") or "").split(",")):
        problems.append(f"<{tag.name}> loads {tag['srcset']}")
    if tag.name == "link" and LOADED_LINKS & set(tag.get("rel") or []) and is_external(str(tag.get("href") or "")):
        problems.append(f"<link> loads {tag['href']}")
    if tag.name == "meta" and str(tag.get("http-equiv", "")).lower() == "refresh":
        if is_external(str(tag.get("content", "")).partition("url=")[2]):
            problems.append(f"<meta> leads to {tag['content']}")
    if tag.name == "img" and not str(tag.get("alt") or "").strip():
        problems.append(f"picture without alternative text: {str(tag.get('src'))[:80]}")
    elif tag.name == "img" and str(tag["alt"]) == str(tag.get("src")):
        problems.append(f"picture whose alternative text is its own address: {tag['src']}")
    if tag.name == "p" and tag.get_text().lstrip().startswith("| "):
        problems.append(f"a table came out as text: {tag.get_text().strip()[:80]}")
    if tag.name == "script" and "THEBE_JS_URL" in tag.get_text():
        problems.append("sphinx-thebe's script, which stops with an error where it stands twice")
    return problems


def _check_inner_link(address: str, page: Path, root: Path, anchors: Anchors) -> list[str]:
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return []
    where = page.relative_to(root).as_posix()
    path = unquote(parts.path)
    target = page if not path else root / path.lstrip("/") if path.startswith("/") else page.parent / path
    if not target.exists():
        return [f"{where}: dead link to {address}"]
    fragment = unquote(parts.fragment)
    # A browser knows #top; a part of a drawing or a script is theirs to know.
    if fragment in ("", "top") or target.suffix != ".html" or fragment in anchors.of(target):
        return []
    return [f"{where}: no such place: {address}"]


def pages_of(root: Path) -> list[Path]:
    """The pages a reader can open: all but the theme's own templates, which it copies into _static."""
    return [page for page in sorted(root.rglob("*.html")) if "_static" not in page.relative_to(root).parts]


def check(root: Path) -> list[str]:
    """What is wrong with a built book.

    Raises:
        FileNotFoundError: there is no built page in the folder.
    """
    pages = pages_of(root)
    if not pages:
        raise FileNotFoundError(f"{root} holds no page: build the book first (make book).")
    anchors = Anchors()
    problems = [problem for page in pages for problem in check_page(page, root, anchors)]
    for sheet in sorted(root.rglob("*.css")):
        problems += check_css(sheet.read_text(encoding="utf-8"), sheet.relative_to(root).as_posix())
    return list(dict.fromkeys(problems))


def main() -> int:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "_build/html")
    problems = check(root)
    for problem in problems:
        print(problem, file=sys.stderr)
    verdict = f"{len(problems)} problems" if problems else "nothing from outside, all in order"
    print(f"{len(pages_of(root))} pages checked: {verdict}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
