"""Every chapter keeps the budget and the shape; those from before have ceilings that only sink."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from scripts import chapter_budget, chapter_text, run_chapters

CHAPTERS = run_chapters.find_chapters([])
CEILINGS = chapter_budget.ceilings()
ROOT = Path(__file__).resolve().parents[2]

each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


@each_chapter
def test_budget_and_shape(path: Path) -> None:
    """What goes beyond the budget is just what the table of ceilings says: no more, and no less."""
    owed = chapter_budget.owed(run_chapters.read(path), path.stat().st_size)
    allowed = CEILINGS.get(path.stem, {})
    over = {name: value for name, value in owed.items() if chapter_budget.worse(value, allowed.get(name))}
    assert over == {}, "run python scripts/chapter_budget.py; CONTRIBUTING.md describes the budget and the shape"
    assert owed == allowed, "this ceiling can be lowered: run python scripts/chapter_budget.py --lower"


def test_ceilings_belong_to_chapters_that_need_them() -> None:
    assert set(CEILINGS) <= {path.stem for path in CHAPTERS}
    assert [stem for stem, line in CEILINGS.items() if not line] == []


@each_chapter
def test_exercises_have_solutions(path: Path) -> None:
    text = chapter_text.markdown_of(run_chapters.read(path))
    count, solved = chapter_text.exercises(text)
    assert count >= 5 and solved == count


@each_chapter
def test_chapter_names_its_assignment(path: Path) -> None:
    """The coursework page says which assignment belongs to which chapters; those lead there."""
    page = (ROOT / "book/coursework.md").read_text(encoding="utf-8")
    text = chapter_text.markdown_of(run_chapters.read(path))
    assert ("](../book/coursework.md" in text) == (f"](../chapters/{path.name})" in page)


# Quiz.


@each_chapter
def test_quiz(path: Path) -> None:
    text = chapter_text.markdown_of(run_chapters.read(path))
    if "Quiz" in CEILINGS.get(path.stem, {}).get("parts", []):
        assert "\n## Quiz" not in text
    else:
        assert chapter_text.quiz_faults(text) == []


CHOICE = "<details><summary>{}</summary>\n\n**{}.** Because it is so in the table above.\n\n</details>\n\n"
CHOICES = [CHOICE.format(*words) for words in (("a", "Wrong"), ("b", "Right"), ("c", "Wrong"))]
QUESTION = "**{}. Which one?**\n\n" + "".join(CHOICES)
QUIZ = "# A chapter\n\n## Quiz\n\n" + "".join(QUESTION.format(i) for i in range(1, 6)) + "## Summary\n"


def test_a_sound_quiz_passes() -> None:
    assert chapter_text.quiz_faults(QUIZ) == []
    first = chapter_text.quiz(QUIZ)[0]
    assert first.words == "Which one?" and [words for words, _ in first.choices] == ["a", "b", "c"]


QUIZ_FAULTS = {
    "four questions": QUIZ.replace(QUESTION.format(5), ""),
    "two choices": QUIZ.replace(CHOICE.format("a", "Wrong"), "", 1),
    "none right": QUIZ.replace("**Right.**", "**Wrong.**", 1),
    "two right": QUIZ.replace("**Wrong.**", "**Right.**", 1),
    "no answer": QUIZ.replace("**Wrong.** Because it is so in the table above.", "**Wrong.**", 1),
    "neither right nor wrong": QUIZ.replace("**Wrong.**", "Perhaps.", 1),
    "formula in a choice": QUIZ.replace("<summary>a<", "<summary>$a$<", 1),
    "code in a choice": QUIZ.replace("<summary>a<", "<summary>`a`<", 1),
    "the same choice twice": QUIZ.replace("<summary>a<", "<summary>b<", 1),
}


@pytest.mark.parametrize("text", QUIZ_FAULTS.values(), ids=QUIZ_FAULTS.keys())
def test_a_faulty_quiz_is_seen(text: str) -> None:
    assert text != QUIZ
    assert len(chapter_text.quiz_faults(text)) == 1


# The counting, on a chapter of a few cells.

FRONT = "# A chapter\n\n" + "Words that make one want to read on, " * 4 + "and then a picture.\n\n![A dot](dot.png)"
AIMS = "\n\n**After this chapter you can**\n\n1. do this;\n2. do that;\n3. do both."
PARTS = "\n\n".join(f"## {part}\n\nwords" for part in chapter_text.PARTS)


def chapter(*cells: NotebookNode) -> NotebookNode:
    new = nbformat.v4.new_markdown_cell
    return nbformat.v4.new_notebook(cells=[new(FRONT + AIMS), *cells, new(PARTS)])


def code(source: str, tags: tuple[str, ...] = (), **data: str) -> NotebookNode:
    outputs = [nbformat.v4.new_output("display_data", data)] if data else []
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)}, outputs=outputs)


def test_counts() -> None:
    table = "| a | b |\n|---|---|\n| 1 | 2 |"
    claim = nbformat.v4.new_output("display_data", {"text/html": "<table>"}, metadata={"xferkit_claim": {"id": "x"}})
    cells = [
        code("%pip install x", (run_chapters.SETUP_TAG,)),
        code("a = 1\n\n# why\nb = 2", **{"text/markdown": table}),
        code("c = 3\nd = 4", ("hide-input",), **{"text/html": "<table><tr><td>1</td></tr></table>"}),
        nbformat.v4.new_code_cell("claim()", outputs=[claim]),
        nbformat.v4.new_markdown_cell(
            "Five words and $x + y$ <!-- =secret words -->, [with a link](a/b/c.md).\n\n"
            f"```python\nno words\n```\n\n{table}"
        ),
    ]
    bare = chapter_budget.counts(chapter())
    found = chapter_budget.counts(chapter(*cells), size=2001)
    assert found["words"] - bare["words"] == 7 + 4
    assert {name: found[name] for name in found if name != "words"} == {
        "cells": 3, "lines": 4, "longest": 3, "tables": 3, "claims": 1, "kB": 3,
    }  # fmt: skip


def test_a_chapter_that_keeps_budget_and_shape_owes_nothing() -> None:
    assert chapter_budget.owed(chapter(code("x = 1")), 1000) == {}


def test_what_goes_beyond_is_owed_in_whole_steps() -> None:
    cell = code("\n".join(f"x{i} = {i}" for i in range(251)))
    assert chapter_budget.owed(chapter(cell), 2_000_001) == {"lines": 260, "longest": 251, "kB": 2100}


@pytest.mark.parametrize("part", chapter_text.PARTS)
def test_a_missing_part_is_named(part: str) -> None:
    nb = chapter()
    nb.cells[-1].source = nb.cells[-1].source.replace(f"## {part}", "### Something else")
    assert chapter_budget.owed(nb, 0) == {"parts": [part]}


def test_the_front_and_the_order() -> None:
    listed, bare, aimless, late = (chapter() for _ in range(4))
    listed.cells[0].source = FRONT.replace("\n\n![", "\n\n1. an aim\n\n![") + AIMS
    bare.cells[0].source = FRONT.replace("![A dot](dot.png)", "") + AIMS
    aimless.cells[0].source = FRONT + AIMS.replace("3. do both.", "")
    swapped = PARTS.replace("## Quiz", "## ?").replace("## Summary", "## Quiz").replace("## ?", "## Summary")
    late.cells[1].source = swapped
    for nb, said in ((listed, "hook"), (bare, "key figure"), (aimless, "aims"), (late, "the order")):
        (fault,) = chapter_text.missing_parts(nb)
        assert said in fault


def test_a_drawn_figure_stands_before_the_aims() -> None:
    nb = chapter(code("draw()", **{"image/png": "AA=="}))
    nb.cells[0].source = FRONT.replace("![A dot](dot.png)", "")
    assert "aims" in "".join(chapter_text.missing_parts(nb))
    nb.cells[2].source = f"{AIMS}\n\n{PARTS}"
    assert chapter_text.missing_parts(nb) == []
    nb.cells[1:] = nb.cells[:0:-1]
    assert len(chapter_text.missing_parts(nb)) == 1


def test_ceilings_allow_what_they_say_and_no_more() -> None:
    assert not chapter_budget.worse(40, 40) and chapter_budget.worse(41, 40) and chapter_budget.worse(1, None)
    assert not chapter_budget.worse(["a"], ["a", "b"]) and chapter_budget.worse(["a", "c"], ["a", "b"])


# Definitions.


@pytest.mark.parametrize(
    "source",
    [
        "def show(x):\n    plt.plot(x)",
        "def rows(x):\n    return xk.table(x, ['a'])",
        "say = lambda x: print(x)",
        "found = json.load(open('x'))",
    ],
)
def test_what_presents_is_seen(source: str) -> None:
    assert len(chapter_budget.presenters(chapter(code(source)))) == 1


def test_what_computes_passes() -> None:
    assert chapter_budget.presenters(chapter(code("def half(x):\n    return x / 2\nplt.plot(half(3))"))) == []


def homes_of(notebooks: dict[str, NotebookNode]) -> dict[str, set[str]]:
    """Where each function is defined, by its name and by its body, so that another name hides nothing."""
    homes: dict[str, set[str]] = {}
    for stem, nb in notebooks.items():
        for name, node in chapter_budget.definitions(nb).items():
            body = ast.dump(node.body if isinstance(node, ast.Lambda) else ast.Module(node.body, []))  # type: ignore[attr-defined]
            for key in (name, body) if len(body) > 200 else (name,):
                homes.setdefault(key, set()).add(stem)
    return homes


def test_no_function_is_defined_in_two_chapters() -> None:
    """What two chapters need belongs into xferkit, where it is tested."""
    homes = homes_of({path.stem: run_chapters.read(path) for path in CHAPTERS})
    methods = {"forward", "backward"}
    assert {name: homes[name] for name in homes if len(homes[name]) > 1 and name not in methods} == {}


def test_a_function_under_another_name_is_seen() -> None:
    body = "    total = sum(x * x for x in values)\n    return total / len(values) - min(values) ** 2\n"
    homes = homes_of({"01": chapter(code(f"def a(values):\n{body}")), "02": chapter(code(f"def b(values):\n{body}"))})
    assert {"01", "02"} in homes.values()
