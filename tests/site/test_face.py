"""The book's face: what a reader sees of type, colour, code, tables and captions, and of the page on paper."""

from __future__ import annotations

import importlib
import re
from types import ModuleType

import pytest

from tests.places import ROOT
from tests.site import browser as looking
from tests.site.conftest import Open
from tests.site.pages import CHAPTERS, HOME

each_chapter = pytest.mark.parametrize("name", CHAPTERS)

WIDE_CODE = """() => [...document.querySelectorAll("article div.cell_input pre")]
  .filter((pre) => pre.getClientRects().length && pre.scrollWidth > pre.clientWidth + 1)
  .map((pre) => pre.innerText.split("\\n").sort((a, b) => b.length - a.length)[0])
  .filter((line) => line.length <= 88)"""

WEIGHT = """() => ["h1", "h2", "h3", "h4"].map((name) => {
  const heading = document.createElement(name);
  document.querySelector("article section").append(heading);
  const { fontSize, fontWeight, marginTop } = getComputedStyle(heading);
  heading.remove();
  return [parseFloat(fontSize), Number(fontWeight), parseFloat(marginTop)];
})"""


@pytest.mark.parametrize("width", [390, 1280])
def test_headings_stand_in_order_of_weight(open_page: Open, address: str, width: int) -> None:
    page = open_page(f"{address}/{CHAPTERS[0]}", width=width)
    sizes, weights, _ = zip(*page.evaluate(WEIGHT), strict=True)
    text = float(page.evaluate("parseFloat(getComputedStyle(document.querySelector('article p')).fontSize)"))
    assert sorted(set(sizes), reverse=True) == list(sizes) and sizes[-1] >= text
    assert sorted(set(weights), reverse=True) == list(weights)
    assert sizes[0] <= (32 if width == 390 else 42)


@each_chapter
def test_code_of_88_columns_fits_on_a_laptop(open_page: Open, address: str, name: str) -> None:
    page = open_page(f"{address}/{name}")
    looking.settle(page)
    page.evaluate("window.probes.open()")
    assert page.evaluate(WIDE_CODE) == []
    page.evaluate("document.querySelector('article div.cell_input pre').textContent = 'm'.repeat(88)")
    assert page.evaluate(WIDE_CODE) == [], "a line of 88 columns, whatever the chapter holds"


def test_text_code_and_menus_have_their_types_and_none_is_fetched(open_page: Open, origin: str) -> None:
    page = open_page(f"{origin}/{HOME}")
    looking.settle(page)
    family = "(name) => getComputedStyle(document.querySelector(name)).fontFamily"
    assert page.evaluate(family, "article p").endswith(" serif")
    assert page.evaluate(family, "article code").endswith(" monospace")
    assert page.evaluate(family, ".bd-sidebar-primary").endswith(" sans-serif")
    assert page.evaluate("[...document.fonts].filter((font) => font.status === 'loaded').length") == 0


