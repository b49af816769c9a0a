"""Pages carry what they use, and nothing else.

The extensions behind the book add their scripts and styles to every page, and the theme brings an icon library. Here a
page keeps a script only where something on it needs the script, and what no page needs is not published. `_templates`
leaves out what the theme's own templates would load; tests hold the bytes of each page and that nothing is missed.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

# Part of a file's name or of an inline script: what a page must contain for it to be kept. None: never.
NEEDED_FOR: dict[str, str | None] = {
    "thebe": None,  # cells that run in the page, which the book has not; twice the same script is an error besides
    "THEBE_JS_URL": None,
    "clipboard.min.js": '<div class="highlight',
    "copybutton": '<div class="highlight',
    "mystnb.": '<div class="cell ',
    "sphinx-design": 'class="sd-',
    "design-tabs.js": 'class="sd-tab-set',
    "katex/": r'class="[^"]*\bmath\b',
    "formulas.js": r'class="[^"]*\bmath\b',
    "pieces.css": r'class="[^"]*\b(?:start-links|chapter-tools|citation|term)\b',
    "previews.js": r'class="[^"]*\b(?:citation|term)\b',
    "live.": 'class="live"',
    "togglebutton": r'class="[^"]*\b(?:toggle|dropdown)\b',
    "toggleHint": r'class="[^"]*\b(?:toggle|dropdown)\b',
    "toggleOpenOnPrint": r'class="[^"]*\b(?:toggle|dropdown)\b',
}

# What the theme and the extensions publish and no page loads: an icon library, maps from packed scripts to their
# sources, translations, and the parts of templates.
UNUSED = (
    "vendor", "locales", "scripts/fontawesome.js*", "scripts/*.map", "scripts/*.LICENSE.txt", "styles/*.map",
    "*webpack-macros.html", "sphinx-thebe.*", "copybutton_funcs.js", "images/logo_*",
)  # fmt: skip
USED = ("images/logo_colab.png",)

ICON_FONT = re.compile(r"@font-face\{[^{}]*Font Awesome[^{}]*\}")


# Pages without a source, which Sphinx writes only when it writes any.
MADE = {"genindex", "search"}


def keep_needed(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Drop from a page the scripts and styles that nothing on it uses."""
    body = context.get("body") or ""
    for kind in ("script_files", "css_files"):
        kept, seen = [], set()
        for asset in context[kind]:
            name = getattr(asset, "filename", None) or ""
            text = f"{name} {getattr(asset, 'attributes', {}).get('body', '')}"
            needs = [need for part, need in NEEDED_FOR.items() if part in text]
            if any(need is None or not re.search(need, body) for need in needs) or text in seen:
                continue
            seen.add(text)
            kept.append(asset)
        context[kind] = kept


def clear_out(app: Sphinx, exception: Exception | None) -> None:
    """Take what no page loads out of the published folder, and the icon font out of the theme's style."""
    if exception is not None or app.builder.format != "html":
        return
    _drop_stale_pages(app)
    static = Path(app.outdir) / "_static"
    used = {static / name for name in USED}
    for pattern in UNUSED:
        for path in static.glob(pattern):
            if path in used:
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    style = static / "styles/pydata-sphinx-theme.css"
    text = style.read_text(encoding="utf-8")
    if ICON_FONT.search(text):
        style.write_text(ICON_FONT.sub("", text), encoding="utf-8")


def _drop_stale_pages(app: Sphinx) -> None:
    """Sphinx leaves the page of a chapter that was renamed; nobody leads to it any more, but a search engine would."""
    out = Path(app.outdir)
    kept = {out / app.builder.get_target_uri(name) for name in MADE | set(app.env.found_docs)} | {out / "index.html"}
    for page in out.rglob("*.html"):
        if page not in kept and "_static" not in page.relative_to(out).parts:
            page.unlink()


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", keep_needed, priority=950)  # after all that add scripts
    app.connect("build-finished", clear_out)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
