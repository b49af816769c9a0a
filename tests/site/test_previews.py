"""Citations, terms, functions, figures and tables show what they lead to: to the pointer, to the keyboard, and without
scripts."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest
from docutils import nodes

from tests.places import ROOT
from tests.site import browser as looking
from tests.site.conftest import Open
from tests.site.pages import CHAPTERS

each_chapter = pytest.mark.parametrize("name", CHAPTERS)
KINDS = ("a.citation", "a.term", "a.api", "a.place[href^='#figure']", "a.place[href^='#table']")
SHOWN = "05_fine_tuning.html"  # has all of them


@pytest.mark.parametrize("kind", KINDS)
def test_pointer_and_keyboard_see_a_preview(open_page: Open, origin: str, kind: str) -> None:
    page = open_page(f"{origin}/chapters/{SHOWN}")
    looking.settle(page)
    link, box = page.locator(f"article {kind}").filter(visible=True).first, page.locator("#preview")
    words = str(link.get_attribute("data-preview"))
    assert len(words) > 30 and not box.is_visible()
    link.hover()
    box.wait_for(state="visible")
    assert box.inner_text().endswith(words)
    thing = {"figure": "img", "table": "table"}.get(str(link.get_attribute("href"))[1:].split("-")[0])
    assert thing is None or box.locator(thing).count() == 1
    assert thing != "img" or box.locator(thing).evaluate("img => img.decode().then(() => img.naturalWidth)") > 100
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
    page = open_page(f"{address}/chapters/{SHOWN}", width=320)
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


@each_chapter
def test_mentions_of_a_figure_or_table_lead_to_its_caption(open_page: Open, address: str, name: str) -> None:
    page = open_page(f"{address}/{name}")
    for link in page.locator("article a.place").all():
        place = str(link.get_attribute("href")).removeprefix("#")
        assert page.locator(f"[id='{place}']").inner_text().startswith(f"{link.text_content()}.")
    links = [str(link.get_attribute("href")) for link in page.locator("article a.api").all()]
    assert len(set(links)) == len(links), "each function once"


def test_names_lead_to_the_one_function_that_the_code_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "book/_ext"))
    named = importlib.import_module("cross_links").named
    names = {"xferkit.tuning.freezing.freeze": "", "xferkit.train.fit": "", "xferkit.a.loss": "", "xferkit.b.loss": ""}
    code = "xk.tuning.freeze(net)\ndann.loss(x)"
    assert named("xk.fit", names, "") == "xferkit.train.fit"
    assert named("xk.tuning.freeze(net, bn='eval')", names, code) == "xferkit.tuning.freezing.freeze"
    assert named("freeze", names, code) == "xferkit.tuning.freezing.freeze"
    assert named("fit", names, code) is None, "the code calls no such thing"
    assert named("loss", names, code) is None and named("b.loss", names, code) == "xferkit.b.loss"
    assert named("net.train()", names, code) is None and named("a - b", names, code) is None


def test_a_paper_s_table_is_not_taken_for_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "book/_ext"))
    links = importlib.import_module("cross_links")
    page = nodes.document(None, None)
    caption = nodes.paragraph("", "", nodes.strong("", "Table 2."), nodes.Text(" Ours, beside Table 2."))
    cited = nodes.paragraph("", "", nodes.reference("", "He et al."), nodes.Text(", Table 2, and its Table 2"))
    ours = nodes.paragraph("", "", nodes.Text("as Table 2 says, Table 7 not; Table 2 of the paper"))
    page += [caption, cited, ours]
    app = SimpleNamespace(builder=SimpleNamespace(format="html"))
    links.link_numbered(app, page, "chapters/01")
    (link,) = (link for link in page.findall(nodes.reference) if "place" in link["classes"])
    assert link.parent is ours and link["refuri"] == "#table-2"


def test_without_scripts_the_words_are_the_link_s_title(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/chapters/{SHOWN}", java_script_enabled=False)
    for kind in KINDS:
        assert len(str(page.locator(f"article {kind}").first.get_attribute("title"))) > 30


def test_definitions_are_shown_without_tex(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "book/_ext"))
    plain = importlib.import_module("previews").plain
    assert plain("over it, \\{\\mathcal X, P(X)\\}.\n  Or $P(Y \\mid X)$") == "over it, {X, P(X)}. Or $P(Y | X)$"
    assert plain(r"its \lambda of \mathbb{R}") == "its λ of R"
