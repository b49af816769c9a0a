"""Citations and terms show what they lead to: to the pointer, to the keyboard, and without scripts."""

from __future__ import annotations

import importlib

import pytest

from tests.places import ROOT
from tests.site import browser as looking
from tests.site.conftest import Open
from tests.site.pages import CHAPTERS

each_chapter = pytest.mark.parametrize("name", CHAPTERS)
KINDS = ("a.citation", "a.term")


@pytest.mark.parametrize("kind", KINDS)
def test_pointer_and_keyboard_see_a_preview(open_page: Open, origin: str, kind: str) -> None:
    page = open_page(f"{origin}/{CHAPTERS[0]}")
    looking.settle(page)
    link, box = page.locator(f"article {kind}").first, page.locator("#preview")
    words = str(link.get_attribute("data-preview"))
    assert len(words) > 30 and not box.is_visible()
    link.hover()
    box.wait_for(state="visible")
    assert box.inner_text() == words
    box.hover()
    page.wait_for_timeout(300)
    assert box.is_visible(), "the pointer may go into it"
    page.mouse.move(2, 2)
    box.wait_for(state="hidden")
    link.focus()
    box.wait_for(state="visible")
    assert link.get_attribute("aria-describedby") == "preview" and box.get_attribute("role") == "tooltip"
    page.keyboard.press("Escape")
    assert not box.is_visible() and link.get_attribute("aria-describedby") is None


@pytest.mark.parametrize("kind", KINDS)
def test_previews_stay_on_a_phone_s_screen(open_page: Open, address: str, kind: str) -> None:
    page = open_page(f"{address}/{CHAPTERS[0]}", width=320)
    looking.settle(page)
    for link in page.locator(f"article {kind}").all()[:8]:
        if not link.is_visible():
            continue
        link.focus()
        place = page.locator("#preview").bounding_box()
        assert place is not None and place["x"] >= 0 and place["x"] + place["width"] <= 320


@each_chapter
def test_terms_lead_to_the_glossary_once_each(open_page: Open, address: str, name: str) -> None:
    page = open_page(f"{address}/{name}")
    links = page.locator("article a.term")
    targets = [str(link.get_attribute("href")) for link in links.all()]
    assert len(targets) >= 5 and len(set(targets)) == len(targets)
    assert all(target.startswith("../book/glossary.html#") for target in targets)
    assert page.locator("article :is(h1, h2, h3, a, pre, summary) a.term").count() == 0
    links.first.click()
    page.wait_for_url("**/glossary.html#*")
    assert page.evaluate("!!document.getElementById(decodeURIComponent(location.hash.slice(1)))")


def test_without_scripts_the_words_are_the_link_s_title(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/{CHAPTERS[0]}", java_script_enabled=False)
    for kind in KINDS:
        assert len(str(page.locator(f"article {kind}").first.get_attribute("title"))) > 30


def test_definitions_are_shown_without_tex(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "book/_ext"))
    plain = importlib.import_module("previews").plain
    assert plain("over it, \\{\\mathcal X, P(X)\\}.\n  Or $P(Y \\mid X)$") == "over it, {X, P(X)}. Or $P(Y | X)$"
    assert plain(r"its \lambda of \mathbb{R}") == "its λ of R"
