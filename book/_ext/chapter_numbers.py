"""A chapter's number is its file's: `chapters/05_fine_tuning.ipynb` is chapter 05 in titles, menus and search alike.

Sphinx would count the chapters that are there, and every number after a new one would change.
"""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform


class ChapterNumber(SphinxTransform):
    """Put the number before the title, before Sphinx collects titles for its menus."""

    default_priority = 810

    def apply(self, **kwargs: object) -> None:
        number = re.match(r"chapters/(\d\d)_", self.env.docname)
        title = self.document.next_node(nodes.title)
        if number and title is not None:
            title.insert(0, nodes.inline("", f"{number[1]} ", classes=["chapter-number"]))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(ChapterNumber)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
