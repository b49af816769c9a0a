"""Chapters read alike in JupyterLab, on GitHub and in the book; links lead on, and citations name their work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pybtex.database import parse_string

from scripts import build_bibliography, chapter_text, run_chapters

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = run_chapters.find_chapters([])
TEXTS = {path: chapter_text.markdown_of(run_chapters.read(path)) for path in CHAPTERS}
TEXTS |= {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "book").rglob("*.md"))}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")

each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
each_text = pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())


def places(path: Path) -> set[str]:
    """The anchors of a page or a chapter as GitHub makes them: of headings, and those written as HTML."""
    text = TEXTS[path]
    slugs = {re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-") for _, words in chapter_text.headings(text)}
    explicit = re.findall(r'<a id="([^"]+)"></a>|^\(([\w-]+)\)=$', text, re.MULTILINE)
    return slugs | {html or label for html, label in explicit}


def link_faults(path: Path, text: str) -> list[str]:
    """Links within the repository that have no words or lead nowhere."""
    faults = []
    for _, words, address in LINK.findall(chapter_text.CODE.sub("", chapter_text.FENCE.sub("", text))):
        if re.match(r"[a-z]+:", address):
            continue
        name, _, anchor = address.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not words.strip():
            faults.append(f"{address} has no words: GitHub shows nothing")
        if not target.exists():
            faults.append(f"{address} leads nowhere")
        elif anchor and target in TEXTS and anchor not in places(target):
            faults.append(f"{address}: there is no such place")
    return faults


def citation_faults(text: str) -> list[str]:
    """Citations of unknown works, or under another name than the bibliography's."""
    known = build_bibliography.entries()
    faults = []
    for words, key in re.findall(r"\[([^\]]+)\]\([^)\s]*bibliography\.md#([^)\s]+)\)", text):
        if key not in known:
            faults.append(f"{key} is not in book/references.bib")
            continue
        label = known[key][1]
        if words not in (label, re.sub(r" (\d{4}[a-z]?)$", r" (\1)", label)):
            faults.append(f"[{words}] cites {key}, which is {label}")
    return faults


@each_chapter
def test_chapter_is_plain_markdown(path: Path) -> None:
    assert chapter_text.portability_faults(TEXTS[path]) == []


@each_text
def test_links_lead_on(path: Path) -> None:
    assert link_faults(path, TEXTS[path]) == []


@each_text
def test_citations_name_a_work_that_is_there(path: Path) -> None:
    assert citation_faults(TEXTS[path]) == []
    assert "{cite" not in TEXTS[path]


FAULTS = {
    "role": "as {cite:p}`he2016deep` says",
    "other role": "see {ref}`there`",
    "directive": "```{note}\nwords\n```",
    "directive in colons": ":::{admonition} Solution\nwords\n:::",
    "colons": ":::\nwords\n:::",
    "label": "(place)=\n## Heading",
    "comment": "% a note to myself",
    "line that begins with a mark": "about 4 <!-- =x -->\n<!-- words -->% of *them*",
    "substitution": "the {{ number }} of labels",
    "private macro": r"in $\R^{D}$",
    "own macro": r"$$\newcommand{\x}{y} \x$$",
    "numbered formula": r"$$ a = b \label{eq} $$",
    "script": "<script>alert(1)</script>",
    "picture as HTML": '<img src="a.png" alt="a dot">',
    "division": "words <div>more</div>",
    "fold without an empty line": "<details><summary>Solution</summary>\nwords\n\n</details>",
    "fold whose end is text": "<details><summary>Solution</summary>\n\nwords\n</details>",
    "fold without an end": "<details><summary>Solution</summary>\n\nwords\n",
}
SOUND = {
    "formula": r"where $x \in \mathbb{R}^{D}$ and $$ y = \mathrm{relu}(x) $$",
    "braces in a formula": r"$\frac{{a}}{{b}}$",
    "code": "write `{cite}` and `<div>` in\n\n```python\n# % {{x}}\n```\n",
    "fold": "<details><summary>Solution</summary>\n\n```python\nx = 1\n```\n\n</details>",
    "comment of HTML": "46.6 <!-- =f'{x}' --> points",
    "table": "| a | b |\n|---|---|\n| $x$ | <br> |",
}


