"""What plain Markdown cannot say to Sphinx: places made by HTML, and which links are citations.

Chapters and generated pages are CommonMark, so that they read alike in JupyterLab and on other sites. There a place
that a link can lead to is `<a id="name"></a>`. Here such a place becomes known to Sphinx, so that a link to a place
that is not there stops the build; and a link to the bibliography says what it cites when the pointer rests on it.
"""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

PLACE = re.compile(r'<a id="([^"]+)">')
BIBLIOGRAPHY = "book/bibliography"


class HtmlPlaces(SphinxTransform):
    """Turn `<a id="name"></a>` into a target that links find."""

    default_priority = 800  # before MyST resolves links within the page

    def apply(self, **kwargs: object) -> None:
        slugs = self.env.metadata[self.env.docname].setdefault("myst_slugs", {})
        for raw in list(self.document.findall(nodes.raw)):
            found = PLACE.fullmatch(raw.astext().strip().removesuffix("</a>"))
            if found is None:
                continue
            name, parent = found[1], raw.parent
            end = raw.next_node(descend=False, siblings=True)
            if isinstance(end, nodes.raw) and end.astext() == "</a>":
                parent.remove(end)
            slugs[name] = (raw.line or 0, name, parent.astext().replace(raw.astext(), "").strip())
            raw.replace_self(nodes.target(ids=[name]))


def mark_citations(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Give links to the bibliography a class, and what they cite as their title."""
    cited = app.env.metadata.get(BIBLIOGRAPHY, {}).get("myst_slugs", {})
    address = f"{app.builder.get_relative_uri(page, BIBLIOGRAPHY)}#"
    for link in doctree.findall(nodes.reference):
        uri = link.get("refuri", "")
        if page != BIBLIOGRAPHY and uri.startswith(address):
            link["classes"].append("citation")
            link["reftitle"] = cited.get(uri.removeprefix(address), (0, "", ""))[2]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(HtmlPlaces)
    app.connect("doctree-resolved", mark_citations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
