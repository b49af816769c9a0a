"""Formulas set by KaTeX, from the book's own files, on the pages that have formulas.

It takes a third of MathJax's bytes, and it is what VS Code sets notebooks with, so that a chapter that reads well here
reads well there. The text that goes into the page is Sphinx's own for MathJax: without scripts a reader sees the TeX.
"""

from __future__ import annotations

from typing import Any, cast

from myst_parser.sphinx_ext.mathjax import html_visit_displaymath
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.domains.math import MathDomain
from sphinx.ext.mathjax import html_visit_math


def add_katex(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Load KaTeX where the page has formulas."""
    if app.builder.format != "html" or not cast(MathDomain, app.env.get_domain("math")).has_equations(page):
        return
    builder = cast(StandaloneHTMLBuilder, app.builder)  # for this page alone; `app.add_…` would be for all
    builder.add_css_file("katex/katex.min.css")
    builder.add_js_file("katex/katex.min.js", defer="defer")
    builder.add_js_file("formulas.js", defer="defer")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("katex", (html_visit_math, None), (html_visit_displaymath, None))
    app.connect("html-page-context", add_katex)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
