"""Links between a claim's card in its chapter and its place on the evidence page, there and back.

The chapters' stored outputs and the evidence page's Markdown hold no addresses of the book, which would lead nowhere in
JupyterLab or on GitHub. Marks behind numbers (`<!-- =… -->`), which are for the tests, are left out of the pages.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

EVIDENCE = "book/evidence"
CARD = 'class="xferkit-claim" id="claim-'
ID = re.compile(r"<code>([a-z0-9-]+)</code></p>\s*</div>\s*$")
MARK = re.compile(r"<!--\s*(?:=.*|paper\s*)-->", re.DOTALL)
CLAIM_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def drop_marks(app: Sphinx, doctree: nodes.document) -> None:
    for node in list(doctree.findall(nodes.raw)):
        if MARK.fullmatch(node.astext().strip()):
            node.parent.remove(node)


def link(app: Sphinx, doctree: nodes.document, page: str) -> None:
    if app.builder.format != "html":
        return
    if page == EVIDENCE:
        for node in doctree.findall(nodes.reference):
            name, address = node.astext(), node.get("refuri", "")
            if "chapters/" in address and "#" not in address and CLAIM_ID.fullmatch(name):
                node["refuri"] = f"{address}#claim-{name}"
    elif page.startswith("chapters/"):
        evidence = app.builder.get_relative_uri(page, EVIDENCE)
        for card in doctree.findall(nodes.raw):
            if CARD in card.astext():
                text = ID.sub(rf'<a href="{evidence}#claim-\1"><code>\1</code></a></p>\n</div>', card.astext())
                card.children = [nodes.Text(text)]


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("doctree-read", drop_marks)
    app.connect("doctree-resolved", link, priority=900)  # after the kinds of output have been chosen
    return {"parallel_read_safe": True, "parallel_write_safe": True}
