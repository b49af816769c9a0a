"""The page at the book's own address: it leads to the landing page, and is a whole page for who does not follow."""

from __future__ import annotations

from html import escape
from pathlib import Path

from sphinx.application import Sphinx

PAGE = """<!DOCTYPE html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<meta http-equiv="refresh" content="0; url={target}">
<link rel="icon" href="_static/favicon.svg">
</head>
<body>
<main><h1>{title}</h1><p><a href="{target}">Read the book</a></p></main>
</body>
</html>
"""


def write(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html" and app.config.root_doc != "index":
        page = PAGE.format(
            lang=escape(app.config.language or "en"), title=escape(app.config.html_title or app.config.project),
            target=escape(app.builder.get_target_uri(app.config.root_doc)),
        )  # fmt: skip
        (Path(app.outdir) / "index.html").write_text(page, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", write, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
