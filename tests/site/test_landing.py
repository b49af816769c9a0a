"""The landing page and each chapter's top: made from what the course holds, so that nothing on them drifts."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from scripts import build_ladder
from tests.places import ROOT
from tests.site.conftest import Open
from tests.site.pages import CHAPTERS, HOME

each_chapter = pytest.mark.parametrize("name", CHAPTERS)


@pytest.fixture
def extension(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "book/_ext"))
    return importlib.import_module(request.param)


def using(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("extension", [name], indirect=True)


@using("chapter_facts")
def test_chapter_facts_agree_with_the_chapters(extension: ModuleType) -> None:
    found = extension.chapters(ROOT)
    assert [f"{chapter.docname}.html" for chapter in found] == CHAPTERS
    for chapter in found:
        text = " ".join(" ".join("".join(cell["source"]) for cell in chapter.cells).split())
        assert chapter.run in text, f"{chapter.name} does not say that it runs in {chapter.run}"
        assert all(need < chapter.name for need in chapter.needs)
        packed, words, (width, height) = chapter.picture()
        assert words and width <= extension.CARD_WIDTH and height < width and len(packed) < 60_000


@using("chapter_facts")
def test_chapters_and_facts_must_name_the_same(extension: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "_toc.yml").write_text((ROOT / "_toc.yml").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "book/chapters.toml").write_text('["99_none"]\nabout = ""\nneeds = []\nrun = ""\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"chapters\.toml and _toc\.yml"):
        extension.chapters(tmp_path)


@using("chapter_facts")
def test_colab_opens_what_lies_on_github_and_nothing_else(extension: ModuleType) -> None:
    address = extension.colab_address("https://github.com/a/b", "main", "chapters/05_x")
    assert address == "https://colab.research.google.com/github/a/b/blob/main/chapters/05_x.ipynb"
    assert extension.colab_address("", "main", "x") == ""
    assert extension.colab_address("https://example.org/a/b", "main", "x") == ""


@using("landing")
def test_the_ladder_is_sorted_and_averages_its_own_runs(extension: ModuleType) -> None:
    def run(source: str, layer: str, share: float) -> dict[str, Any]:
        scores = {style: share - 0.1 * i for i, style in enumerate(extension.STYLES)}
        return {"job": {"source": source, "layer": layer}, "result": {"balanced_accuracy": scores}}

    runs = [run("noto", "stage6", 0.7), run("noto", "stage6", 0.9), run("noto", "pool", 0.1), run("ink", "stage6", 0.0)]
    found = extension.ladder({"runs": runs})
    assert [style for style, _ in found] == list(extension.STYLES)
    assert found[0][1] == pytest.approx(0.8) and found[-1][1] == pytest.approx(0.3)


def test_the_ladder_s_pictures_are_those_of_the_data() -> None:
    from PIL import Image, ImageChops, ImageStat

    for style, strip in build_ladder.strips().items():
        with Image.open(build_ladder.STATIC / f"ladder/{style}.webp") as stored:
            away = ImageStat.Stat(ImageChops.difference(stored.convert("RGB"), strip)).mean
            assert stored.size == (768, 96) and max(away) < 4, style


def test_landing_page_shows_the_ladder_with_the_stored_numbers(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/{HOME}")
    record = json.loads((ROOT / "results/emoji_styles_table.json").read_text(encoding="utf-8"))
    runs = [r for r in record["runs"] if (r["job"]["source"], r["job"]["layer"]) == ("noto", "stage6")]
    best = max(sum(r["result"]["balanced_accuracy"][s] for r in runs) / len(runs) for s in ("noto", "ink"))
    shares = [int(share.strip().rstrip("%")) for share in page.locator(".ladder-share").all_inner_texts()]
    assert len(shares) == 6 and shares == sorted(shares, reverse=True) and shares[0] == round(100 * best)
    assert page.locator("article", has_text="CC BY-SA 4.0").count()


def test_landing_page_promises_only_chapters_that_exist(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/{HOME}", width=390)
    for place in (".chapter-cards", ".course-map"):
        links = page.locator(f'{place} a[href^="../chapters/"]')
        targets = {str(link.get_attribute("href")).removeprefix("../") for link in links.all()}
        assert targets == set(CHAPTERS), place
    entries = page.locator(".course-map > li")
    assert entries.count() == len(CHAPTERS)
    for entry in entries.all():
        assert re.search(r"\d+ minutes to read · runs in ", entry.inner_text())
        assert entry.evaluate("el => parseFloat(getComputedStyle(el.querySelector('.map-facts')).fontSize)") >= 14
    page.locator(".course-map .map-facts a").last.click()
    page.wait_for_url("**/chapters/*")


def test_landing_page_s_claim_is_a_stored_one(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/{HOME}")
    card = page.locator(".landing-claim")
    link = card.locator('a[href*="evidence.html#claim-"]')
    wanted = str(link.get_attribute("href")).partition("#claim-")[2]
    stored = [
        output["metadata"]["xferkit_claim"]
        for name in CHAPTERS
        for cell in json.loads((ROOT / name.replace(".html", ".ipynb")).read_text(encoding="utf-8"))["cells"]
        for output in cell.get("outputs", [])
        if output.get("metadata", {}).get("xferkit_claim", {}).get("id") == wanted
    ]
    assert len(stored) == 1 and stored[0]["statement"] in card.inner_text()
    link.click()
    page.wait_for_url("**/evidence.html#*")
    assert stored[0]["statement"][:40] in page.locator("article").inner_text()


@each_chapter
def test_a_chapter_s_top_runs_it_and_takes_it_along(open_page: Open, address: str, book: Path, name: str) -> None:
    page = open_page(f"{address}/{name}", width=390)
    stored = json.loads((ROOT / name.replace(".html", ".ipynb")).read_text(encoding="utf-8"))
    tools = page.locator("article h1 + .chapter-tools a")
    assert tools.all_inner_texts() == ["Open in Colab", "Download with outputs", "Download without outputs"]
    assert str(tools.first.get_attribute("href")).endswith(f"/{name.replace('.html', '.ipynb')}")
    assert tools.first.bounding_box()["y"] < 900, "in sight without scrolling"  # type: ignore[index]
    got = []
    for tool in (tools.nth(1), tools.nth(2)):
        path = (book / name).parent / str(tool.get_attribute("href"))
        got.append(json.loads(path.read_text(encoding="utf-8"))["cells"])
    assert got[0] == stored["cells"]
    assert any(cell.get("outputs") for cell in got[0]) and not any(cell.get("outputs") for cell in got[1])
    assert [cell["source"] for cell in got[1]] == [cell["source"] for cell in stored["cells"]]
    facts = page.locator(".chapter-facts").inner_text()
    assert re.match(r"\d+ minutes to read · runs in .+ · (after \d\d|needs no)", facts)
