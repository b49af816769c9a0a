"""The chapters' pattern in the built book: numbers, citations, folded solutions, the quiz."""

from __future__ import annotations

import re

import pytest

from scripts import chapter_text, run_chapters
from tests.site import browser as looking
from tests.site.conftest import Open
from tests.site.pages import CHAPTERS, HOME, ROOT

TEXTS = {page: chapter_text.markdown_of(run_chapters.read(ROOT / page.replace(".html", ".ipynb"))) for page in CHAPTERS}
WITH_QUIZ = [page for page in CHAPTERS if chapter_text.quiz(TEXTS[page])]

each_chapter = pytest.mark.parametrize("name", CHAPTERS)
each_quiz = pytest.mark.parametrize("name", WITH_QUIZ)


def number_of(name: str) -> str:
    return name.removeprefix("chapters/")[:2]


@each_chapter
def test_a_chapter_has_the_number_of_its_file(open_page: Open, address: str, name: str) -> None:
    page = open_page(f"{address}/{name}")
    assert page.locator("article h1").inner_text().startswith(f"{number_of(name)} ")
    assert page.title().startswith(f"{number_of(name)} ")


def test_the_menu_and_the_landing_page_have_the_numbers_of_the_files(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/{HOME}")
    for place in ("nav.bd-links", "article"):
        links = page.locator(f'{place} a[href^="../chapters/"]')
        said = [(str(link.get_attribute("href")), link.inner_text()) for link in links.all()]
        found = {address.rpartition("/")[2]: " ".join(words.split()) for address, words in said}
        assert [words[:3] for words in found.values()] == [f"{name[:2]} " for name in found], place
        assert len(found) == len(CHAPTERS)


@each_chapter
def test_citations_are_told_apart_and_lead_to_their_entry(open_page: Open, address: str, name: str) -> None:
    page = open_page(f"{address}/{name}")
    links = page.locator('article a[href*="bibliography.html#"]')
    assert links.count() == len(re.findall(r"\]\(\.\./book/bibliography\.md#", TEXTS[name])) > 0
    assert page.locator("article a.citation").count() == links.count()
    first = links.first
    key = str(first.get_attribute("href")).partition("#")[2]
    label, cited = first.inner_text(), str(first.get_attribute("data-preview"))
    first.click()
    page.wait_for_url("**/bibliography.html#*")
    entry = page.locator(f"p:has(#{key})")
    assert cited == entry.inner_text()
    assert cited.startswith(label.replace("(", "").replace(")", ""))
    assert page.locator("article a.citation").count() == 0


@each_chapter
def test_solutions_are_folded_and_their_code_is_set(open_page: Open, address: str, name: str) -> None:
    page = open_page(f"{address}/{name}", width=390)
    looking.settle(page)
    folds = page.locator("#exercises details")
    assert folds.count() == chapter_text.exercises(TEXTS[name])[1] >= 5
    assert folds.locator("summary").all_inner_texts() == ["Solution"] * folds.count()
    assert not page.locator("#exercises details .highlight-python").first.is_visible()
    page.locator("#exercises details:has(.highlight-python) summary").first.press("Enter")
    code = page.locator("#exercises details[open] .highlight-python").first
    assert code.is_visible() and code.locator("pre span.n").count() > 3, "the code is coloured"
    assert "```" not in page.locator("#exercises").inner_text()


@each_quiz
def test_quiz_is_answered_by_keyboard(open_page: Open, origin: str, name: str) -> None:
    page = open_page(f"{origin}/{name}", color_scheme="dark")
    questions = chapter_text.quiz(TEXTS[name])
    choices = page.locator("#quiz details")
    assert choices.count() == sum(len(question.choices) for question in questions)
    for choice, (words, answer) in zip(choices.all(), [c for q in questions for c in q.choices], strict=True):
        assert choice.locator("summary").inner_text() == words
        assert not choice.locator("p").first.is_visible()
        choice.locator("summary").focus()
        page.keyboard.press("Enter")
        assert choice.locator("p").first.inner_text().startswith("Right." if answer.startswith("**R") else "Wrong.")
        page.keyboard.press("Space")
        assert choice.get_attribute("open") is None


@each_quiz
def test_quiz_and_solutions_need_no_scripts(open_page: Open, address: str, name: str) -> None:
    page = open_page(f"{address}/{name}", java_script_enabled=False)
    for place in ("#quiz", "#exercises"):
        fold = page.locator(f"{place} details").first
        words = fold.text_content() or ""
        assert len(words.split()) > 10, "the text is in the page"
        assert not fold.locator("p, pre").first.is_visible()
        fold.locator("summary").click()
        assert fold.locator("p, pre").first.is_visible()
