"""Leave out sphinx-thebe's scripts, which jupyter-book adds to every page twice.

Twice is an error in the browser's console, and the book has no cells that run in the page.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def drop_thebe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    context["script_files"] = [
        script for script in context["script_files"]
        if "sphinx-thebe" not in str(script.filename) and "THEBE_JS_URL" not in script.attributes.get("body", "")
    ]  # fmt: skip


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", drop_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
