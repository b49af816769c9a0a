"""What shared links, search engines and wrong addresses get."""

from __future__ import annotations

import importlib
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from PIL import Image

from tests.places import ROOT
from tests.site.conftest import Open
from tests.site.pages import CHAPTERS, HOME, NOT_FOUND, PLAIN


@pytest.fixture
def sharing(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "book/_ext"))
    return importlib.import_module("sharing")


@pytest.mark.parametrize(
    ("set_to", "repository", "found"),
    [
        ("", "https://github.com/Some/book", "https://some.github.io/book/"),
        ("https://example.org/", "https://github.com/Some/book", "https://example.org/"),
        ("", "https://example.org/some/book", ""),
        ("", "", ""),
    ],
)
def test_the_address_is_one_setting(sharing: ModuleType, set_to: str, repository: str, found: str) -> None:
    config = SimpleNamespace(html_baseurl=set_to, html_theme_options={"repository_url": repository})
    sharing.find_address(None, config)
    assert config.html_baseurl == found


def test_without_an_address_nothing_that_needs_one_is_said(sharing: ModuleType, tmp_path: Path) -> None:
    said = sharing.tags("", "a.html", "article", 'A "title"', "About.", "Book")
    assert "og:url" not in said and "og:image" not in said
    assert "&quot;title&quot;" in said and 'content="About."' in said
    builder = SimpleNamespace(format="html", get_target_uri=lambda name: f"{name}.html")
    config = SimpleNamespace(html_baseurl="", root_doc="home", language="en", html_title="Book", project="")
    app = SimpleNamespace(builder=builder, config=config, outdir=tmp_path, env=SimpleNamespace(found_docs={"home"}))
    sharing.write_files(app, None)
    assert [path.name for path in tmp_path.iterdir()] == ["404.html"]
    config.html_baseurl = "https://example.org/"
    sharing.write_files(app, None)
    assert {path.name for path in tmp_path.iterdir()} == {"404.html", "robots.txt", "sitemap.xml"}
    assert "https://example.org/home.html" in (tmp_path / "404.html").read_text(encoding="utf-8")


def test_every_page_describes_itself(book: Path, sharing: ModuleType) -> None:
    said, shown = {}, {}
    for name in [*PLAIN, *CHAPTERS]:
        text = (book / name).read_text(encoding="utf-8")
        tags = dict(re.findall(r'<meta (?:name|property)="([\w:]+)" content="([^"]*)"', text))
        assert 40 < len(tags["description"]) <= 202, name
        assert tags["og:description"] == tags["description"] and tags["og:title"], name
        assert "<" not in tags["og:title"] and tags["og:image"].endswith(f"/{sharing.picture_of(name[:-5])}")
        with Image.open(book / sharing.picture_of(name[:-5])) as picture:
            assert picture.size == (1200, 630)
            shown[picture.tobytes()] = name
        said[name] = tags["description"]
    assert len(set(said.values())) == len(said), "each says what it is about, not what the book is about"
    assert len(shown) == len(said), "each has a picture of its own"


def test_sitemap_lists_the_pages_that_are_there(book: Path) -> None:
    tree = ElementTree.parse(book / "sitemap.xml")
    places = [str(place.text) for place in tree.iter("{http://www.sitemaps.org/schemas/sitemap/0.9}loc")]
    start = places[0][: -len(min(PLAIN))] if places[0].endswith(min(PLAIN)) else places[0].partition("book/")[0]
    assert {place.removeprefix(start) for place in places} == {*PLAIN, *CHAPTERS}
    assert f"Sitemap: {start}sitemap.xml" in (book / "robots.txt").read_text(encoding="utf-8")


def test_a_wrong_address_gets_a_page_that_stands_alone(open_page: Open, address: str, book: Path) -> None:
    page = open_page(f"{address}/{NOT_FOUND}", width=320)
    assert page.locator("h1").inner_text() == "There is no page here"
    home = str(page.locator("main a").first.get_attribute("href"))
    assert home.endswith(HOME)
    text = (book / NOT_FOUND).read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="(?!https://|data:)', text), "a server shows it at any depth"
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_the_changelog_is_in_the_book(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/book/changelog.html")
    assert page.locator("article.bd-article h1").inner_text().startswith("Changelog")
    first = re.findall(r"^- (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[0]
    assert first in " ".join(page.locator("article").inner_text().split())