@pytest.mark.parametrize("text", FAULTS.values(), ids=FAULTS.keys())
def test_what_is_not_portable_is_seen(text: str) -> None:
    assert chapter_text.portability_faults(f"# A chapter\n\n{text}\n") != []


@pytest.mark.parametrize("text", SOUND.values(), ids=SOUND.keys())
def test_what_is_portable_passes(text: str) -> None:
    assert chapter_text.portability_faults(f"# A chapter\n\n{text}\n") == []


def test_links_that_lead_nowhere_are_seen() -> None:
    home = CHAPTERS[0]
    assert link_faults(home, "[a](../book/bibliography.md#he2016deep), `[b](c)`, [c](https://example.org/x)") == []
    for broken in ("[](../book/setup.md)", "[a](nowhere.ipynb)", "[a](../book/bibliography.md#he2061deep)", "[a](#no)"):
        assert len(link_faults(home, broken)) == 1, broken


def test_wrong_citations_are_seen() -> None:
    page = "../book/bibliography.md"
    assert citation_faults(f"[He et al. 2016a]({page}#he2016deep), [He et al. (2016b)]({page}#he2016identity)") == []
    for wrong in (f"[He et al. 2016]({page}#he2016deep)", f"[Kumar et al. 2022]({page}#kumar2022)"):
        assert len(citation_faults(wrong)) == 1, wrong


# The bibliography.


def test_bibliography_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert build_bibliography.main(["--check"]) == 0, "run: python scripts/build_bibliography.py"


def test_bibliography_stands_by_author_and_year() -> None:
    page = (ROOT / "book/bibliography.md").read_text(encoding="utf-8")
    found = re.findall(r'^<a id="(\w+)"></a>\*\*(.+?)\.\*\* ', page, re.MULTILINE)
    keys, labels = [key for key, _ in found], [label for _, label in found]
    assert set(keys) == set(re.findall(r"^@\w+\{(\w+),", build_bibliography.SOURCE.read_text(encoding="utf-8"), re.M))
    assert labels == sorted(labels, key=str.casefold)
    assert len(set(labels)) == len(labels)


BIB = r"""
@article{b, author = {Fran{\c{c}}ois, Ann and Li, Bo and Wu, Ci}, title = {Second {CNN} Work}, journal = {J},
  volume = {3}, number = {2}, pages = {1--9}, year = {2016}, doi = {10.1/x}}
@misc{a, author = {Fran{\c{c}}ois, Ann and Ma, Di and Wu, Ci}, title = {First?}, howpublished = {arXiv:1404.5997},
  year = {2016}}
@misc{c, author = {van Dam, Eve and Fu, Gil}, title = {Third}, year = {2014}, url = {https://www.example.org/c/}}
"""


def test_entries_are_told_apart_and_linked(tmp_path: Path) -> None:
    source = tmp_path / "x.bib"
    source.write_text(BIB, encoding="utf-8")
    found = build_bibliography.entries(source)
    assert {key: label for key, (_, label) in found.items()} == {
        "a": "François et al. 2016a", "b": "François et al. 2016b", "c": "van Dam and Fu 2014",
    }  # fmt: skip
    assert build_bibliography.link_of(found["a"][0]) == "[arXiv:1404.5997](https://arxiv.org/abs/1404.5997)"
    assert build_bibliography.link_of(found["b"][0]) == "[doi:10.1/x](https://doi.org/10.1/x)"
    assert build_bibliography.link_of(found["c"][0]) == "[example.org/c](https://www.example.org/c/)"
    assert build_bibliography.line("b", source).endswith(
        "**François et al. 2016b.** Ann François, Bo Li and Ci Wu. *Second CNN Work*. J, 3 (2), pages 1–9. "
        "[doi:10.1/x](https://doi.org/10.1/x)."
    )
    assert "*First?* [arXiv" in build_bibliography.line("a", source)


def test_an_entry_that_lacks_its_year_is_named(tmp_path: Path) -> None:
    source = tmp_path / "x.bib"
    source.write_text("@misc{a, author = {Li, Bo}, title = {First}}", encoding="utf-8")
    assert parse_string(source.read_text(encoding="utf-8"), "bibtex").entries.keys() == {"a"}
    with pytest.raises(ValueError, match="a lacks year"):
        build_bibliography.entries(source)
