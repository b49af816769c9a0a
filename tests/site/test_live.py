"""Figures to try: driven by the keyboard, what they say compared with the data; without scripts and on paper absent."""

from __future__ import annotations

import importlib
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.places import ROOT
from tests.site import browser as looking
from tests.site.conftest import Open
from tests.site.pages import CHAPTERS

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "book/_ext"))
    return importlib.import_module("live")


def opened(open_page: Open, live: Any, origin: str, kind: str, **options: Any) -> tuple[Page, Locator]:
    """The page of a figure, and the figure's place, filled as for a reader who scrolls to it."""
    page = open_page(f"{origin}/{live.plan(ROOT)[kind]['page']}.html", **options)
    place = page.locator(f'.live[data-live="{kind}"]')
    if not place.count() and not page.locator("p.figure-words").count():
        pytest.skip("the chapter's figures have no numbers yet")
    if options.get("java_script_enabled", True):
        place.scroll_into_view_if_needed()
        page.evaluate("window.xferkitLive.all()")
        page.locator(f'.live-filled[data-live="{kind}"] .live-said:not(:empty)').wait_for()
    return page, place


def said(place: Locator) -> str:
    return place.locator(".live-said").inner_text().replace("\u202f", " ").replace("−", "-")


def walk(page: Page, slider: Locator) -> Any:
    """Every stop of a slider by the arrow keys, from its first to its last."""
    slider.focus()
    page.keyboard.press("Home")
    last = int(str(slider.get_attribute("max")))
    for i in range(last + 1):
        assert slider.input_value() == str(i)
        yield i
        page.keyboard.press("ArrowRight")
    assert slider.input_value() == str(last)


KINDS = ("labels", "layers", "retrieval", "moons")


@pytest.mark.parametrize("kind", KINDS)
def test_the_still_picture_is_there_without_scripts_and_on_paper(
    open_page: Open, live: Any, address: str, kind: str
) -> None:
    plain, place = opened(open_page, live, address, kind, java_script_enabled=False)
    number = str(place.get_attribute("data-figure"))
    for page in (plain, opened(open_page, live, address, kind)[0]):
        caption = page.locator(f"p.figure-words#figure-{number}")
        assert caption.is_visible()
        before = f'xpath=//p[@id="figure-{number}"]/preceding::img[1]'
        assert page.locator(before).is_visible()
    assert place.locator("input, select, canvas").count() == 0
    paper, place = opened(open_page, live, address, kind)
    assert place.is_visible()
    paper.emulate_media(media="print")
    assert not place.is_visible()


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_filled_when_a_reader_comes_near_and_its_controls_have_names(
    open_page: Open, live: Any, origin: str, kind: str
) -> None:
    page, place = opened(open_page, live, origin, kind, width=320)
    looking.settle(page)
    assert place.get_attribute("role") == "group"
    for control in place.locator("input, select").all():
        assert control.evaluate("el => el.labels[0].innerText.trim()")
    for drawing in place.locator("[role=img]").all():
        assert drawing.get_attribute("aria-label")
    assert place.evaluate("el => el.scrollWidth <= el.clientWidth + 1")


def test_labels_says_what_the_results_say(open_page: Open, live: Any, origin: str) -> None:
    page, place = opened(open_page, live, origin, "labels")
    data = live.labels(ROOT)
    for target, name in zip(data["targets"], ("MNIST", "SynDigits"), strict=True):
        for i in walk(page, place.locator("input")):
            words = said(place)
            assert words.startswith(f"{name}, {data['counts'][i]} labels a class")
            for method, values in data["targets"][target].items():
                shares = [100 * value for value in values[i]]
                mean, low, high = sum(shares) / len(shares), min(shares), max(shares)
                numbers = re.search(rf"{method} ([\d.]+) % \(([\d.]+)–([\d.]+)\)", words)
                assert numbers is not None, words
                assert [float(n) for n in numbers.groups()] == pytest.approx([mean, low, high], abs=0.0501)
        place.locator("select").focus()
        page.keyboard.press("ArrowDown")


