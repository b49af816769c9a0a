"""The book's text for the search page, as a script, so that results show their place without asking a server.

Sphinx's search page fetches every page it found to cut a passage out of it. From a file:// address a browser refuses
that, and from a server it costs a megabyte. Here the text lies in one file that the search page alone loads:
`search_snippets.js` cuts the passages and leads to the section that holds them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

# A node that holds others with places of their own, whose text is theirs.
Place = nodes.section | addnodes.desc | nodes.definition_list_item


def words(node: nodes.Node) -> Iterator[str]:
    """The text of a node without what stands under an address of its own, pictures and HTML."""
    if isinstance(node, nodes.Text):
        yield node.astext()
    elif isinstance(node, (nodes.raw, nodes.image, nodes.comment, addnodes.index)) or anchor_of(node):
        return
    elif isinstance(node, nodes.Element):
        children = node.children
        if node.get("nb_element") == "mime_bundle":  # one result in several forms: the first that is text
            kinds = [child.get("mime_type", "") for child in children]
            readable = [k for k in kinds if k.startswith("text/") and k != "text/html"]
            is_picture = any(kind.startswith("image/") for kind in kinds)
            children = [] if is_picture or not readable else [children[kinds.index(readable[0])]]
        for child in children:
            yield from words(child)
        if isinstance(node, (nodes.TextElement, nodes.Inline)) and not isinstance(node, nodes.Inline):
            yield " "


def anchor_of(node: nodes.Node) -> str:
    """The address of a section, of a documented object or of a term; empty for all others."""
    if isinstance(node, nodes.section):
        return str(node["ids"][0]) if node["ids"] else ""
    if isinstance(node, (addnodes.desc, nodes.definition_list_item)):
        kind = addnodes.desc_signature if isinstance(node, addnodes.desc) else nodes.term
        return next((str(child["ids"][0]) for child in node.children if isinstance(child, kind) and child["ids"]), "")
    return ""


def title_of(node: nodes.Node) -> str:
    found = [c for c in node.children if isinstance(c, (nodes.title, addnodes.desc_signature, nodes.term))]
    if found and isinstance(found[0], addnodes.desc_signature):
        return str(found[0].get("fullname") or found[0].astext())
    return " · ".join(part.astext() for part in found)  # the glossary gives a term in two languages


def places(doctree: nodes.document) -> Iterator[tuple[str, str, str]]:
    """Address, title and text of each place in a page, in order."""
    for node in doctree.findall(lambda n: bool(anchor_of(n))):
        assert isinstance(node, nodes.Element)
        inside = [child for child in node.children if not isinstance(child, (nodes.title, nodes.term))]
        text = re.sub(r"\s+", " ", "".join(piece for child in inside for piece in words(child))).strip()
        yield anchor_of(node), title_of(node), text


def collect(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Note that something was written; a build that changes nothing costs nothing."""
    app.env.search_text_is_stale = True  # type: ignore[attr-defined]


def write(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html" or not getattr(app.env, "search_text_is_stale", False):
        return
    text = {page: list(places(app.env.get_doctree(page))) for page in sorted(app.env.found_docs)}
    script = "window.searchText = " + json.dumps(text, ensure_ascii=False, separators=(",", ":")) + ";\n"
    (Path(app.outdir) / "searchtext.js").write_text(script, encoding="utf-8")
    app.env.search_text_is_stale = False  # type: ignore[attr-defined]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", collect)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
