"""Execute the chapters in place and store their outputs in a form that changes only where a result changed.

    python scripts/run_chapters.py             every chapter
    python scripts/run_chapters.py 05 dann     those whose file name contains 05 or dann
    python scripts/run_chapters.py --normalise-only

The full profile writes to _build/full instead: the outputs stored with the chapters are those of the small profile.
A chapter that fails is left as it was.
"""

from __future__ import annotations

import argparse
import base64
import copy
import hashlib
import io
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
import yaml
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from PIL import Image
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = ROOT / "chapters"
SETUP_TAG = "setup-colab"
FOLDED = "hide-input"
CELL_TIMEOUT = 600  # seconds, as in `make test`

# Metadata that says something about the chapter. All else (timestamps, fold states, widgets, tool settings) goes.
KEPT_CELL_METADATA = ("tags", "mystnb", "nbgrader", "editable", "deletable", "xferkit")
KEPT_NOTEBOOK_METADATA = ("mystnb", "myst")
WIDGET_TYPES = ("application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json")


def find_chapters(filters: list[str], folder: Path = CHAPTERS) -> list[Path]:
    """The chapters in order, those whose file name contains one of the filters, or all."""
    chapters = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    chosen = [path for path in chapters if not filters or any(text in path.name for text in filters)]
    if filters and not chosen:
        names = ", ".join(path.stem for path in chapters) or "none yet"
        raise SystemExit(f"No chapter matches {' '.join(filters)}. There are: {names}")
    return chosen


def setup_source() -> str:
    """The Colab set-up cell. The repository's address comes from _config.yml."""
    url = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"].rstrip("/")
    return (
        "# On Google Colab this cell fetches the course and installs it; anywhere else it does nothing.\n"
        "import sys\n"
        "\n"
        'if "google.colab" in sys.modules:\n'
        f"    !git clone --quiet --depth 1 {url} /content/course\n"
        "    %pip install --quiet /content/course\n"
        "    %cd -q /content/course/chapters"
    )


def place_setup_cell(nb: NotebookNode) -> None:
    """Make the set-up cell the first code cell, with today's text."""
    cells = [cell for cell in nb.cells if SETUP_TAG not in cell.metadata.get("tags", [])]
    cell = nbformat.v4.new_code_cell(setup_source(), metadata={"tags": [SETUP_TAG, "remove-cell"]}, execution_count=1)
    first_code = next((i for i, other in enumerate(cells) if other.cell_type == "code"), len(cells))
    nb.cells = [*cells[:first_code], cell, *cells[first_code:]]


def normalise(nb: NotebookNode, stored: NotebookNode | None = None) -> NotebookNode:
    """A copy with everything gone that would differ between two runs with the same results.

    Args:
        stored: the version before the run; its pictures are kept where the new ones show the same pixels.
    """
    nb = copy.deepcopy(nb)
    place_setup_cell(nb)
    nb.cells = [cell for cell in nb.cells if cell.cell_type != "code" or cell.source.strip()]
    nb.nbformat, nb.nbformat_minor = 4, 5
    nb.metadata = NotebookNode(
        {key: nb.metadata[key] for key in KEPT_NOTEBOOK_METADATA if key in nb.metadata},
        kernelspec=NotebookNode(display_name="Python 3", language="python", name="python3"),
        language_info=NotebookNode(name="python"),
    )
    seen: dict[str, int] = {}
    count = 0
    for cell in nb.cells:
        cell.source = cell.source.rstrip()
        cell.id = _cell_id(cell, seen)
        cell.metadata = NotebookNode({k: cell.metadata[k] for k in KEPT_CELL_METADATA if k in cell.metadata})
        if cell.cell_type != "code":
            continue
        if FOLDED in cell.metadata.get("tags", []):
            cell.metadata["jupyter"] = NotebookNode(source_hidden=True)  # JupyterLab folds it, as the book does
        count += 1
        executed = cell.execution_count is not None
        cell.execution_count = count if executed else None
        cell.outputs = normalise_outputs(cell.outputs, cell.execution_count)
    if stored is not None:
        _keep_identical_pictures(nb, stored)
    return nb


def _cell_id(cell: NotebookNode, seen: dict[str, int]) -> str:
    """An id made from the cell's text: it survives a rebuild of the notebook and cells that come and go before it."""
    digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:10]
    seen[digest] = seen.get(digest, 0) + 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


