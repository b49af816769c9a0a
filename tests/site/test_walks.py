"""What readers do on the built book, done in a browser: change the theme, search, walk by keyboard, open the menu."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.site import browser as looking
from tests.site.conftest import Open
from tests.site.pages import CHAPTERS, HOME

if TYPE_CHECKING:
    from playwright.sync_api import Page


def background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_theme_switch_changes_the_page_and_is_remembered(open_page: Open, origin: str) -> None:
    page = open_page(f"{origin}/{HOME}", color_scheme="light")
    assert page.evaluate("document.documentElement.dataset.theme") == "light", "the reader's system says light"
    seen = {}
    for _ in range(3):
        page.locator(".theme-switch-button:visible").first.click()
        page.wait_for_timeout(400)  # the theme fades
        seen[page.evaluate("document.documentElement.dataset.mode")] = background(page)
        if page.evaluate("document.documentElement.dataset.mode") == "dark":
            break
    assert seen["dark"] != seen.get("light", "rgb(255, 255, 255)")
    page.goto(f"{origin}/{CHAPTERS[0]}")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert background(page) == seen["dark"]


def test_the_system_chooses_the_first_theme(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/{HOME}", color_scheme="dark")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param("gradient reversal", "chapters/16_dann.html", id="text"),
        pytest.param("grad_reverse", "book/api.html#", id="name in the package"),
        pytest.param("make_moons", "chapters/16_dann.html", id="code"),
        pytest.param("迁移学习", "book/glossary.html", id="term in Chinese"),
    ],
)
def test_search_finds_and_shows_where(open_page: Open, origin: str, query: str, found: str) -> None:
    page = open_page(f"{origin}/{HOME}")
    page.keyboard.press("Control+k")
    page.locator("#pst-search-dialog input").fill(query)
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=*")
    page.locator(".search-summary", has_text="found").wait_for()
    hits = page.locator("ul.search > li")
    hit = hits.filter(has=page.locator(f'a[href*="{found}"]')).first
    assert hit.count(), f"found only {hits.all_inner_texts()}"
    assert hit.locator("p.context").first.inner_text().strip()
    assert any(word.lower() in hit.inner_text().lower() for word in query.split()), hit.inner_text()
    link = hit.locator(f'a[href*="{found}"]').last
    fragment = str(link.get_attribute("href")).partition("#")[2]
    link.click()
    page.wait_for_load_state("load")
    assert found.partition("#")[0] in page.url
    if fragment:
        assert page.evaluate("id => !!document.getElementById(id)", fragment)


def test_search_that_finds_nothing_says_so(open_page: Open, origin: str) -> None:
    page = open_page(f"{origin}/search.html?q=zzyzx")
    page.locator(".search-summary", has_text="did not match").wait_for()
    assert page.locator("ul.search > li").count() == 0


@pytest.mark.parametrize("name", [HOME, CHAPTERS[0]])
def test_keyboard_walks_through_the_page(open_page: Open, address: str, name: str) -> None:
    """The first stop leads past the menus; no stop is a trap, and each is brought into sight."""
    page = open_page(f"{address}/{name}")
    looking.settle(page)
    page.keyboard.press("Tab")
    assert "Skip to main content" in page.evaluate("window.probes.focused()")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")
    stops, hidden = 1, []
    for _ in range(400):
        page.keyboard.press("Tab")
        state = page.evaluate(
            """() => {
              const el = document.activeElement;
              if (!el || el === document.body || el.closest("#pst-skip-link")) return null;
              const box = el.getBoundingClientRect();
              const inHeight = box.bottom > 0 && box.top < innerHeight;
              const inWidth = box.width && box.right > 0 && box.left < innerWidth;
              return inHeight && inWidth ? "" : window.probes.focused();
            }"""
        )
        if state is None:
            break
        stops += 1
        hidden += [state] if state else []
    else:
        pytest.fail("400 stops, and the walk has not left the page")
    assert hidden == []
    assert stops > 10


def test_folds_open_by_keyboard(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/{CHAPTERS[0]}")
    fold = page.locator("article details").first
    assert fold.get_attribute("open") is None
    words = fold.locator("summary").inner_text()
    assert re.search(r"\d+ lines?\b|solution|answer|hint", words, re.IGNORECASE), f"says not what it hides: {words}"
    fold.locator("summary").focus()
    page.keyboard.press("Enter")
    assert fold.get_attribute("open") is not None


def test_menu_on_a_phone(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/{CHAPTERS[0]}", width=390)
    link = page.locator("#pst-primary-sidebar-modal a", has_text="Glossary")
    assert not link.is_visible()
    page.locator(".primary-toggle").click()
    link.wait_for()
    page.keyboard.press("Escape")
    link.wait_for(state="hidden")
    page.locator(".primary-toggle").click()
    link.click()
    page.wait_for_url("**/book/glossary.html")


def test_wide_things_are_reached_by_keyboard_as_long_as_they_are_wide(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/{CHAPTERS[0]}", width=320)
    looking.settle(page)
    code = "[...document.querySelectorAll('article pre')].filter(el => !el.closest('details:not([open])'))"
    wide = f"{code}.filter(el => el.scrollWidth > el.clientWidth + 1)"
    assert page.evaluate(f"{wide}.length") > 0
    page.wait_for_function(f"() => {wide}.every(el => el.tabIndex === 0)")
    page.set_viewport_size({"width": 1600, "height": 900})
    said = "el.hasAttribute('data-scrolls') === el.scrollWidth > el.clientWidth + 1"
    page.wait_for_function(f"() => {code}.every(el => {said})")
    assert page.evaluate(f"{wide}.length") == 0


def test_the_book_s_own_address_leads_to_the_landing_page(open_page: Open, origin: str) -> None:
    page = open_page(f"{origin}/index.html")
    page.wait_for_url(f"**/{HOME}")


def test_the_text_is_there_without_scripts(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/{CHAPTERS[0]}", java_script_enabled=False)
    assert page.locator("article h1").is_visible()
    assert len(page.locator("article").inner_text()) > 10_000
    assert page.locator("article img").first.is_visible()
