"""The book as one PDF: it opens, has bookmarks and links that lead on, and holds every line of code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from bs4 import BeautifulSoup

from scripts import build_pdf
from tests.site import browser as looking
from tests.site.pages import CHAPTERS

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def printed(chromium: Browser, book: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Any]:
    """What is wrong with the printed book, and the PDF as pypdf reads it."""
    pypdf = pytest.importorskip("pypdf")
    target = tmp_path_factory.mktemp("paper") / "book.pdf"
    faults = build_pdf.print_book(book, target, chromium)
    return faults, pypdf.PdfReader(target)


def bare(text: str) -> str:
    return re.sub(r"[\s\u200b\u00ad]+", "", text)


def test_nothing_is_cut_or_lost_on_paper(printed: tuple[list[str], Any]) -> None:
    assert printed[0] == []


def test_bookmarks_are_the_book_s_headings(printed: tuple[list[str], Any], book: Path) -> None:
    _, pdf = printed
    top = [bare(entry.title) for entry in pdf.outline if not isinstance(entry, list)]
    pages = [BeautifulSoup((book / name).read_text(encoding="utf-8"), "html.parser") for name, _ in build_pdf.listed()]
    titles = [page.select_one("article h1") for page in pages]
    assert top == [bare(title.get_text()).removesuffix("#") for title in titles if title]
    below = [entry for group in pdf.outline if isinstance(group, list) for entry in group]
    assert len(below) > 5 * len(CHAPTERS)
    numbers = [pdf.get_destination_page_number(entry) for entry in pdf.outline if not isinstance(entry, list)]
    assert numbers == sorted(set(numbers)), "each page of the book begins a sheet"
    assert len(pdf.pages) > 10 * len(CHAPTERS)


def test_links_lead_within_the_pdf(printed: tuple[list[str], Any]) -> None:
    _, pdf = printed
    known = set(pdf.named_destinations)
    within, without = [], []
    for page in pdf.pages:
        for note in page.get("/Annots") or []:
            link = note.get_object()
            if "/Dest" in link:
                within.append(link["/Dest"])
            elif "/URI" in link.get("/A", {}):
                without.append(str(link["/A"]["/URI"]))
    assert len(within) > 300
    assert {str(name) for name in within if isinstance(name, str)} <= known
    assert not [address for address in without if address.startswith("file:")]


def test_every_line_of_code_in_sight_is_in_the_pdf(printed: tuple[list[str], Any], book: Path) -> None:
    _, pdf = printed
    text = bare("".join(page.extract_text() for page in pdf.pages))
    lines = []
    for name in CHAPTERS:
        soup = BeautifulSoup((book / name).read_text(encoding="utf-8"), "html.parser")
        for code in soup.select("article div.cell_input pre"):
            if code.find_parent("details") is None:
                lines += [line for line in code.get_text().splitlines() if line.strip()]
    assert len(lines) > 300
    assert [line for line in lines if bare(line) not in text] == []


@pytest.mark.parametrize(
    ("address", "page", "leads"),
    [
        ("#a", "chapters/x.html", "#chapters-x--a"),
        ("y.html", "chapters/x.html", "#chapters-y"),
        ("../book/z.html#b%20c", "chapters/x.html", "#book-z--b c"),
        ("../_sources/x.ipynb", "chapters/x.html", None),
        ("https://a.org/y.html", "chapters/x.html", None),
    ],
)
def test_links_are_turned_inwards(address: str, page: str, leads: str | None) -> None:
    names = {"chapters/x.html", "chapters/y.html", "book/z.html"}
    assert build_pdf.inside(address, page, names) == leads


def test_what_is_too_wide_is_a_fault(chromium: Browser) -> None:
    page = chromium.new_page(viewport={"width": build_pdf.PAPER_WIDTH, "height": 900})
    page.set_content(f"<article><pre>{'m' * 300}</pre><a href='#gone'>x</a></article>")
    faults = page.evaluate(build_pdf.FAULTS)
    page.close()
    assert [fault.partition(":")[0] for fault in faults] == ["too wide", "leads nowhere"]
    assert looking.find_chromium()