def normalise_outputs(outputs: list[NotebookNode], count: int | None) -> list[NotebookNode]:
    kept: list[NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream":
            if output.name == "stderr":  # progress bars and library chatter
                continue
            if kept and kept[-1].output_type == "stream":
                kept[-1].text += output.text
                continue
        if output.output_type == "execute_result":
            output.execution_count = count
        for widget in WIDGET_TYPES:
            output.get("data", {}).pop(widget, None)
        if "data" in output and not output.data:
            continue
        for key, value in output.get("data", {}).items():
            if isinstance(value, str):
                value = re.sub(r" at 0x[0-9a-fA-F]{6,}>", " at 0x…>", value)
                output.data[key] = value.strip() if key.startswith("image/") else value
        kept.append(output)
    return kept


def _keep_identical_pictures(nb: NotebookNode, stored: NotebookNode) -> None:
    old_cells = {cell.get("id"): cell for cell in normalise(stored).cells}
    for cell in nb.cells:
        old_outputs = old_cells.get(cell.id, {}).get("outputs", [])
        for new, old in zip(cell.get("outputs", []), old_outputs, strict=False):
            before, after = old.get("data", {}).get("image/png"), new.get("data", {}).get("image/png")
            if before and after and before != after and _same_pixels(before, after):
                new.data["image/png"] = before


def _same_pixels(a: str, b: str) -> bool:
    first, second = (Image.open(io.BytesIO(base64.b64decode(text))).convert("RGBA") for text in (a, b))
    return first.size == second.size and first.tobytes() == second.tobytes()


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def to_text(nb: NotebookNode) -> str:
    """The file's text, the same for the same notebook."""
    nbformat.validate(nb)
    return nbformat.writes(nb, sort_keys=True).rstrip("\n") + "\n"


def write_if_changed(nb: NotebookNode, path: Path) -> bool:
    """Write the notebook unless the file holds just that; says whether it wrote."""
    text = to_text(nb)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return True


def execute(nb: NotebookNode, profile: str, folder: Path = CHAPTERS) -> NotebookNode:
    """Run a copy of the notebook from its first cell to its last in the Python that runs this script.

    Raises:
        RuntimeError: a cell failed, ran too long, or the kernel died; the text says which cell and why.
    """
    nb = copy.deepcopy(nb)
    place_setup_cell(nb)
    running: list[int] = [0]
    client = NotebookClient(
        nb,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        on_cell_start=lambda cell, cell_index: running.__setitem__(0, cell_index),
    )
    # What is stored was computed in this run: the chapter starts without features from earlier ones.
    empty = tempfile.TemporaryDirectory(prefix="xferkit-features-", ignore_cleanup_errors=True)
    try:
        with empty as cache:
            client.execute(env={**os.environ, "XFERKIT_PROFILE": profile, "XFERKIT_CACHE": cache})
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        cell = nb.cells[running[0]]
        head = "\n".join(f"    {line}" for line in cell.source.splitlines()[:8])
        raise RuntimeError(f"cell {running[0] + 1} of {len(nb.cells)} failed:\n{head}\n{_short(error)}") from error
    return nb


def _short(error: Exception) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    return "\n".join(f"    {line}" for line in text.splitlines()[-12:])


def run(chapters: list[Path], profile: str) -> int:
    """Execute the chapters one after another; returns how many failed."""
    failures: list[tuple[Path, str]] = []
    seconds: dict[str, float] = {}
    bar = tqdm(chapters, unit="chapter", file=sys.stderr)
    for path in bar:
        bar.set_description(path.stem)
        start = time.perf_counter()
        stored = read(path)
        target = path if profile == "small" else ROOT / "_build" / profile / path.name
        try:
            done = normalise(execute(stored, profile, path.parent), stored)
        except RuntimeError as error:
            failures.append((path, str(error)))
            tqdm.write(f"{path.stem:<28} FAILED", file=sys.stdout)
            continue
        seconds[path.stem] = time.perf_counter() - start
        changed = "stored" if write_if_changed(done, target) else "as before"
        tqdm.write(f"{path.stem:<28} {seconds[path.stem]:7.1f} s   {changed}", file=sys.stdout)
    if len(seconds) > 1:
        print(f"{'together':<28} {sum(seconds.values()):7.1f} s")
    for path, why in failures:
        print(f"\n{path.name}: {why}\n  The file was left as it was.", file=sys.stderr)
    return len(failures)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Execute the chapters in place and normalise what is stored.")
    parser.add_argument("filters", nargs="*", help="run only chapters whose file name contains one of these")
    parser.add_argument("--profile", choices=["small", "full"], default=os.environ.get("XFERKIT_PROFILE", "small"))
    parser.add_argument("--normalise-only", action="store_true", help="do not execute; only normalise what is stored")
    options: Any = parser.parse_args(arguments)
    chapters = find_chapters(options.filters)
    if not chapters:
        print("There is no chapter in chapters/ yet.")
    if options.normalise_only:
        for path in chapters:
            print(f"{path.stem:<28} {'normalised' if write_if_changed(normalise(read(path)), path) else 'as before'}")
        return 0
    return 1 if run(chapters, options.profile) else 0


if __name__ == "__main__":
    sys.exit(main())
