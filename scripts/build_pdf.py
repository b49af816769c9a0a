"""Print the whole book into one PDF: with bookmarks, links that lead within it, and no line of code cut.

    python scripts/build_pdf.py [_build/html] [_build/book.pdf]

`make pdf` builds the book first. The articles of all pages, in the order of the table of contents, become one page;
places get their page's name before their own, so that links find them; Chromium prints it by the book's style for
paper. Sphinx's own page of everything (singlehtml) would lose the places that the book's extensions make.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.site import browser as looking
from tests.site.pages import HOME, TOC

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ADDRESSES = ("id", "for", "aria-labelledby", "aria-describedby", "aria-controls")
# For a screen: buttons, figures to try, links to the same page on a server.
SCREEN_ONLY = ".headerlink, .copybtn, .chapter-tools, .live, .start-links, script, #pst-back-to-top"
SHELL = """<!DOCTYPE html>
<html lang="{lang}" data-theme="light" data-mode="light">
<head><meta charset="utf-8"><title>{title}</title>
{styles}
<style>
.bd-article > section.paper-page {{ break-before: page; }}
.bd-article > section.paper-page > section > h1 {{ margin-top: 0; }}
.paper-page h1 {{ break-before: avoid; }}
.paper-contents ol {{ list-style: none; padding-left: 1.2rem; }}
.paper-part {{ font-size: 0.85em; letter-spacing: 0.05em; text-transform: uppercase; }}
</style>
<script src="_static/katex/katex.min.js"></script><script src="_static/formulas.js"></script>
</head>
<body><div class="bd-container"><main class="bd-main"><div class="bd-content"><div class="bd-article-container">
<article class="bd-article">
{contents}
{pages}
</article></div></div></main></div></body></html>
"""
FOOTER = (
    '<div style="font: 8px sans-serif; color: #555; width: 100%; text-align: center">'
    '<span class="pageNumber"></span></div>'
)


@dataclass(frozen=True)
class Paper:
    """One page of the book on its way into the PDF."""

    name: str
    part: str
    title: str
    html: str


def listed() -> list[tuple[str, str]]:
    """Pages with the part they belong to, in the order of the table of contents."""
    rest = [(f"{chapter['file']}.html", part["caption"]) for part in TOC["parts"] for chapter in part["chapters"]]
    return [(HOME, ""), *rest]


def place_of(page: str, fragment: str = "") -> str:
    """A place's name in the one page, of its page's name and its own."""
    return re.sub(r"[^\w.-]", "-", page.removesuffix(".html")) + (f"--{fragment}" if fragment else "")


def inside(address: str, page: str, names: set[str]) -> str | None:
    """Where a link leads within the one page; None where it leads elsewhere."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return None
    target = page
    if parts.path:
        steps = [*Path(page).parent.parts, *unquote(parts.path).split("/")]
        kept: list[str] = []
        for step in steps:
            if step == "..":
                kept.pop()
            elif step not in (".", ""):
                kept.append(step)
        target = "/".join(kept)
    return f"#{place_of(target, unquote(parts.fragment))}" if target in names else None


def paper(book: Path, name: str, part: str, names: set[str], site: str) -> Paper:
    """A page's article, its places renamed, its links turned inwards, or to the book's address where there is one."""
    soup = BeautifulSoup((book / name).read_text(encoding="utf-8"), "html.parser")
    article = soup.select_one("article.bd-article")
    assert article is not None, name
    for tag in article.select(SCREEN_ONLY):
        tag.decompose()
    heading = article.select_one("h1")
    title = heading.get_text().strip() if heading else name
    for tag in article.find_all(True):
        for key in ADDRESSES:
            if tag.get(key):
                tag[key] = " ".join(place_of(name, word) for word in str(tag[key]).split())
        if tag.name == "a" and tag.get("href"):
            lead(tag, name, names, site)
        if tag.name == "img":
            tag["src"] = (Path(name).parent / unquote(str(tag["src"]))).as_posix()
            del tag["loading"]
        if tag.name == "details" and not tag.get("class"):
            tag["open"] = ""  # a solution is part of the text
    return Paper(name, part, title, article.decode_contents())


def lead(link: Tag, page: str, names: set[str], site: str) -> None:
    address = str(link["href"])
    within = inside(address, page, names)
    if within is not None:
        link["href"] = within
    elif not urlsplit(address).scheme:  # a file of the site
        whole = (Path(page).parent / urlsplit(address).path).as_posix()
        if site:
            link["href"] = site + re.sub(r"[^/]+/\.\./", "", whole)
        else:
            del link["href"]


