"""Every page of the built book, in a real browser.

The visits are made once for a page (`browser.visit`); each test asserts one thing about every page, so that a failure
names the page and the kind of fault. All tests stand in one file, and so in one worker with one browser.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts import check_book
from tests.site import browser as looking
from tests.site.browser import Visit
from tests.site.pages import CHAPTERS, NOT_FOUND, PAGES, ROOT_PAGE

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Bytes after gzip: a plain page before its pictures, a chapter with all of them, and the search page with the whole
# book's text, which only it loads.
PLAIN_LIMIT = 300_000
CHAPTER_LIMIT = 900_000
SEARCH_LIMIT = 900_000


@pytest.fixture(scope="module")
def visits(chromium: Browser, book: Path, address: str) -> Callable[[str], Visit]:
    """Look at a page, once."""
    return functools.cache(functools.partial(looking.visit, chromium, book, address))


every_page = pytest.mark.parametrize("name", PAGES)


def test_the_list_of_pages_is_whole(book: Path) -> None:
    assert {page.relative_to(book).as_posix() for page in check_book.pages_of(book)} == {*PAGES, ROOT_PAGE, NOT_FOUND}


def test_axe_is_what_its_note_says() -> None:
    assert looking.sha256(looking.AXE) in (looking.AXE.parent / "README.md").read_text(encoding="utf-8")


@every_page
def test_says_nothing_in_the_console(visits: Callable[[str], Visit], name: str) -> None:
    assert visits(name).console == []


@every_page
def test_asks_no_other_host(visits: Callable[[str], Visit], name: str) -> None:
    assert visits(name).elsewhere == []


@every_page
def test_gets_what_it_asks_for(visits: Callable[[str], Visit], name: str) -> None:
    assert visits(name).failed == []


@every_page
def test_does_not_scroll_sideways(visits: Callable[[str], Visit], name: str) -> None:
    assert visits(name).overflow == []


@every_page
def test_pictures_have_words_and_sizes(visits: Callable[[str], Visit], name: str) -> None:
    assert visits(name).pictures == []


@every_page
def test_axe_finds_nothing_serious(visits: Callable[[str], Visit], name: str) -> None:
    assert visits(name).axe == []


@every_page
def test_headings_stand_in_order(visits: Callable[[str], Visit], name: str) -> None:
    assert visits(name).headings == []


@every_page
def test_keyboard_focus_is_seen(visits: Callable[[str], Visit], name: str) -> None:
    assert visits(name).focus == []


@every_page
def test_icons_need_no_font(visits: Callable[[str], Visit], name: str) -> None:
    assert visits(name).glyphs == []


@every_page
def test_formulas_are_set(visits: Callable[[str], Visit], name: str) -> None:
    assert visits(name).unset_formulas == []


@every_page
def test_weight(visits: Callable[[str], Visit], book: Path, name: str) -> None:
    chapter = name in CHAPTERS
    limit = CHAPTER_LIMIT if chapter else SEARCH_LIMIT if name == "search.html" else PLAIN_LIMIT
    sizes = looking.weight(book, visits(name).files, pictures=chapter)
    assert sum(sizes.values()) <= limit, f"the heaviest: {list(sizes.items())[:8]}"
