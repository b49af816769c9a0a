"""The stored chapters: executed, normalised, small, described, and really compared by nbval."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from scripts import build_evidence, prose, rules, run_chapters
from tests.places import ROOT

CHAPTERS = run_chapters.find_chapters([])
LIMIT = 2_000_000  # bytes, with outputs
SOLUTION = re.compile(r"^(```|~~~)python\n(.*?)^\1", re.MULTILINE | re.DOTALL)

each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def code_cells(path: Path) -> list[NotebookNode]:
    return [cell for cell in run_chapters.read(path).cells if cell.cell_type == "code"]


@each_chapter
def test_chapter_is_stored_normalised(path: Path) -> None:
    expected = run_chapters.to_text(run_chapters.normalise(run_chapters.read(path)))
    assert path.read_text(encoding="utf-8") == expected, (
        f"run: python scripts/run_chapters.py --normalise-only {path.stem}"
    )


@each_chapter
def test_chapter_is_executed(path: Path) -> None:
    """nbval compares nothing where the execution count is missing."""
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1)), f"run: make run ONLY={path.stem}"


@each_chapter
def test_chapter_has_no_errors_and_no_noise(path: Path) -> None:
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    assert [output.get("evalue") for output in outputs if output.output_type == "error"] == []
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    streams = "".join(output.text for output in outputs if output.output_type == "stream")
    assert not re.search(r"\d+%\|", streams), "a progress bar is stored in an output"
    assert str(ROOT) not in json.dumps(outputs), "an output shows where this checkout lies"


@each_chapter
def test_chapter_is_small(path: Path) -> None:
    assert path.stat().st_size < LIMIT


@each_chapter
def test_pictures_have_alternative_text(path: Path) -> None:
    silent = []
    for cell in run_chapters.read(path).cells:
        if cell.cell_type == "code":
            pictures = [o for o in cell.outputs if any(k.startswith("image/") for k in o.get("data", {}))]
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            if pictures and len(alt.split()) < 4:
                silent.append(cell.source[:60])
        else:
            silent += re.findall(r"!\[\s*\]\([^)]*\)", cell.source)
    assert silent == []


# Chapters of before, by what they still owe. These lists only become shorter.
UNMARKED_NUMBERS: dict[str, int] = {}


@each_chapter
def test_all_that_is_shown_is_compared(path: Path) -> None:
    """And every claim is one whose sentence comes from its conditions."""
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    assert any("xferkit_claim" in output.get("metadata", {}) for output in outputs), "nothing that can be checked"
    assert list(rules.findings(run_chapters.read(path))) == []


@each_chapter
def test_only_the_sessions_line_may_vary(path: Path) -> None:
    varying = [cell for cell in code_cells(path) if rules.VARIES in cell.metadata.get("tags", [])]
    assert len(varying) <= 1 and all("xk.setup(" in cell.source for cell in varying)


@each_chapter
def test_numbers_in_the_text_have_marks(path: Path) -> None:
    cells = [cell.source for cell in run_chapters.read(path).cells if cell.cell_type == "markdown"]
    found = [number for source in cells for number in prose.unmarked(source)]
    assert len(found) <= UNMARKED_NUMBERS.get(path.stem, 0), found


@each_chapter
def test_chapter_begins_with_the_setup_cell(path: Path) -> None:
    first = code_cells(path)[0]
    assert run_chapters.SETUP_TAG in first.metadata["tags"]
    assert first.source == run_chapters.setup_source()
    assert first.outputs == []


@each_chapter
def test_lines_of_code_fit_the_page(path: Path) -> None:
    """Solutions of exercises are code, too."""
    cells = run_chapters.read(path).cells
    code = [cell.source for cell in cells if cell.cell_type == "code" and "%pip" not in cell.source]
    code += [found[2] for cell in cells for found in SOLUTION.finditer(cell.source) if cell.cell_type == "markdown"]
    assert [line for source in code for line in source.splitlines() if len(line) > 88] == []


def test_every_notebook_in_the_folder_is_a_chapter() -> None:
    stray = {path.name for path in (ROOT / "chapters").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts}
    assert stray == {path.name for path in CHAPTERS}


# nbval, tried on a notebook of one claim: it must pass as stored and fail when the stored claim is altered.


def claim_notebook() -> NotebookNode:
    nb = nbformat.v4.new_notebook()
    nb.cells = [
        nbformat.v4.new_markdown_cell("# A chapter of one claim"),
        nbformat.v4.new_code_cell("from xferkit.claims import above, claim"),
        nbformat.v4.new_code_cell('claim("it-leads", "The probe leads by {lead}.", lead=above(3.5, 2));'),
    ]
    return nb


def nbval(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-c", "/dev/null"]
    flags = ["-p", "scripts.nbval_chapters", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=120"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([*command, *flags, str(path)], cwd=path.parent, capture_output=True, text=True, env=env)


@pytest.fixture(scope="module")
def stored_claim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chapter")
    path = folder / "01_claim.ipynb"
    done = run_chapters.normalise(run_chapters.execute(claim_notebook(), "small", folder))
    assert run_chapters.write_if_changed(done, path)
    return path


def test_nbval_passes_a_stored_claim(stored_claim: Path) -> None:
    result = nbval(stored_claim)
    assert result.returncode == 0, result.stdout
    assert "3 passed" in result.stdout  # the set-up cell, the import, the claim


def test_nbval_sees_a_tampered_claim(stored_claim: Path, tmp_path: Path) -> None:
    nb = run_chapters.read(stored_claim)
    (output,) = nb.cells[-1].outputs
    output.data["text/plain"] = output.data["text/plain"].replace("more than 2", "more than 3")
    tampered = tmp_path / stored_claim.name
    run_chapters.write_if_changed(nb, tampered)
    result = nbval(tampered)
    assert result.returncode == 1, result.stdout
    assert "1 failed, 2 passed" in result.stdout


def test_a_claim_that_fails_stops_the_run(tmp_path: Path) -> None:
    nb = claim_notebook()
    nb.cells[-1].source = nb.cells[-1].source.replace("3.5, 2", "3.5, 4")
    with pytest.raises(RuntimeError, match=r"cell 4 of 4 failed:(.|\n)*it-leads does not hold"):
        run_chapters.execute(nb, "small", tmp_path)


def test_a_failing_chapter_is_left_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nb = claim_notebook()
    nb.cells[1].source = "raise ValueError('spilt milk')"
    path = tmp_path / "01_broken.ipynb"
    nbformat.write(nb, path)
    before = path.read_bytes()
    assert run_chapters.run([path], "small") == 1
    assert path.read_bytes() == before
    shown = capsys.readouterr()
    assert "01_broken.ipynb: cell 3 of 4 failed" in shown.err and "spilt milk" in shown.err


def test_a_second_run_changes_nothing(stored_claim: Path) -> None:
    before = stored_claim.read_bytes()
    assert run_chapters.run([stored_claim], "small") == 0
    assert stored_claim.read_bytes() == before


# Normalising.


def picture(colour: int, note: str) -> str:
    """A PNG of one colour as base64; the note changes the file and not the pixels."""
    import base64
    import io

    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Note", note)
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (colour, 0, 0)).save(buffer, "png", pnginfo=info)
    return base64.b64encode(buffer.getvalue()).decode() + "\n"


def notebook_with_picture(png: str) -> NotebookNode:
    data = {"image/png": png, "text/plain": "<Axes at 0x7f12aa34bb90>"}
    outputs = [
        nbformat.v4.new_output("stream", name="stderr", text=" 50%|##   |"),
        nbformat.v4.new_output("stream", name="stdout", text="one\n"),
        nbformat.v4.new_output("stream", name="stdout", text="two\n"),
        nbformat.v4.new_output("display_data", data, metadata={"xferkit_claim": {"id": "x"}}),
    ]
    metadata = {"tags": ["hide-input"], "execution": {"iopub.status.busy": "2026-01-01"}, "collapsed": True}
    cell = nbformat.v4.new_code_cell("draw()", execution_count=17, outputs=outputs, metadata=metadata)
    nb = nbformat.v4.new_notebook(cells=[cell])
    nb.metadata["widgets"] = {"state": {}}
    nb.metadata["language_info"] = {"name": "python", "version": "3.11.7"}
    return nb


def test_normalise_keeps_results_and_drops_the_rest() -> None:
    nb = run_chapters.normalise(notebook_with_picture(picture(200, "a")))
    setup, cell = nb.cells
    assert setup.metadata.tags[0] == run_chapters.SETUP_TAG
    assert cell.execution_count == 2
    assert cell.metadata == {"tags": ["hide-input"], "jupyter": {"source_hidden": True}}
    assert [o.output_type for o in cell.outputs] == ["stream", "display_data"]
    assert cell.outputs[0].text == "one\ntwo\n"
    assert cell.outputs[1].data["text/plain"] == "<Axes at 0x…>"
    assert cell.outputs[1].metadata == {"xferkit_claim": {"id": "x"}}
    assert set(nb.metadata) == {"kernelspec", "language_info"}
    assert nb.metadata.language_info == {"name": "python"}


def test_normalise_is_idempotent_and_ids_follow_the_text() -> None:
    once = run_chapters.normalise(notebook_with_picture(picture(200, "a")))
    assert run_chapters.to_text(run_chapters.normalise(once)) == run_chapters.to_text(once)
    other = notebook_with_picture(picture(200, "a"))
    other.cells.insert(0, nbformat.v4.new_markdown_cell("# New first cell"))
    assert run_chapters.normalise(other).cells[-1].id == once.cells[-1].id
    twins = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x") for _ in range(3)])
    ids = [cell.id for cell in run_chapters.normalise(twins).cells]
    assert len(set(ids)) == 4


def test_a_picture_is_replaced_only_when_its_pixels_change() -> None:
    stored = run_chapters.normalise(notebook_with_picture(picture(200, "a")))
    kept = stored.cells[-1].outputs[-1].data["image/png"]
    same = run_chapters.normalise(notebook_with_picture(picture(200, "b")), stored)
    assert same.cells[-1].outputs[-1].data["image/png"] == kept
    changed = run_chapters.normalise(notebook_with_picture(picture(201, "a")), stored)
    assert changed.cells[-1].outputs[-1].data["image/png"] == picture(201, "a").strip() != kept


def test_unknown_chapter_is_named() -> None:
    with pytest.raises(SystemExit, match="No chapter matches zebra"):
        run_chapters.find_chapters(["zebra"])


def test_evidence_page_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert build_evidence.main(["--check"]) == 0, "run: python scripts/build_evidence.py"


def test_evidence_collects_claims_and_refuses_twins(tmp_path: Path) -> None:
    nb = notebook_with_picture(picture(1, "a"))
    nb.cells.insert(0, nbformat.v4.new_markdown_cell("# A chapter"))
    record = {"id": "x", "statement": "A *bold* claim.", "observed": "3 | 4", "margin": "more than 2 (1 to spare)"}
    record |= {"paper": "5 %", "source": "A, Table 1"}
    nb.cells[1].outputs[-1].metadata["xferkit_claim"] = record
    first, second = tmp_path / "01_a.ipynb", tmp_path / "02_b.ipynb"
    nbformat.write(nb, first)
    page = build_evidence.build([first])
    assert "## [A chapter](../chapters/01_a.ipynb)" in page
    assert '<a id="claim-x"></a>[x](../chapters/01_a.ipynb)\n: A \\*bold\\* claim.' in page
    shown = r"*Observed here:* 3 \| 4", "*Margin:* more than 2 (1 to spare)", "*Paper:* 5 % (A, Table 1)"
    assert "  " + "\\\n  ".join(shown) + "\n" in page
    nbformat.write(nb, second)
    with pytest.raises(ValueError, match=r"'x' stands in 01_a.ipynb and in 02_b.ipynb"):
        build_evidence.build([first, second])
