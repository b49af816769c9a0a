"""What the book's Sphinx extensions do to a page, on small pieces of HTML and small pictures; no browser needed."""

from __future__ import annotations

import http.server
import importlib
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scripts import external_links
from tests.places import ROOT


@pytest.fixture
def extension(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "book/_ext"))
    return importlib.import_module(request.param)


def using(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("extension", [name], indirect=True)


FOLD = """<details class="admonition hide above-input">
<summary aria-label="Toggle hidden content">
<p class="collapsed admonition-title">Show code cell {kind}</p>
<p class="expanded admonition-title">Hide code cell {kind}</p>
</summary>
<div class="highlight"><pre><span></span>{code}
</pre></div>
</details>"""


@using("accessible")
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ('<span class="n">a</span>\n<span class="n">b</span>', "Show the code (2 lines)"),
        ('<span class="n">a</span>', "Show the code (1 line)"),
        ('<span class="c1"># Why a &lt; b &amp; c.</span>\na', "Show the code: Why a &lt; b &amp; c (2 lines)"),
        ("# NBVAL_CHECK_OUTPUT\na", "Show the code (2 lines)"),
        ("fig, ax = plt.subplots()\nax.plot(x)", "Show the code that draws this (2 lines)"),
        ("xk.table(rows, names)", "Show the code that makes this table (1 line)"),
        ("import copy\nfrom a import (\n    b,\n)", "Show the code: imports (4 lines)"),
    ],
)  # fmt: skip
def test_folds_say_what_they_hide(extension: ModuleType, code: str, said: str) -> None:
    mended = extension.mend(FOLD.format(kind="source", code=code))
    assert f">{said}</p>" in mended
    assert f">{said.replace('Show', 'Hide', 1)}</p>" in mended
    assert "aria-label" not in mended and code in mended


@using("accessible")
def test_folds_over_outputs_keep_their_words(extension: ModuleType) -> None:
    assert ">Show code cell output</p>" in extension.mend(FOLD.format(kind="output", code="a"))


@using("accessible")
def test_tables_stand_in_one_scrolling_frame(extension: ModuleType) -> None:
    bare = '<p>x</p><table border="1" class="dataframe"><tr><th></th><th>a</th></tr></table><p>y</p>'
    once = extension.mend(bare)
    assert once.count(extension.SCROLLS) == 1
    assert once.startswith("<p>x</p>") and once.endswith("</table></div><p>y</p>")
    assert extension.mend(once) == once, "a frame already there is enough"
    assert "<td></td><th>a</th>" in once, "a corner without words is no heading"


@using("accessible")
def test_chinese_is_marked_in_text_and_nowhere_else(extension: ModuleType) -> None:
    html = '<dt id="学">迁移学习（迁移）, transfer</dt><pre>迁移</pre><script>"迁移"</script><img alt="迁移">'
    assert extension.mend(html) == (
        '<dt id="学"><span lang="zh">迁移学习</span>（<span lang="zh">迁移</span>）, transfer</dt>'
        '<pre>迁移</pre><script>"迁移"</script><img alt="迁移">'
    )


@pytest.fixture
def site(tmp_path: Path) -> SimpleNamespace:
    rng = np.random.default_rng(0)
    flat = np.repeat(np.repeat(rng.integers(0, 256, (8, 12, 4), dtype=np.uint8), 20, axis=0), 20, axis=1)
    Image.fromarray(flat, "RGBA").save(tmp_path / "a.png")
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 90"></svg>'
    (tmp_path / "b.svg").write_text(drawing, encoding="utf-8")
    (tmp_path / "c.svg").write_text(drawing.replace("viewBox", 'width="72pt" height="36pt" viewBox'), encoding="utf-8")
    builder = SimpleNamespace(format="html", images={n: n for n in ("a.png", "b.svg", "c.svg")}, imagedir="_images")
    return SimpleNamespace(srcdir=tmp_path, outdir=tmp_path / "build/html", builder=builder, pixels=flat)


@using("pictures")
def test_pictures_keep_every_pixel_and_weigh_less(extension: ModuleType, site: SimpleNamespace) -> None:
    linked = '<a href="_images/a.png"><img alt="A" src="_images/a.png"/></a>'
    context = {"body": f'{linked}<img src="_images/a.png" alt="A">'}
    extension.mend_pictures(site, "page", "page.html", context, None)
    first, second = extension.IMG.findall(context["body"])
    for tag in (first, second):
        assert 'src="_images/a.webp"' in tag and 'width="240" height="160"' in tag
    assert "lazy" not in first and 'loading="lazy"' in second
    assert 'href="_images/a.webp"' in context["body"]
    made = site.outdir / "_images/a.webp"
    assert made.stat().st_size < (site.srcdir / "a.png").stat().st_size
    with Image.open(made) as picture:
        assert np.array_equal(np.asarray(picture.convert("RGBA")), site.pixels)


@using("pictures")
def test_drawings_say_their_size(extension: ModuleType, site: SimpleNamespace) -> None:
    context = {"body": '<img src="../_images/b.svg" alt="B"><img src="../_images/c.svg" alt="C" style="width: 50%">'}
    extension.mend_pictures(site, "page", "page.html", context, None)
    first, second = extension.IMG.findall(context["body"])
    assert 'width="300" height="90"' in first
    assert 'width="96" height="48"' in second and 'style="width: 50%"' in second


@using("pictures")
def test_pictures_of_others_are_left_alone(extension: ModuleType, site: SimpleNamespace) -> None:
    context = {"body": '<img src="data:image/png;base64,AA==" alt="x"><img src="a.png" alt="y" width="3" height="4">'}
    extension.mend_pictures(site, "page", "page.html", context, None)
    assert 'src="data:image/png;base64,AA=="' in context["body"]
    assert 'src="a.png"' in context["body"] and 'width="3" height="4"' in context["body"]


@using("light")
def test_a_page_keeps_the_scripts_it_uses(extension: ModuleType) -> None:
    def kept(body: str, *names: str) -> list[str]:
        files = [SimpleNamespace(filename=name, attributes={}) for name in names]
        context: dict[str, Any] = {"script_files": files, "css_files": [], "body": body}
        extension.keep_needed(None, "page", "page.html", context, None)
        return [file.filename for file in context["script_files"]]

    scripts = ("_static/doctools.js", "_static/copybutton.js", "_static/togglebutton.js", "_static/sphinx-thebe.js")
    assert kept("<p>words</p>", *scripts) == ["_static/doctools.js"]
    assert kept('<div class="highlight"><pre>', *scripts) == list(scripts[:2])
    assert kept('<div class="admonition dropdown">', *scripts) == [scripts[0], scripts[2]]
    assert kept("", "a.js", "a.js") == ["a.js"], "the same script twice is an error in the browser"


@pytest.fixture
def outside() -> Iterator[str]:
    """A server that forbids HEAD and knows one page."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/here" else 404)
            self.end_headers()

        def do_HEAD(self) -> None:
            self.send_response(405)
            self.end_headers()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_outside_links_are_listed_and_asked(outside: str, tmp_path: Path) -> None:
    addresses = (f"{outside}/here#part", f"{outside}/here", f"{outside}/gone", "x.html", "#y")
    page = "".join(f'<a href="{address}">words</a>' for address in addresses)
    (tmp_path / "p.html").write_text(page, encoding="utf-8")
    links = external_links.links_of(tmp_path)
    assert links == {f"{outside}/gone": ["p.html"], f"{outside}/here": ["p.html"]}
    assert external_links.ask(f"{outside}/here") == ""
    assert external_links.ask(f"{outside}/gone") == "HTTP 404"
