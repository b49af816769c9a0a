"""The landing page's own pieces, made from what the course holds, so that none of them can drift.

`{emoji-ladder}` shows results/emoji_styles_table.json, `{start-links}` the three ways in, `{chapter-cards}` the
chapters that exist, `{course-map}` which needs which, `{claim-card} ID` a claim as the stored run recorded it.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from statistics import mean
from typing import Any

from chapter_facts import Chapter, chapters, colab_address
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

EVIDENCE = "book/evidence"
LADDER_FROM = "noto"
DRAWN = "A cook, a clown, a beaver, an owl, a cactus, a mango, a castle and a motorcycle in the style"
STYLES = {
    "noto": "Noto", "twemoji": "Twemoji", "openmoji": "OpenMoji", "fluent": "Fluent", "fluent_flat": "Fluent Flat",
    "ink": "Fluent in ink",
}  # fmt: skip


def ladder(record: dict[str, Any]) -> list[tuple[str, float]]:
    """Each style with the balanced accuracy of a probe trained on Noto's drawings, mean over seeds, the best first."""
    runs = [r["result"] for r in record["runs"] if (r["job"]["source"], r["job"]["layer"]) == (LADDER_FROM, "stage6")]
    found = {style: mean(run["balanced_accuracy"][style] for run in runs) for style in STYLES}
    return sorted(found.items(), key=lambda item: -item[1])


def map_entry(chapter: Chapter, known: dict[str, Chapter], address: dict[str, str]) -> str:
    """One line of the map: the chapter, what it needs, how long it takes."""
    before = [known[name] for name in chapter.needs]
    links = [f'<a href="{address[needed.name]}">{needed.number} {escape(needed.short)}</a>' for needed in before]
    needs = f"after {' and '.join(links)}" if links else "needs no other chapter"
    return (
        f'<li><a class="map-title" href="{address[chapter.name]}"><span class="map-number">{chapter.number}</span> '
        f"{escape(chapter.short)}</a>"
        f'<span class="map-facts">{needs} · {chapter.reading_minutes()} minutes to read · runs in {escape(chapter.run)}'
        "</span></li>"
    )


class Piece(SphinxDirective):
    """A piece of HTML about the chapters, made anew when one of them changes."""

    def run(self) -> list[nodes.Node]:
        self.root = Path(self.env.srcdir)
        self.chapters = chapters(self.root)
        for name in ("book/chapters.toml", "_toc.yml", "results/emoji_styles_table.json"):
            self.env.note_dependency(str(self.root / name))
        for chapter in self.chapters:
            self.env.note_dependency(str(self.root / f"{chapter.docname}.ipynb"))
        return [nodes.raw("", self.html(), format="html")]

    def address(self, docname: str) -> str:
        return str(self.env.app.builder.get_relative_uri(self.env.docname, docname))

    def html(self) -> str:
        raise NotImplementedError


class EmojiLadder(Piece):
    def html(self) -> str:
        record = json.loads((self.root / "results/emoji_styles_table.json").read_text(encoding="utf-8"))
        steps = []
        for style, share in ladder(record):
            seen = " (trained here)" if style == LADDER_FROM else ""
            steps.append(
                f'<li><img src="../_static/ladder/{style}.webp" width="768" height="96" alt="{DRAWN} {STYLES[style]}">'
                f'<span class="ladder-words"><b>{STYLES[style]}</b>{seen}</span>'
                f'<span class="ladder-share" style="--share: {share:.4f}">{share:.0%}</span></li>'
            )
        return f'<ol class="ladder">{"".join(steps)}</ol>'


class StartLinks(Piece):
    def html(self) -> str:
        first = self.chapters[0]
        options = self.config.html_theme_options
        colab = colab_address(options.get("repository_url", ""), options.get("repository_branch", ""), first.docname)
        links = [(self.address(first.docname), "Read the first chapter"), (colab, "Open it in Colab")]
        links.append((self.address("book/setup"), "Run it offline"))
        shown = [f'<a href="{escape(target)}">{words}</a>' for target, words in links if target]
        return f'<p class="start-links">{"".join(shown)}</p>'


class ChapterCards(Piece):
    def html(self) -> str:
        cards = []
        for chapter in self.chapters:
            _, words, (width, height) = chapter.picture()
            cards.append(
                f'<li><a href="{self.address(chapter.docname)}"><img src="../_static/cards/{chapter.name}.webp" '
                f'width="{width}" height="{height}" loading="lazy" alt="{escape(words)}">'
                f'<span class="card-part">{escape(chapter.part)}</span>'
                f'<span class="card-title">{chapter.number} {escape(chapter.short)}</span></a>'
                f'<span class="card-about">{escape(chapter.about)}</span></li>'
            )
        return f'<ul class="chapter-cards">{"".join(cards)}</ul>'


class CourseMap(Piece):
    def html(self) -> str:
        known = {chapter.name: chapter for chapter in self.chapters}
        address = {chapter.name: self.address(chapter.docname) for chapter in self.chapters}
        return f'<ol class="course-map">{"".join(map_entry(c, known, address) for c in self.chapters)}</ol>'


class ClaimCard(Piece):
    required_arguments = 1

    def html(self) -> str:
        wanted = self.arguments[0]
        found = [(chapter, chapter.claims()[wanted]) for chapter in self.chapters if wanted in chapter.claims()]
        if not found:
            raise self.error(f"No stored chapter makes the claim {wanted!r}.")
        chapter, record = found[0]
        lines = (("observed", "Observed here"), ("margin", "Margin"), ("paper", "Paper"))
        said = "".join(f"<br><em>{name}:</em> {escape(str(record[key]))}" for key, name in lines if record.get(key))
        said += f" ({escape(record['source'])})" if record.get("paper") and record.get("source") else ""
        return (
            f'<div class="xferkit-claim landing-claim"><p><strong>✓ {escape(record["statement"])}</strong>{said}<br>'
            f'<a href="{self.address(chapter.docname)}">{chapter.number} {escape(chapter.short)}</a> · '
            f'<a href="{self.address(EVIDENCE)}#claim-{wanted}">its place among all claims</a></p></div>'
        )


def write_cards(app: Sphinx, exception: Exception | None) -> None:
    """The cards' pictures, beside the other files of the book."""
    if exception is None and app.builder.format == "html":
        folder = Path(app.outdir) / "_static/cards"
        folder.mkdir(parents=True, exist_ok=True)
        for chapter in chapters(Path(app.srcdir)):
            (folder / f"{chapter.name}.webp").write_bytes(chapter.picture()[0])


def setup(app: Sphinx) -> dict[str, bool]:
    for name, piece in {
        "emoji-ladder": EmojiLadder, "start-links": StartLinks, "chapter-cards": ChapterCards, "course-map": CourseMap,
        "claim-card": ClaimCard,
    }.items():  # fmt: skip
        app.add_directive(name, piece)
    app.connect("build-finished", write_cards)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
