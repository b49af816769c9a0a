"""Falsehoods planted in a chapter, in its page of evidence and in a result file: each is noticed."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode

from scripts import build_evidence, build_results, run_chapters
from scripts.prose import unmarked
from scripts.rules import findings
from xferkit import results
from xferkit._schema import save

ROOT = Path(__file__).resolve().parents[2]

CLAIM = 'claim("ID", "It leads by {lead}.", lead=above(gaps, 2, over="seeds"), paper="+10 points", source="Table 2");'
FOLD = "<details>\n<summary>Solution</summary>\n\n```python\n{}\n```\n\n</details>"

Plant = Callable[[NotebookNode], None]


def shown(old: str, new: str, *forms: str) -> Plant:
    """Change what a cell shows, in these forms or in all; "record" is the metadata."""

    def plant(cell: NotebookNode) -> None:
        before = json.dumps(cell.outputs)
        for output in cell.outputs:
            if "text" in output:
                output.text = output.text.replace(old, new)
            for form in output.get("data", {}):
                if not forms or form in forms:
                    output.data[form] = output.data[form].replace(old, new)
            if "metadata" in output and (not forms or "record" in forms):
                output.metadata = json.loads(json.dumps(output.metadata).replace(old, new))
        assert json.dumps(cell.outputs) != before, f"{old!r} is not in the output"

    return plant


def source(old: str, new: str) -> Plant:
    def plant(cell: NotebookNode) -> None:
        assert old in cell.source
        cell.source = cell.source.replace(old, new)

    return plant


def both(plant_source: Plant, old: str, new: str) -> Plant:
    """Falsify the code, and the output with it."""

    def plant(cell: NotebookNode) -> None:
        plant_source(cell)
        shown(old, new)(cell)

    return plant


def not_run(cell: NotebookNode) -> None:
    cell.execution_count, cell.outputs = None, []


def nothing_shown(cell: NotebookNode) -> None:
    cell.outputs = []


PRINT = 'print("mean", sum(gaps) / len(gaps), "of", len(gaps), "seeds")'
TABLE = 'xk.table([["LP-FT", 47.1], ["probe", 38.2]], ["method", "accuracy (%)"]);'
LOOSE = {"tolerance": {"3": 0.02}}

# What is planted ↦ the cell, its metadata, and how it is falsified.
PLANTS: dict[str, tuple[str, dict[str, Any], Plant]] = {
    "a false condition": (CLAIM, {}, source("above(gaps, 2", "above(gaps, 4")),
    "a changed sentence": (CLAIM, {}, shown("It leads", "It trails")),
    "a sentence stronger than its condition, in the output": (CLAIM, {}, shown("more than 2", "more than 2.9")),
    "a sentence stronger than its condition, in the code": (CLAIM, {}, source("{lead}.", "{lead}, or rather 2.9.")),
    "a stronger sentence, in code and output": (CLAIM, {}, both(source("by {lead}", "by 9"), "than 2", "than 9")),
    "a margin that does not hold, in code and output": (CLAIM, {}, both(source(", 2,", ", 4,"), "than 2", "than 4")),
    "a quantifier in the sentence": (CLAIM, {}, source("It leads", "It always leads")),
    "a stale observation in the output": (CLAIM, {}, shown("4.5", "4.6", "text/plain", "text/markdown", "text/html")),
    "a stale observation in plain text alone": (CLAIM, {}, shown("4.5", "4.6", "text/plain")),
    "a stale observation on the card alone": (CLAIM, {}, shown("4.5", "4.6", "text/html")),
    "a stale observation in the record alone": (CLAIM, {}, shown("4.5", "4.6", "record")),
    "another figure of the paper": (CLAIM, {}, shown("+10", "+11")),
    "a claim without its card": (CLAIM, {}, nothing_shown),
    "a claim cell that was never run": (CLAIM, {}, not_run),
    "a stale number in a table": (TABLE, {}, shown("47.1", "47.2")),
    "a stale number in a table's Markdown alone": (TABLE, {}, shown("38.2", "38.1", "text/markdown")),
    "a row's label": (TABLE, {}, shown("probe", "fine-tuning")),
    "a stale number in a print": (PRINT, {}, shown("4.0", "4.1")),
    "a turned sign": (PRINT, {}, shown("4.0", "-4.0")),
    "another number of seeds": (PRINT, {}, shown("of 3 seeds", "of 5 seeds")),
    "twice the tolerance": ('print(f"{0.5:.3f}")', LOOSE, shown("0.500", "0.540")),
    "a whole number where decimals may vary": ('print(f"{0.5:.3f} over 3 seeds")', LOOSE, shown("3 seeds", "4 seeds")),
    "a stale number in the last value of a cell": ("max(gaps)", {}, shown("4.5", "4.6")),
}  # fmt: skip
PROSE: dict[str, tuple[str, tuple[str, str]]] = {
    "a stale number in the text": ('It leads by **4.0<!-- =f"{sum(gaps) / 3:.1f}" -->** points.', ("4.0", "4.1")),
    "twice the tolerance in the text": ("About 4.1<!-- =sum(gaps) / 3 ± 0.2 --> points.", ("4.1", "4.4")),
    "another word in the text": ("The best is LP-FT<!-- =best -->.", ("LP-FT", "the probe")),
    "a comparison that is false": ("More than 3<!-- =min(gaps) > 3 --> points.", ("min(gaps) > 3 ", "min(gaps) > 4 ")),
    "a mark of a value that is gone": ("It leads by 4.0<!-- =sum(gaps) / 3 -->.", ("sum(gaps)", "sum(gap)")),
    "a solution that is none": (FOLD.format("assert len(gaps) == 3"), ("== 3", "== 4")),
}


def chapter(planted: bool) -> NotebookNode:
    """One cell for each plant, healthy or falsified."""
    cells = [
        nbformat.v4.new_markdown_cell("# A chapter"),
        nbformat.v4.new_code_cell("import xferkit as xk\nfrom xferkit.claims import above, claim"),
        nbformat.v4.new_code_cell('gaps, best = [4.5, 3.5, 4.0], "LP-FT"'),
    ]
    for i, (code, metadata, _) in enumerate(PLANTS.values()):
        code = code.replace("ID", f"claim-{i}")
        cells.append(nbformat.v4.new_code_cell(code, metadata={"xferkit": metadata} if metadata else {}))
    for text, (old, new) in PROSE.values():
        assert old in text
        cells.append(nbformat.v4.new_markdown_cell(text.replace(old, new, 1) if planted else text))
    return nbformat.v4.new_notebook(cells=cells)


def outcomes(nb: NotebookNode, folder: Path) -> dict[str, bool]:
    """What was planted ↦ did its test pass?, from one run of nbval."""
    path, report = folder / "01_chapter.ipynb", folder / "report.xml"
    folder.mkdir()
    run_chapters.write_if_changed(nb, path)
    flags = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "scripts.nbval_chapters", "-c", "/dev/null"]
    flags += ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=120", f"--junitxml={report}", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *flags],
        cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert report.exists(), done.stdout + done.stderr
    passed = [case.find("failure") is None and case.find("error") is None for case in ET.parse(report).iter("testcase")]
    names = ["the set-up cell", "imports", "values", *PLANTS, *PROSE]
    assert len(passed) == len(names), done.stdout
    return dict(zip(names, passed, strict=True))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bool], dict[str, bool]]:
    """The outcomes of the healthy chapter and of the one with every plant."""
    folder = tmp_path_factory.mktemp("planted")
    healthy = run_chapters.normalise(run_chapters.execute(chapter(False), "small", folder))
    planted = copy.deepcopy(healthy)
    for old, new in zip(planted.cells[-len(PROSE) :], chapter(True).cells[-len(PROSE) :], strict=True):
        old.source = new.source
    for cell, (_, _, plant) in zip(planted.cells[4 : 4 + len(PLANTS)], PLANTS.values(), strict=True):
        plant(cell)
    return outcomes(healthy, folder / "healthy"), outcomes(planted, folder / "planted")


@pytest.mark.parametrize("what", [*PLANTS, *PROSE])
def test_a_planted_falsehood_fails(runs: tuple[dict[str, bool], dict[str, bool]], what: str) -> None:
    healthy, planted = runs
    assert healthy[what] and not planted[what]


def test_nothing_else_fails(runs: tuple[dict[str, bool], dict[str, bool]]) -> None:
    healthy, planted = runs
    assert all(healthy.values())
    assert [what for what, passed in planted.items() if passed] == ["the set-up cell", "imports", "values"]


# ----------------------------------------------------------------------------------- what needs no kernel to be noticed


def stored(code: str, text: str = "", tags: tuple[str, ...] = (), **metadata: Any) -> NotebookNode:
    record = {"id": "a", "statement": "It leads.", "observed": "4.0", "margin": "3"}
    output = nbformat.v4.new_output("display_data", {"text/plain": text}, metadata={"xferkit_claim": record})
    cell = nbformat.v4.new_code_cell(code, outputs=[output] if text else [], metadata={"tags": list(tags), **metadata})
    return nbformat.v4.new_notebook(cells=[cell])


GOOD = stored("claim(…)", "✓ It leads.\n4.0 3\nClaim: a", xferkit={"tolerance": {"1": 0.5}})


@pytest.mark.parametrize(
    ("nb", "says"),
    [
        (stored("claim(…)", "✓ It leads.\n4.0 3\nClaim: a", tags=("varies",)), "not compared"),
        (stored("claim(…)", "✓ It leads.\n4.0 3\nClaim: a", tags=("nbval-ignore-output",)), "look away"),
        (stored("# NBVAL_SKIP\nclaim(…)", "✓ It leads.\n4.0 3\nClaim: a"), "look away"),
        (stored("claim(…)"), "without a card"),
        (stored("xk.final_test(…)"), "without its line"),
        (stored("claim('a', 'It leads.', observed=1, holds=True)", "✓ It leads.\n4.0 3\nClaim: a"), "typed"),
        (stored("claim(…)", "✓ It leads.\n4.1 3\nClaim: a"), "is recorded"),
        (stored("claim(…)", "✓ It leads.\n4.0 3\nClaim: a", xferkit={"tolerance": {"1": 2.0}}), "a tolerance of 2"),
        (stored("claim(…)", "✓ It leads.\n4.0 3\nClaim: a", xferkit={"tolerance": {"3": 0.1}}), "a tolerance of 0.1"),
        (stored("claim(…)", "✓ It leads.\n4.0 3\nClaim: a", xferkit={"tolerance": {"e": 0.5}}), "a tolerance of 0.5"),
    ],
)
def test_a_chapter_that_could_hide_something_is_found(nb: NotebookNode, says: str) -> None:
    assert findings(GOOD) == []
    assert len(found := findings(nb)) == 1 and says in found[0]


def test_a_number_that_lost_its_mark() -> None:
    text = PROSE["a stale number in the text"][0]
    assert unmarked(text) == [] and unmarked(text.split("<!--")[0] + "** points.") == ["4.0"]


def test_a_stale_figure_on_the_evidence_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = build_evidence.PAGE.read_text(encoding="utf-8")
    observed = page.index("*Observed here:*")
    digit = next(i for i, c in enumerate(page) if i > observed and c.isdigit())
    (tmp_path / "evidence.md").write_text(page[:digit] + str((int(page[digit]) + 1) % 10) + page[digit + 1 :])
    monkeypatch.setattr(build_evidence, "PAGE", tmp_path / "evidence.md")
    assert build_evidence.main(["--check"]) == 1
    (tmp_path / "evidence.md").write_text(page)
    assert build_evidence.main(["--check"]) == 0


@pytest.fixture
def results_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "letters_to_digits.json"
    path.write_bytes((ROOT / "results" / path.name).read_bytes())
    monkeypatch.setenv("XFERKIT_RESULTS", str(tmp_path))
    assert results.load("letters_to_digits").runs()
    return path


@pytest.mark.parametrize("field", ["runs", "test", "selection", "settings"])
def test_a_changed_figure_in_a_result_file(results_copy: Path, field: str) -> None:
    record = json.loads(results_copy.read_text())
    text = json.dumps(record[field])
    digit = max(i for i, c in enumerate(text) if c.isdigit())
    record[field] = json.loads(text[:digit] + str((int(text[digit]) + 1) % 10) + text[digit + 1 :])
    results_copy.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"letters_to_digits.json"):
        results.load("letters_to_digits")


def test_a_changed_run_with_a_new_checksum_changes_page_and_header(results_copy: Path) -> None:
    """Who writes a checksum too is found by what is computed from the runs."""
    record = json.loads(results_copy.read_text())
    found = [run["result"] for run in record["runs"] if run["job"]["count"] == 5 and "accuracy" in run["result"]]
    before = build_results.section(results_copy)
    for domain in found[0]["accuracy"]:
        found[0]["accuracy"][domain] += 0.05
    save(record, results_copy)
    after = build_results.section(results_copy)
    page = build_results.PAGE.read_text(encoding="utf-8")
    assert before in page and after not in page
