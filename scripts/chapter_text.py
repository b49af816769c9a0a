"""What a chapter's cells say, read as its readers' programs read them: Markdown, parts, exercises, the quiz.

CONTRIBUTING.md describes the pattern; `tests/course/test_shape.py` holds every chapter to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from nbformat import NotebookNode

# The parts that every chapter has, in this order: how a heading of the second level begins.
PARTS = (
    "The idea", "The mathematics", "Where it fails", "On your own data", "Exercises", "Quiz", "Summary",
    "Further reading",
)  # fmt: skip
AIMS = re.compile(r"^\*\*After this chapter you can\*\*", re.MULTILINE)

FENCE = re.compile(r"^(```+|~~~+)(\w*)[^\n]*\n(.*?)^\1[ \t]*$", re.MULTILINE | re.DOTALL)
MATHS = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$", re.DOTALL)
CODE = re.compile(r"(`+)[^`].*?\1")
FOLD = re.compile(r"<details>\s*<summary>(.*?)</summary>(.*?)</details>", re.DOTALL)
EXERCISE = re.compile(r"^\*\*(\d+)\.\s", re.MULTILINE)
# What a chapter may hold of HTML: folds, comments, places for links, and the few tags that Markdown has no sign for.
ALLOWED_HTML = {"details", "summary", "a", "br", "sub", "sup", "code", "em", "strong"}


def markdown_of(nb: NotebookNode) -> str:
    """All Markdown cells, one after the other."""
    return "\n\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")


def headings(text: str) -> list[tuple[int, str]]:
    """Level and words of each heading, those in code left out."""
    return [(len(mark), words) for mark, words in re.findall(r"^(#{1,6}) +(.+?)\s*#*$", FENCE.sub("", text), re.M)]


def section(text: str, name: str) -> str:
    """What stands under the heading of the second level that begins with `name`; empty where there is none."""
    found = re.search(rf"^## {re.escape(name)}[^\n]*\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def prose_words(text: str) -> int:
    """The words that are read: no code, comments, addresses and tags; a formula in a line counts as one word."""
    text = re.sub(r"<!--.*?-->", "", FENCE.sub("", text), flags=re.DOTALL)
    text = re.sub(r"\$\$.*?\$\$", "", text, flags=re.DOTALL)
    text = re.sub(r"\$[^$\n]+\$", " x ", text)
    text = re.sub(r"\]\([^)]*\)", "]", re.sub(r"</?\w[^>]*>", " ", text))
    return sum(bool(re.search(r"\w", word)) for word in re.split(r"[\s|]+", text))


def missing_parts(nb: NotebookNode) -> list[str]:
    """Parts that are not there, or not in their order.

    Before the first heading of the second level stand the title, some sentences that make one want to read on, the key
    figure, and what the reader will be able to do.
    """
    found = [words for level, words in headings(markdown_of(nb)) if level == 2]
    places = {part: next((i for i, words in enumerate(found) if words.startswith(part)), None) for part in PARTS}
    missing = [part for part, place in places.items() if place is None]
    there = [place for place in places.values() if place is not None]
    if there != sorted(there):
        missing.append(f"the order: {[found[place] for place in there]}")
    return _missing_at_the_front(nb) + missing


def _missing_at_the_front(nb: NotebookNode) -> list[str]:
    """The first cell is title and hook (a few sentences, no list); then the key figure; then three aims or more."""
    texts = [i for i, cell in enumerate(nb.cells) if cell.cell_type == "markdown"]
    first = nb.cells[texts[0]].source
    aims = next((i for i in texts if AIMS.search(nb.cells[i].source)), None)
    begins = next((i for i in texts if re.search("^## ", nb.cells[i].source, re.MULTILINE)), len(nb.cells))
    missing = []
    if not first.startswith("# "):
        missing.append("title")
    hook = first.partition("\n")[2].partition("**After")[0]
    if prose_words(hook) < 20 or re.search(r"^(\d+\.|[-*]) ", hook, re.MULTILINE):
        missing.append("hook")
    if aims is None or aims > begins or not re.match(r"[^#]*?^3\. ", AIMS.split(nb.cells[aims].source)[-1], re.M):
        missing.append("aims")
    before = nb.cells[: begins if aims is None else aims]
    if not re.search(r"!\[[^\]]+\]\(", first) and not any(map(has_picture, before)):
        missing.append("key figure")
    return missing


def has_picture(cell: NotebookNode) -> bool:
    outputs = cell.get("outputs", [])
    return any(kind.startswith("image/") for output in outputs for kind in output.get("data", {}))


def exercises(text: str) -> tuple[int, int]:
    """How many exercises there are, and how many of them have a folded solution right behind them."""
    parts = EXERCISE.split(section(text, "Exercises"))[2::2]
    return len(parts), sum(any(words == "Solution" for words, _ in FOLD.findall(part)) for part in parts)


@dataclass
class Question:
    """One question of a quiz: its words, and each choice with its answer."""

    words: str
    choices: list[tuple[str, str]] = field(default_factory=list)

    def faults(self) -> Iterator[str]:
        """What is wrong with it."""
        if len(self.choices) < 3:
            yield f"{len(self.choices)} choices, at least three are needed"
        right = [words for words, answer in self.choices if answer.startswith("**Right.**")]
        if len(right) != 1:
            yield f"{len(right)} choices are right, exactly one should be"
        for words, answer in self.choices:
            if not re.match(r"\*\*(Right|Wrong)\.\*\* ", answer) or prose_words(answer) < 6:
                yield f"the answer to {words!r} begins with **Right.** or **Wrong.** and says why"
            if re.search(r"[`$*]|\b_|_\b|\]\(", words):
                yield f"{words!r} is shown as it stands: a summary takes no Markdown and no formulas"
        if len({words for words, _ in self.choices}) < len(self.choices):
            yield "two choices are alike"


def quiz(text: str) -> list[Question]:
    """The questions of a chapter's quiz."""
    parts = EXERCISE.split(section(text, "Quiz"))[2::2]
    found = []
    for part in parts:
        words = part.partition("<details>")[0].strip().removesuffix("**")
        found.append(Question(words, [(choice.strip(), answer.strip()) for choice, answer in FOLD.findall(part)]))
    return found


