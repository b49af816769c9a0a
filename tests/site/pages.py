"""The book's pages, read off the table of contents: known before the book is built."""

from __future__ import annotations

import yaml

from tests.places import ROOT

TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
NAMES = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]

HOME = f"{TOC['root']}.html"
CHAPTERS = [f"{name}.html" for name in NAMES if name.startswith("chapters/")]
PLAIN = [f"{name}.html" for name in NAMES if not name.startswith("chapters/")]
MADE = ["genindex.html", "search.html"]  # what Sphinx adds
PAGES = [*PLAIN, *CHAPTERS, *MADE]
ROOT_PAGE = "index.html"  # leads on to HOME at once
NOT_FOUND = "404.html"  # what a server shows for a wrong address
