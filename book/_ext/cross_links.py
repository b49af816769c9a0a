"""Links that a reader expects and plain Markdown does not have: from `xk.fit` to its page, from "Table 2" to the table.

A function of the package leads to its description where a chapter first names it in running text; "Figure 3" and
"Table 2" lead to this page's own. A paper's figures and tables, which stand behind a citation or are called its own,
are left alone. Each link's `title` says what it leads to; `previews.js` shows it, and the picture or table itself.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from docutils import nodes
from previews import plain, texts
from sphinx import addnodes
from sphinx.application import Sphinx

API = "book/api"
NAME = re.compile(r"(?P<xk>xk\.)?(?P<path>[A-Za-z_]\w*(?:\.\w+)*)(?:\(.*\))?", re.DOTALL)
NUMBERED = re.compile(r"\b(Figure|Table)\s(\d+)\b(?!\s+of the paper)")
THEIRS = re.compile(r"(?:\b(?:its|their|paper.s|in the paper,?)|^,)\s*$")


def read_names(app: Sphinx, doctree: nodes.document) -> None:
    """Note each function and class of the package with its place and the first paragraph about it."""
    if app.env.docname != API:
        return
    found = {}
    for described in doctree.findall(addnodes.desc):
        if described["objtype"] in ("function", "class"):
            signature, content = described.children[0], described.children[-1]
            first = next(content.findall(nodes.paragraph), None)
            found[signature["ids"][0]] = plain(first.astext()) if first else signature["ids"][0]
    app.env.metadata[API]["names"] = found


def named(words: str, names: dict[str, str], code: str) -> str | None:
    """The full name of what `words` calls by a shorter one, if there is one such thing and the code calls it too."""
    match = NAME.fullmatch(words)
    if match is None:
        return None
    *rooms, last = match["path"].split(".")
    if not match["xk"] and not re.search(rf"\.{last}\b", code):
        return None
    fits = [name for name in names if name.split(".")[-1] == last and set(rooms) <= set(name.split(".")[1:-1])]
    return fits[0] if len(fits) == 1 else None


def link_names(app: Sphinx, doctree: nodes.document, page: str) -> None:
    names = app.env.metadata.get(API, {}).get("names", {})
    if app.builder.format != "html" or not page.startswith("chapters/") or not names:
        return
    cells = json.loads(Path(app.env.doc2path(page)).read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    api, linked = app.builder.get_relative_uri(page, API), set()
    for literal in list(doctree.findall(nodes.literal)):
        full = named(literal.astext(), names, code)
        if full is None or full in linked:
            continue
        if any(isinstance(up, (nodes.reference, nodes.title, nodes.raw)) for up in ancestors(literal)):
            continue
        linked.add(full)
        link = nodes.reference("", "", refuri=f"{api}#{full}", reftitle=names[full], internal=True)
        link["classes"].append("api")
        literal.replace_self(link)
        link += literal


def ancestors(node: nodes.Node) -> list[nodes.Node]:
    found = []
    while node.parent is not None:
        node = node.parent
        found.append(node)
    return found


def link_numbered(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Make each mention of a caption a link there; numbers_as_read.py gives the captions their places."""
    if app.builder.format != "html" or not page.startswith("chapters/"):
        return
    captions: dict[tuple[str, str], nodes.paragraph] = {}
    for strong in doctree.findall(nodes.strong):
        match = NUMBERED.match(strong.astext())
        if match and isinstance(strong.parent, nodes.paragraph) and strong.parent.astext().startswith(match[0]):
            captions.setdefault((match[1], match[2]), strong.parent)
    for text in texts(doctree, within=(nodes.paragraph, nodes.entry)):
        words, made, end = text.astext(), [], 0
        caption = next((up for up in ancestors(text) if up in captions.values()), None)
        for match in NUMBERED.finditer(words):
            target = captions.get((match[1], match[2]))
            before = words[: match.start()]
            cited = not before.strip(" ,") and isinstance(previous(text), nodes.reference)
            if target is None or target is caption or cited or THEIRS.search(before):
                continue
            place = f"#{match[1].lower()}-{match[2]}"
            link = nodes.reference("", match[0], refuri=place, reftitle=plain(target.astext()), internal=True)
            link["classes"].append("place")
            made += [nodes.Text(words[end : match.start()]), link]
            end = match.end()
        if made:
            text.parent.replace(text, [*made, nodes.Text(words[end:])])


def previous(node: nodes.Node) -> nodes.Node | None:
    i = node.parent.index(node)
    return node.parent[i - 1] if i else None


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", read_names)
    app.connect("doctree-resolved", link_names, priority=905)  # before the glossary's terms
    app.connect("doctree-resolved", link_numbered, priority=920)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