def test_layers_says_what_the_script_computed(open_page: Open, live: Any, origin: str) -> None:
    page, place = opened(open_page, live, origin, "layers")
    data = live.stored("layers")(ROOT)
    for i in walk(page, place.locator("input")):
        part, words = data["parts"][i], said(place)
        assert words.startswith(f"{part['name']}: output {'×'.join(map(str, part['shape']))},")
        assert f"{part['parameters']:,} parameters" in words
        assert ("whole picture" if part["whole"] else f"{part['field']:,}") in words
        width = place.locator(".live-field span").evaluate("el => el.offsetWidth / el.parentElement.clientWidth")
        assert width == pytest.approx(min(1, part["field"] / data["side"]), abs=0.04)
    rows = place.locator("table tbody tr")
    assert rows.count() == len(data["parts"])


def test_retrieval_shows_the_hits_of_the_data(open_page: Open, live: Any, origin: str) -> None:
    page, place = opened(open_page, live, origin, "retrieval")
    data = live.stored("retrieval")(ROOT)
    query, style = place.locator("select").all()
    query.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    style.focus()
    for _ in range(len(data["styles"])):
        page.keyboard.press("ArrowUp")
    for drawn in range(2):
        for at in walk(page, place.locator("input")):
            hits = [data["gallery"][i] for i in data["hits"][2][drawn][at]]
            marks = ["✓" if hit["class"] == data["queries"][2]["class"] else "✗" for hit in hits]
            found = [words.strip() for words in place.locator("ol li").all_inner_texts()]
            assert found[1:] == [f"{mark} {hit['name']}" for mark, hit in zip(marks, hits, strict=True)]
            assert f"{marks.count('✓')} of {len(hits)}" in said(place)
            assert f"{data['shares'][drawn][at]:.1f} %" in said(place)
        style.focus()
        page.keyboard.press("ArrowDown")
    for sheet in ("queries", "gallery"):
        size = page.evaluate(
            """async (src) => {
              const sheet = Object.assign(new Image(), { src });
              await sheet.decode();
              return [sheet.naturalWidth, sheet.naturalHeight];
            }""",
            f"../_static/live/{sheet}.webp",
        )
        count = len(data["gallery"]) if sheet == "gallery" else len(data["queries"]) * len(data["styles"])
        assert size == [64 * data["columns"], 64 * -(-count // data["columns"])]


def test_moons_draws_the_stored_networks(open_page: Open, live: Any, origin: str) -> None:
    page, place = opened(open_page, live, origin, "moons")
    data = live.moons(ROOT)
    lam, stop = place.locator("input").all()
    for i in walk(page, lam):
        for j, _ in enumerate(walk(page, stop)):
            stops = data["runs"][f"{data['lams'][i]:g}|0"]
            state = stops[sorted(stops, key=lambda s: (s == "averaged", s.zfill(5)))[j]]
            words = said(place)
            assert words.startswith(f"λ up to {data['lams'][i]:g}, ")
            for key in ("source_error", "target_error", "discriminator"):
                assert re.search(rf"\b{state[key]:.1f} %", words) or round(state[key] * 10) % 10 == 5, words
            drawn = json.loads(str(place.get_attribute("data-drawn")))
            # The browser's own errors, from the weights that drew the line: a point on the line may fall either way.
            assert drawn == pytest.approx([state["source_error"], state["target_error"]], abs=0.35)
        lam.focus()  # the walk goes on from here
    ink = "c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; return new Set(d).size; }"
    assert all(canvas.evaluate(ink) > 20 for canvas in place.locator("canvas").all())


def test_every_figure_to_try_has_its_chapter(live: Any) -> None:
    assert set(live.plan(ROOT)) == set(live.DATA) == set(KINDS)
    assert all(f"{said['page']}.html" in CHAPTERS for said in live.plan(ROOT).values())
