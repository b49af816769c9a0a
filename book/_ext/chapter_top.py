"""What stands under each chapter's title: run it, take it along, how long it takes and what it needs.

A chapter can be downloaded with its outputs, and without: `_downloads/NN_name.ipynb` is the same notebook, its results
taken out, for who wants to predict before seeing.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

from chapter_facts import Chapter, chapters, colab_address
from sphinx.application import Sphinx

BLANK = "_downloads"


def without_outputs(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook as before its first run: no outputs, no counts, text and code untouched."""
    cells = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell = cell | {"outputs": [], "execution_count": None}
        cells.append(cell)
    return notebook | {"cells": cells}


def top(app: Sphinx, chapter: Chapter, known: dict[str, Chapter]) -> str:
    """The lines under the title, as HTML."""
    options = app.config.html_theme_options
    colab = colab_address(options.get("repository_url", ""), options.get("repository_branch", ""), chapter.docname)
    links = [f'<a class="colab" href="{escape(colab)}">Open in Colab</a>'] if colab else []
    links += [
        f'<a href="../_sources/{chapter.docname}.ipynb" download>Download with outputs</a>',
        f'<a href="../{BLANK}/{chapter.name}.ipynb" download>Download without outputs</a>',
    ]
    here = app.builder.get_relative_uri
    needs = [
        f'<a href="{here(chapter.docname, known[name].docname)}">{known[name].number} {escape(known[name].short)}</a>'
        for name in chapter.needs
    ]
    return (
        f'<p class="chapter-tools">{"".join(links)}</p>\n'
        f'<p class="chapter-facts">{chapter.reading_minutes()} minutes to read · runs in {escape(chapter.run)} · '
        f"{'after ' + ' and '.join(needs) if needs else 'needs no other chapter'}</p>\n"
    )


def add_top(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    if app.builder.format != "html" or not page.startswith("chapters/") or not context.get("body"):
        return
    known = {chapter.name: chapter for chapter in chapters(Path(app.srcdir))}
    said = top(app, known[page.removeprefix("chapters/")], known)
    context["body"] = context["body"].replace("</h1>", f"</h1>\n{said}", 1)


def write_blanks(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir) / BLANK
    folder.mkdir(parents=True, exist_ok=True)
    for chapter in chapters(Path(app.srcdir)):
        notebook = json.loads((Path(app.srcdir) / f"{chapter.docname}.ipynb").read_text(encoding="utf-8"))
        text = json.dumps(without_outputs(notebook), ensure_ascii=False, indent=1) + "\n"
        (folder / f"{chapter.name}.ipynb").write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", add_top)
    app.connect("build-finished", write_blanks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
