"""Measure by how much the numbers of chapters vary from run to run, and store a tolerance for each cell that varies.

    python scripts/measure_spread.py                  every chapter, in each of the WAYS
    python scripts/measure_spread.py 05               those whose file name contains 05
    python scripts/measure_spread.py 05 --with ~/other_machine ~/gpu    and the executed chapters in these folders
    python scripts/measure_spread.py --only-with ~/other_machine        compare what is stored with these, run nothing
    python scripts/measure_spread.py 05 --keep ~/runs                   write the runs there, for another machine's

The ways: one thread, one thread with the vector instructions of an older processor, two threads. The last run, with
two threads, is stored as `run_chapters.py` does, with the tolerances: for numbers of each kind (so many decimals) in a
cell three times the largest difference between two runs, and at least one unit of the last digit where there was a
difference. What never differed stays exact.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.comparing import spread  # noqa: E402
from scripts.rules import VARIES  # noqa: E402
from scripts.run_chapters import execute, find_chapters, normalise, read, write_if_changed  # noqa: E402

# What each library reads to leave newer instructions out: torch's own kernels, its convolutions, its and NumPy's BLAS.
OLDER = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX",
}
WAYS: dict[str, dict[str, str]] = {"1": {}, "older": OLDER, "2": {}}  # the last one's run is stored
FACTOR = 3  # times the largest difference seen


def rounded_up(value: float) -> float:
    """To two digits, upwards."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / unit - 1e-9) * unit:.2g}")


def tolerance_of(runs: Sequence[list[Any]], where: str = "") -> dict[str, float]:
    """A cell's tolerances, from its outputs in several runs.

    Raises:
        ValueError: its words differ from run to run: no tolerance can mend that.
    """
    largest: dict[str, float] = {}
    for a, b in itertools.combinations(runs, 2):
        try:
            for kind, gap in spread(a, b):
                largest[kind] = max(gap, largest.get(kind, 0.0))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    found = {}
    for kind, gap in sorted(largest.items()):
        if gap:
            least = 0.0 if kind == "e" else 10.0 ** -int(kind)
            found[kind] = rounded_up(max(FACTOR * gap, least))
    return found


def with_tolerances(
    stored: NotebookNode, runs: Sequence[NotebookNode], name: str, *, widen: bool = False
) -> tuple[NotebookNode, list[str]]:
    """The stored chapter with each cell's tolerance, and what could not be measured, in words.

    Args:
        widen: tolerances measured before stay where they are larger.
    Raises:
        ValueError: the runs are not of this chapter.
    """
    problems = []
    for run in runs:
        if [c.source for c in run.cells] != [c.source for c in stored.cells]:
            raise ValueError(f"{name}: a run has other cells than the chapter: run it anew there.")
    for i, cell in enumerate(stored.cells):
        if cell.cell_type != "code":
            continue
        settings = dict(cell.metadata.get("xferkit", {}))
        before = dict(settings.pop("tolerance", {}))
        before = before if widen else {}
        if VARIES not in cell.metadata.get("tags", []):
            try:
                found = tolerance_of([run.cells[i].outputs for run in [stored, *runs]], f"{name}, cell {i}")
                if found := {k: max(found.get(k, 0), before.get(k, 0)) for k in sorted({*found, *before})}:
                    settings["tolerance"] = found
            except ValueError as error:
                problems.append(str(error))
        cell.metadata.pop("xferkit", None)
        if settings:
            cell.metadata["xferkit"] = NotebookNode(settings)
    return stored, problems


def run_in(way: str, path: Path) -> NotebookNode:
    """One run of a chapter; its file is left alone."""
    threads = way if way.isdigit() else "1"
    wanted = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, **WAYS[way]}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        return normalise(execute(read(path), "small", path.parent), read(path))
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("filters", nargs="*", help="only chapters whose file name contains one of these")
    parser.add_argument("--with", nargs="*", type=Path, default=[], dest="others", help="folders of executed chapters")
    parser.add_argument("--only-with", nargs="*", type=Path, default=[], help="the same, and nothing is run here")
    parser.add_argument("--ways", nargs="*", choices=list(WAYS), default=list(WAYS), help="the last one is stored")
    parser.add_argument("--keep", type=Path, help="a folder for the runs themselves")
    options = parser.parse_args(arguments)
    failed = 0
    for path in tqdm(find_chapters(options.filters), unit="chapter"):
        runs = [] if options.only_with else [run_in(way, path) for way in options.ways]
        if options.keep:
            for way, run in zip(options.ways, runs, strict=False):
                write_if_changed(run, options.keep / way / path.name)
        stored = runs.pop() if runs else read(path)
        folders = [*options.others, *options.only_with]
        runs += [normalise(read(folder / path.name)) for folder in folders if (folder / path.name).is_file()]
        done, problems = with_tolerances(stored, runs, path.stem, widen=bool(options.only_with))
        changed = "stored" if write_if_changed(done, path) else "as before"
        cells = [cell for cell in done.cells if cell.metadata.get("xferkit", {}).get("tolerance")]
        tqdm.write(f"{path.stem:<28} {len(cells)} cells with a tolerance, from {len(runs) + 1} runs   {changed}")
        for cell in cells:
            tqdm.write(f"    {cell.execution_count}: {dict(cell.metadata.xferkit.tolerance)}")
        for problem in problems:
            tqdm.write(f"    {problem}")
        failed += len(problems)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
