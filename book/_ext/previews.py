"""Terms of the glossary become links where a chapter first uses them; each says what it leads to.

What a link leads to is its `title` (portable.py does the same for citations), so that nothing is fetched and nothing is
lost without scripts. `previews.js` shows it to the pointer and to the keyboard.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

GLOSSARY = "book/glossary"
NO_PLACE = (nodes.reference, nodes.literal, nodes.literal_block, nodes.title, nodes.raw, nodes.math, nodes.math_block,
            nodes.term, nodes.strong, nodes.comment)  # fmt: skip
GREEK = {"lambda": "λ", "phi": "φ", "theta": "θ", "epsilon": "ε", "varepsilon": "ε", "ell": "ℓ", "to": "→"}
CHINESE = re.compile(r"[\u3400-\u9fff]")


def plain(text: str) -> str:
    """A definition in one line, its formulas as one would type them: a preview is no place for TeX."""
    text = re.sub(r"\\math\w+\s*\{?(\w+)\}?", r"\1", text).replace("\\mid", "|")
    text = re.sub(r"\\([a-zA-Z]+)", lambda match: GREEK.get(match[1], match[1]), text)
    return re.sub(r"\s+", " ", text.replace("\\", "")).strip()


def read_glossary(app: Sphinx, doctree: nodes.document) -> None:
    """Note each English term with its place and its meaning."""
    if app.env.docname != GLOSSARY:
        return
    found: dict[str, tuple[str, str]] = {}
    for item in doctree.findall(nodes.definition_list_item):
        terms = [child for child in item.children if isinstance(child, nodes.term)]
        meaning = plain(" ".join(c.astext() for c in item.children if isinstance(c, nodes.definition)))
        for term in terms:
            if term["ids"] and not CHINESE.search(term.astext()):
                found[term.astext().lower()] = (term["ids"][0], meaning)
    app.env.metadata[GLOSSARY]["terms"] = found


def pattern(terms: dict[str, Any]) -> re.Pattern[str]:
    """Any of the terms as whole words, the longest first; a plural too."""
    longest = sorted(terms, key=len, reverse=True)
    return re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, longest))})(s?)(?![\w-])", re.IGNORECASE)


def texts(doctree: nodes.Node, within: tuple[type[nodes.Node], ...] = (nodes.paragraph,)) -> Iterator[nodes.Text]:
    """Running text, where a link may stand."""
    for text in list(doctree.findall(nodes.Text)):
        up, inside = text.parent, False
        while up is not None:
            if isinstance(up, NO_PLACE) or "cell_output" in up.get("classes", []):
                break
            inside = inside or isinstance(up, within)
            up = up.parent
        else:
            if inside:
                yield text


def link_terms(app: Sphinx, doctree: nodes.document, page: str) -> None:
    terms = app.env.metadata.get(GLOSSARY, {}).get("terms", {})
    if app.builder.format != "html" or not page.startswith("chapters/") or not terms:
        return
    glossary, left = app.builder.get_relative_uri(page, GLOSSARY), dict(terms)
    for text in texts(doctree):
        words, made = text.astext(), []
        while left and (match := pattern(left).search(words)):
            place, meaning = left.pop(match[1].lower())
            for other in [name for name, (where, _) in left.items() if where == place]:
                del left[other]
            link = nodes.reference("", match.group(), refuri=f"{glossary}#{place}", reftitle=meaning, internal=True)
            link["classes"].append("term")
            made += [nodes.Text(words[: match.start()]), link]
            words = words[match.end() :]
        if made:
            text.parent.replace(text, [*made, nodes.Text(words)])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", read_glossary)
    app.connect("doctree-resolved", link_terms, priority=910)
    app.add_js_file("previews.js", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
