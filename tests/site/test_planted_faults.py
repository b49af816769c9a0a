"""The tests of the site can fail: each kind of fault, planted in a small page, is seen, and a sound page passes."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.site import browser as looking

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

GOOD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>A sound page</title><link rel="icon" href="data:,">
<style>body { color: #111; background: #fff } [data-theme="dark"] body { color: #eee; background: #111 }
a { color: inherit } :focus-visible { outline: 3px solid #a0f }</style></head>
<body><main><article><h1>A page</h1><p>Words, and <a href="#x" id="x">a link</a>.</p>
<img src="dot.png" alt="a dot" width="1" height="1"><h2>Below</h2><!-- here --></article></main></body></html>
"""

# Where it must be seen, and what is planted at the end of the text.
FAULTS = {
    "error in the console": ("console", "<script>console.error('broken')</script>"),
    "warning in the console": ("console", "<script>console.warn('odd')</script>"),
    "exception": ("console", "<script>nothing.is()</script>"),
    "another host": ("elsewhere", "<script src='https://example.org/x.js'></script>"),
    "another host by a script": ("elsewhere", "<script>fetch('http://example.org/x.json').catch(() => {})</script>"),
    "missing script": ("failed", "<script src='nowhere.js'></script>"),
    "request that file:// refuses": ("console", "<script>fetch('page.html').then((r) => r.text())</script>"),
    "too wide": ("overflow", "<div style='width: 350px'>wide</div>"),
    "long word": ("overflow", f"<p>{'Donaudampfschiff' * 20}</p>"),
    "number in two": (
        "overflow",
        "<div style='width: 30px'><table style='width: 30px; table-layout: fixed; overflow-wrap: anywhere'>"
        "<tr><td>1280000</td></tr></table></div>",
    ),
    "cut on the left": (
        "overflow",
        "<div style='overflow: hidden'><pre style='display: flex; flex-direction: row-reverse; overflow: hidden; "
        "width: 200px'><code style='flex: none; width: 400px'>cut</code></pre></div>",
    ),
    "picture without words": ("pictures", "<img src='dot.png' width='1' height='1' loading='lazy'>"),
    "picture without size": ("pictures", "<img src='dot.png' alt='a dot' loading='lazy'>"),
    "picture of another shape": ("pictures", "<img src='dot.png' alt='a dot' width='9' height='1' loading='lazy'>"),
    "eager picture": ("pictures", "<img src='dot.png' alt='a dot' width='1' height='1'>"),
    "missing picture": ("pictures", "<img src='none.png' alt='a dot' width='1' height='1' loading='lazy'>"),
    "level left out": ("headings", "<h4>Too deep</h4>"),
    "second title": ("headings", "<h1>Another</h1>"),
    "focus not seen": ("focus", "<a href='#x' style='outline: none'>unseen</a>"),
    "icon font": ("glyphs", "<style>p::before { content: '\\f05a' }</style>"),
    "formula not set": ("unset_formulas", "<span class='math'>\\(x\\)</span>"),
    "pale words": ("axe", "<p style='color: #ccc; background: #fff'>pale</p>"),
    "pale in the dark alone": (
        "axe",
        "<style>[data-theme='dark'] .dim { color: #444 }</style><p class='dim'>pale when it is dark</p>",
    ),
    "pale code": (
        "axe",
        "<div class='highlight'><pre><span class='k'>if</span> <span class='k' style='color: #ddd'>or</span></pre>",
    ),
    "field without a name": ("axe", "<input type='text'>"),
    "scrolling out of reach": (
        "axe",
        f"<div style='overflow: auto; width: 100px; white-space: nowrap'>{'many words ' * 20}</div>",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("planted")
    (made / "dot.png").write_bytes(DOT)
    return made


def faults_of(chromium: Browser, folder: Path, page: str, *, axe: bool) -> dict[str, list[str]]:
    (folder / "page.html").write_text(page, encoding="utf-8")
    with looking.serve(folder) as address:
        seen = looking.visit(chromium, folder, address, "page.html", axe=axe)
    return {kind: getattr(seen, kind) for kind in {kind for kind, _ in FAULTS.values()}}


def test_a_sound_page_has_no_faults(chromium: Browser, folder: Path) -> None:
    assert not any(faults_of(chromium, folder, GOOD, axe=True).values())


@pytest.mark.parametrize(("kind", "planted"), FAULTS.values(), ids=FAULTS.keys())
def test_a_planted_fault_is_seen(chromium: Browser, folder: Path, kind: str, planted: str) -> None:
    page = GOOD.replace("<!-- here -->", planted)
    assert faults_of(chromium, folder, page, axe=kind == "axe")[kind]


def test_weight_counts_what_a_page_loads(chromium: Browser, folder: Path) -> None:
    (folder / "late.js").write_text(f"/* {'0123456789abcdef' * 10_000} */", encoding="utf-8")
    page = GOOD.replace("<!-- here -->", "<script src='late.js'></script>")
    (folder / "page.html").write_text(page, encoding="utf-8")
    with looking.serve(folder) as address:
        seen = looking.visit(chromium, folder, address, "page.html", axe=False)
    assert seen.files == {"page.html", "late.js", "dot.png"}
    sizes = looking.weight(folder, seen.files, pictures=False)
    assert set(sizes) == {"page.html", "late.js"}
    assert sizes["late.js"] < 2_000, "packed, as a server sends it"
    assert "dot.png" in looking.weight(folder, seen.files, pictures=True)
