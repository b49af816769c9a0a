"""What a search engine, a shared link and a wrong address get: descriptions, pictures, a sitemap, a page 404.

Each page has a picture of its own (share_pictures.py).

The book's address is `html_baseurl`; where that is not set it follows from a repository on GitHub (its Pages). Where
neither is known, everything that needs an address is left out.
"""

from __future__ import annotations

import re
from html import escape, unescape
from pathlib import Path
from typing import Any

import share_pictures
from chapter_facts import chapters
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

FOLDER = "_static/social"
LADDER_WORDS = "the same eight emoji in six rows, each row drawn in another style"
LONGEST = 200
NOT_FOUND = """<!DOCTYPE html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>No such page – {title}</title>
<link rel="icon" href="data:,">
<style>
:root {{ color-scheme: light dark }}
body {{ font: 1.1rem/1.6 Georgia, serif; max-width: 34rem; margin: 15vh auto; padding: 0 1.5rem }}
</style>
</head>
<body>
<main><h1>There is no page here</h1>
<p>It may have been moved or renamed. <a href="{home}">The first page of “{title}”</a> leads to every chapter, and
<a href="{search}">the search</a> finds words in all of them.</p></main>
</body>
</html>
"""


def find_address(app: Sphinx, config: Config) -> None:
    """Take the address from the repository's, where none is set."""
    repository = config.html_theme_options.get("repository_url", "")
    found = re.fullmatch(r"https://github\.com/([\w.-]+)/([\w.-]+?)/?", repository)
    if not config.html_baseurl and found:
        config.html_baseurl = f"https://{found[1].lower()}.github.io/{found[2]}/"  # type: ignore[attr-defined]


def description(doctree: nodes.Node) -> str:
    """The first paragraph of running text, cut between words."""
    for paragraph in doctree.findall(nodes.paragraph):
        text = re.sub(r"\s+", " ", paragraph.astext()).strip()
        if isinstance(paragraph.parent, nodes.section) and len(text) > 40:
            return text if len(text) <= LONGEST else text[:LONGEST].rpartition(" ")[0].rstrip(" ,;:.") + " …"
    return ""


def picture_of(page: str) -> str:
    """Where a page's picture lies in the book."""
    return f"{FOLDER}/{page.replace('/', '-')}.png"


def tags(address: str, page: str, kind: str, title: str, about: str, book: str, words: str = LADDER_WORDS) -> str:
    """The tags in a page's head; `page` is its address within the book, `words` what its picture shows."""
    said = [("property", "og:type", kind), ("property", "og:title", title), ("property", "og:site_name", book)]
    if about:
        said += [("name", "description", about), ("property", "og:description", about)]
    if address:
        said += [
            ("property", "og:url", address + page),
            ("property", "og:image", address + picture_of(page.removesuffix(".html"))),
            ("property", "og:image:width", str(share_pictures.SIZE[0])),
            ("property", "og:image:height", str(share_pictures.SIZE[1])),
            ("property", "og:image:alt", f"{title}; below, {words}"),
            ("name", "twitter:card", "summary_large_image"),
        ]  # fmt: skip
    return "\n".join(f'<meta {key}="{name}" content="{escape(text)}">' for key, name, text in said)


def add_tags(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.Node | None) -> None:
    if app.builder.format != "html" or doctree is None:
        return
    kind = "website" if page == app.config.root_doc else "article"
    title = unescape(re.sub(r"<[^>]*>", "", context.get("title", "")))
    uri = app.builder.get_target_uri(page)
    words = {chapter.docname: "its key figure" for chapter in chapters(Path(app.srcdir))}.get(page, LADDER_WORDS)
    made = tags(app.config.html_baseurl, uri, kind, title, description(doctree), app.config.html_title, words)
    context["metatags"] = context.get("metatags", "") + "\n" + made


def write_files(app: Sphinx, exception: Exception | None) -> None:
    """The page 404, and the list of pages for search engines."""
    if exception is not None or app.builder.format != "html":
        return
    out, address, uri = Path(app.outdir), app.config.html_baseurl, app.builder.get_target_uri
    page = NOT_FOUND.format(
        lang=escape(app.config.language or "en"), title=escape(app.config.html_title or app.config.project),
        home=escape(address + uri(app.config.root_doc)), search=escape(address + "search.html"),
    )  # fmt: skip
    (out / "404.html").write_text(page, encoding="utf-8")
    if address:
        pages = "".join(f"<url><loc>{escape(address + uri(name))}</loc></url>\n" for name in sorted(app.env.found_docs))
        head = '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
        (out / "sitemap.xml").write_text(f"{head}{pages}</urlset>\n", encoding="utf-8")
        (out / "robots.txt").write_text(f"User-agent: *\nAllow: /\nSitemap: {address}sitemap.xml\n", encoding="utf-8")


def write_pictures(app: Sphinx, exception: Exception | None) -> None:
    """A picture for each page, where there is an address to find it at."""
    if exception is not None or app.builder.format != "html" or not app.config.html_baseurl:
        return
    out, root = Path(app.outdir), Path(app.srcdir)
    kept, figures = out.parent / ".pictures", {chapter.docname: chapter.picture()[0] for chapter in chapters(root)}
    for page in sorted(app.env.found_docs):
        title = app.env.titles[page].astext()
        made = share_pictures.picture(
            title, app.config.html_title, figures.get(page, root / "book/_static/ladder"), kept
        )
        target = out / picture_of(page)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(made)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", find_address)
    app.connect("html-page-context", add_tags)
    app.connect("build-finished", write_pictures)
    app.connect("build-finished", write_files, priority=900)  # after pages without a source are cleared out
    return {"parallel_read_safe": True, "parallel_write_safe": True}