def whole(book: Path) -> str:
    """The one page: contents, then every article."""
    home = BeautifulSoup((book / HOME).read_text(encoding="utf-8"), "html.parser")
    canonical = home.select_one('link[rel="canonical"]')
    site = str(canonical["href"]).removesuffix(HOME) if canonical else ""
    title = TOC_TITLE if (found := home.select_one('meta[property="og:site_name"]')) is None else str(found["content"])
    pages = listed()
    names = {name for name, _ in pages}
    papers = [paper(book, name, part, names, site) for name, part in pages]
    sheets: dict[str, None] = {}
    for name, _ in pages:
        soup = BeautifulSoup((book / name).read_text(encoding="utf-8").partition("</head>")[0], "html.parser")
        for link in soup.select('link[rel="stylesheet"]'):
            sheets.setdefault(re.sub(r"^(\.\./)+", "", str(link["href"]).partition("?")[0]))
    # Later ones win: the book's own stand at the end, as in its pages.
    own = ("icons.css", "course.css", "pieces.css", "live.css", "print.css")
    order = sorted(sheets, key=lambda sheet: own.index(Path(sheet).name) if Path(sheet).name in own else -1)
    styles = "\n".join(f'<link rel="stylesheet" href="{sheet}">' for sheet in order)
    lines, part = [], ""
    for page in papers:
        if page.part != part:
            lines.append(f'<li class="paper-part">{page.part}</li>')
            part = page.part
        lines.append(f'<li><a href="#{place_of(page.name)}">{page.title}</a></li>')
    contents = f'<nav class="paper-contents"><p class="promise">{title}</p><ol>{"".join(lines)}</ol></nav>'
    bodies = [f'<section class="paper-page" id="{place_of(p.name)}">{p.html}</section>' for p in papers]
    return SHELL.format(lang="en", title=title, styles=styles, contents=contents, pages="\n".join(bodies))


TOC_TITLE = "The book"

# What would be cut at the paper's edge, or left without a place.
FAULTS = """() => {
  const edge = document.querySelector("article").getBoundingClientRect().right + 1;
  const wide = [...document.querySelectorAll("article :is(pre, img, .katex-display, td)")]
    .filter((el) => el.getClientRects().length)
    .filter((el) => el.scrollWidth > el.clientWidth + 1 || el.getBoundingClientRect().right > edge)
    .filter((el) => !el.closest("details:not([open])"))
    .map((el) => `too wide: ${el.tagName} ${el.textContent.trim().slice(0, 60) || el.src}`);
  const whole = [...document.querySelectorAll("article :is(td.number, td.number *, .katex .base)")];
  const apart = whole.filter((el) => getComputedStyle(el).whiteSpace !== "nowrap")
    .map((el) => `a number or formula in pieces: ${el.textContent.trim().slice(0, 40)}`);
  const lost = [...document.querySelectorAll('a[href^="#"]')]
    .filter((link) => !document.getElementById(decodeURIComponent(link.getAttribute("href").slice(1))))
    .map((link) => `leads nowhere: ${link.getAttribute("href")}`);
  const empty = [...document.images].filter((img) => !img.naturalWidth).map((img) => `no picture: ${img.src}`);
  return [...wide, ...apart, ...lost, ...empty];
}"""
PAPER_WIDTH = 673  # CSS pixels between the margins of A4 (210 mm less twice 16 mm)


def print_book(book: Path, target: Path, browser: Browser) -> list[str]:
    """Write the PDF; what is wrong with it comes back."""
    one = book / "_whole.html"  # beside the pages, so that their pictures and styles are found
    one.write_text(whole(book), encoding="utf-8")
    page = browser.new_page(viewport={"width": PAPER_WIDTH, "height": 980})
    try:
        page.set_default_timeout(300_000)
        page.goto(one.as_uri(), wait_until="load", timeout=300_000)
        page.emulate_media(media="print")
        page.evaluate("Promise.all([...document.images].map((img) => img.decode().catch(() => {})))")
        page.evaluate("document.fonts.ready")
        faults: list[str] = page.evaluate(FAULTS)
        page.pdf(
            path=target, format="A4", print_background=True, outline=True, tagged=True, prefer_css_page_size=True,
            display_header_footer=True, header_template="<span></span>", footer_template=FOOTER,
        )  # fmt: skip
    finally:
        page.close()
        one.unlink()
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("book", nargs="?", type=Path, default=Path("_build/html"))
    parser.add_argument("target", nargs="?", type=Path, default=Path("_build/book.pdf"))
    options = parser.parse_args()
    executable = looking.find_chromium()
    if executable is None:
        print("There is no Chromium here; set XFERKIT_CHROMIUM.", file=sys.stderr)
        return 1
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=executable, args=looking.FLAGS)
        faults = print_book(options.book.resolve(), options.target.resolve(), browser)
        browser.close()
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{options.target}: {options.target.stat().st_size / 1e6:.1f} MB")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