def quiz_faults(text: str) -> list[str]:
    """What is wrong with a chapter's quiz, each fault with its question."""
    questions = quiz(text)
    faults = [f"question {i}: {fault}" for i, question in enumerate(questions, 1) for fault in question.faults()]
    if len(questions) != 5:
        faults.insert(0, f"{len(questions)} questions, five are asked")
    return faults


def portability_faults(text: str) -> list[str]:
    """What only MyST, LaTeX or a browser of one's own would understand."""
    bare = CODE.sub("", FENCE.sub("", text))
    maths = " ".join(MATHS.findall(bare))
    faults = [f"role {found}" for found in re.findall(r"(?<!`)\{[a-z][\w:+-]*\}`[^`]*`", FENCE.sub("", text))]
    faults += [f"directive {found}" for found in re.findall(r"^(?:```+|~~~+|:::+)\s*\{[^}\n]*\}", text, re.MULTILINE)]
    faults += [f"label {found}" for found in re.findall(r"^\([\w-]+\)=$", bare, re.MULTILINE)]
    faults += [f"fence {found}" for found in re.findall(r"^:::.*", bare, re.MULTILINE)]
    macros = r"\\(?:[A-Z]|newcommand|def|require|label|eqref)(?![a-zA-Z])"
    faults += [f"macro {found}" for found in re.findall(macros, maths)]
    faults += [f"comment {found}" for found in re.findall(r"^% .*", bare, re.MULTILINE)]
    # Such a line is HTML to CommonMark, and its Markdown is not read.
    first = re.findall(r"^\s*<!--.*?-->[ \t]*\S+", bare, re.MULTILINE)
    faults += [f"line that begins with a mark {found}" for found in first]
    faults += [f"substitution {found}" for found in re.findall(r"\{\{[^}]*\}\}", MATHS.sub("", bare))]
    for token in MarkdownIt("commonmark").enable("table").parse(MATHS.sub("", text)):
        for part in [token, *(token.children or [])]:
            if part.type in ("html_block", "html_inline"):
                content = re.sub(r"<!--.*?-->", "", part.content, flags=re.DOTALL)
                tags = {tag.lower() for tag in re.findall(r"</?([a-zA-Z][\w-]*)", content)}
                faults += [f"HTML <{tag}>" for tag in sorted(tags - ALLOWED_HTML)]
    return faults + _fold_faults(text)


def _fold_faults(text: str) -> list[str]:
    """A fold's Markdown is read as Markdown only between empty lines, and a fold that is not closed hides the rest."""
    text = FENCE.sub("", text)
    faults = [f"fold {words!r}: an empty line must follow" for words in re.findall(r"</summary>([^\n]*\n[^\n]+)", text)]
    faults += ["fold: an empty line must stand before </details>" for _ in re.findall(r"[^\n]\n</details>", text)]
    if not text.count("<details>") == text.count("</details>") == text.count("<summary>") == len(FOLD.findall(text)):
        faults.append("folds are not closed, or stand in one another")
    return faults