def test_a_line_of_text_is_no_longer_than_one_reads(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/{CHAPTERS[0]}", width=1600)
    widths = page.evaluate("[...document.querySelectorAll('article section > p')].map((p) => p.clientWidth)")
    assert max(widths) <= 672 < page.evaluate("document.querySelector('article').clientWidth")


def test_folds_over_code_say_what_they_hide(open_page: Open, address: str) -> None:
    for name in CHAPTERS:
        page = open_page(f"{address}/{name}")
        words = page.locator("article details.above-input summary p.collapsed").all_inner_texts()
        assert words and not [w for w in words if re.match(r"Show code cell|Show the code \(", w)], name


@each_chapter
def test_on_paper_nothing_is_cut_and_menus_are_gone(open_page: Open, address: str, name: str) -> None:
    page = open_page(f"{address}/{name}", width=680)
    looking.settle(page)
    page.emulate_media(media="print")
    wide = """[...document.querySelectorAll('article :is(pre, .katex-display)')]
      .filter((el) => el.getClientRects().length && el.scrollWidth > el.clientWidth + 1)
      .map((el) => el.innerText.slice(0, 60))"""
    assert page.evaluate(wide) == []
    for menu in (".bd-sidebar-primary", ".bd-sidebar-secondary", ".bd-header-article", ".copybtn"):
        assert not page.locator(menu).first.is_visible(), menu
    for fold in ("#exercises details", "#quiz details"):
        if page.locator(f"{fold} p").count():
            assert page.locator(f"{fold} p").first.is_visible(), "a fold cannot be opened on paper"


@pytest.fixture
def numbers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "book/_ext"))
    return importlib.import_module("numbers_as_read")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<p>-0.60 and −0.3, 9% of (-2)</p>", "<p>−0.60 and −0.3, 9\u202f% of (−2)</p>"),
        ("<p>1e-04, x-3, 2016-2019, ±-1, a 5 % share</p>", "<p>1e-04, x-3, 2016-2019, ±−1, a 5 % share</p>"),
        ("<pre>-1 9%</pre><code>-1</code>", "<pre>-1 9%</pre><code>-1</code>"),
        ('<span class="math notranslate">\\(-1\\)</span>', '<span class="math notranslate">\\(-1\\)</span>'),
        ('<summary>9%</summary><img alt="-1 9%">', '<summary>9%</summary><img alt="-1 9%">'),
        ("<p><strong>Table 2.</strong> x</p>", '<p class="figure-words" id="table-2"><strong>Table 2.</strong> x</p>'),
    ],
)
def test_numbers_are_written_one_way(numbers: ModuleType, text: str, said: str) -> None:
    assert numbers.mend(text) == said


def test_columns_of_numbers_are_aligned_with_their_heading(numbers: ModuleType) -> None:
    head = "<tr><th>name</th><th>share</th><th>gain [95 %]</th><th>mixed</th></tr>"
    rows = (
        "<tr><td>a</td><td>9.1%</td><td>-0.3 [-0.6, 0.1]</td><td>1</td></tr>"
        '<tr><td>b 2</td><td class="x">10.0%</td><td>–</td><td>one</td></tr>'
    )
    mended = numbers.mend(f"<table>{head}{rows}</table>")
    assert '<th class="number">share</th>' in mended and '<th class="number">gain [95 %]</th>' in mended
    assert '<td class="number x">10.0\u202f%</td>' in mended and '<td class="number">−0.3 [−0.6, 0.1]</td>' in mended
    assert "<td>1</td>" in mended and "<td>one</td>" in mended and "<th>name</th>" in mended


def test_points_stand_under_points(numbers: ModuleType) -> None:
    cells = ("9.5 [-10.2, 3.1]", "10.25 [1.0, 12.0]", "–")
    rows = "".join(f"<tr><td><p>{cell}</p></td><td>{n}</td></tr>" for n, cell in enumerate(cells))
    mended = numbers.mend(f"<table><tr><th>gain</th><th>n</th></tr>{rows}</table>")
    shown = [text.replace("\u2007", "_").replace("\u2008", ".") for text in re.findall(r"<p>(.*?)</p>", mended)]
    assert shown == ["_9.5_ [−10.2, _3.1]", "10.25 [__1.0, 12.0]", "–"]
    assert re.findall(r'<td class="number">(\d)</td>', mended) == ["0", "1", "2"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_claim_s_card_has_no_frame_of_another_colour(open_page: Open, address: str, theme: str) -> None:
    page = open_page(f"{address}/{CHAPTERS[0]}", color_scheme=theme)
    around = (
        "(card) => { const s = getComputedStyle(card.closest('.text_html')); return [s.backgroundColor, s.padding]; }"
    )
    assert page.locator(".xferkit-claim").first.evaluate(around) == ["rgba(0, 0, 0, 0)", "0px"]


def test_rows_of_a_table_are_no_taller_than_their_lines(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/{CHAPTERS[0]}")
    gaps = "cells => cells.filter((p) => parseFloat(getComputedStyle(p).marginBottom) > 0).length"
    assert page.locator("article :is(td, th) > p").evaluate_all(gaps) == 0


def test_numbers_in_tables_line_up(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/{CHAPTERS[0]}")
    cells = page.locator("article td.number")
    assert cells.count() > 20
    styles = cells.evaluate_all(
        "cells => cells.map((c) => getComputedStyle(c).textAlign + ' ' + getComputedStyle(c).fontVariantNumeric)"
    )
    assert all(style.startswith("right") and "tabular-nums" in style for style in styles)
