"""What the long experiments found: one file each in `results/`, all with one schema, checked when read and written.

    from xferkit import results

    found = results.load("fine_tuning")
    found.settings["steps"], found.selection, found.test["noto"]
    found.runs(part="main", method="LP-FT")                      # list of flat dicts: settings and outcome of each run
    found.array("accuracy.noto", part="main", method="LP-FT")    # (seeds,)
    found.array("train_error", over="depth", residual=True)      # (seeds, depths)

The chapters read these files; `experiments/lab.py` writes them.
"""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xferkit._schema import parse, validate

Run = dict[str, Any]


@dataclass(frozen=True)
class Results:
    """One file of `results/`.

    `settings` hold for every run; `selection` says what was chosen and by what, `test` gives accuracies on the test
    part: domain ↦ name ↦ one number a seed. Both are None where nothing was chosen, or no test label read. The
    `environment` names versions, device, processor and threads; `carried_over` in it says that the runs are older.
    """

    name: str
    question: str
    script: str
    settings: dict[str, Any]
    data_sha256: str
    environment: dict[str, Any]
    selection: dict[str, Any] | None
    test: dict[str, dict[str, list[float]]] | None
    _runs: tuple[Run, ...]

    def runs(self, **where: Any) -> list[Run]:
        """The runs that agree with every keyword, in the file's order: each a flat dict of settings and outcome.

        A tuple, list, set or range stands for any of its members: `runs(seed=(0, 1, 2))`.

        Raises:
            ValueError: a keyword is no setting of any run, or no run agrees with all of them.
        """
        flat = [{"key": r["key"], **r["job"], **r["result"], "seconds": r["seconds"]} for r in self._runs]
        for name, wanted in where.items():
            if not any(name in run for run in flat):
                known = sorted({field for run in self._runs for field in run["job"]})
                raise ValueError(f"{self.name}: no run has {name!r}. The settings of its runs are: {', '.join(known)}.")
            left = [run for run in flat if name in run and _agrees(run[name], wanted)]
            if not left:
                there = sorted({repr(run[name]) for run in flat if name in run})
                raise ValueError(f"{self.name}: no run with {name}={wanted!r} among these: {', '.join(there)}.")
            flat = left
        return copy.deepcopy(flat)

    def array(
        self,
        value: str | Callable[[Run], Any],
        *,
        over: str | None = None,
        points: Sequence[Any] | None = None,
        **where: Any,
    ) -> np.ndarray:
        """One value of each run that agrees with the keywords: (S,) by seed, or (S, P) by seed and point.

        A value that is a list, such as a curve of length L, adds a last axis.

        Args:
            value: a name, dotted into dicts ("accuracy.noto"), or a function of the run.
            over: the setting along the second axis, such as "depth"; `points` are its values in the order wanted
                (default: all, ascending).
        Raises:
            ValueError: not exactly one run for each seed and point.
        """
        runs = self.runs(**where)
        if any("seed" not in run or (over is not None and over not in run) for run in runs):
            raise ValueError(f"{self.name}: array needs runs with 'seed'" + (f" and {over!r}." if over else "."))
        columns: Sequence[Any] = [None]
        if over is not None:
            columns = sorted({run[over] for run in runs}) if points is None else points
        seeds = sorted({run["seed"] for run in runs})
        rows = []
        for seed in seeds:
            row = []
            for point in columns:
                cell = [r for r in runs if r["seed"] == seed and (over is None or r[over] == point)]
                if len(cell) != 1:
                    at = f"seed={seed}" + (f", {over}={point!r}" if over else "")
                    raise ValueError(f"{self.name}: {len(cell)} runs with {at}, exactly one is needed: add keywords.")
                row.append(value(cell[0]) if callable(value) else _inside(cell[0], value, self.name))
            rows.append(row[0] if over is None else row)
        return np.asarray(rows, dtype=float)


def _agrees(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, Collection) and not isinstance(wanted, str | Mapping):
        return found in wanted or found == wanted
    return bool(found == wanted) and isinstance(found, bool) == isinstance(wanted, bool)


def _inside(run: Run, path: str, name: str) -> Any:
    value: Any = run
    for part in path.split("."):
        if not isinstance(value, dict) or part not in value:
            raise ValueError(f"{name}: a run has no {path!r}. It has: {', '.join(map(str, run))}.")
        value = value[part]
    return value


def folder() -> Path:
    """Where the result files lie: `XFERKIT_RESULTS`, or `results/` of the course's checkout.

    The checkout is the one that holds the working folder, or else the one that xferkit was installed from.

    Raises:
        FileNotFoundError: there is no checkout, and the variable is not set.
    """
    if chosen := os.environ.get("XFERKIT_RESULTS"):
        return Path(chosen).expanduser()
    for place in (Path.cwd(), *Path.cwd().parents, Path(__file__).resolve().parents[1]):
        if (place / "experiments" / "lab.py").is_file():
            return place / "results"
    raise FileNotFoundError(
        f"the course's results/ folder was not found from {Path.cwd()}: work in a checkout of the course, or set "
        "XFERKIT_RESULTS to that folder."
    )


def load(name: str) -> Results:
    """The results called `name`, such as "fine_tuning".

    Raises:
        OSError: the file is missing, or cannot be read as JSON.
        ValueError: it does not follow the schema.
    """
    path = folder() / f"{name.removesuffix('.json')}.json"
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in path.parent.glob("*.json"))) or "none"
        raise FileNotFoundError(f"{path} is missing: git checkout brings it back. Results that are there: {there}.")
    data = path.read_bytes()
    try:
        record = parse(data)
    except ValueError as error:
        raise OSError(
            f"{path} is damaged ({error}; SHA-256 {hashlib.sha256(data).hexdigest()}): "
            f"git checkout results/{path.name} brings it back, or run its script again."
        ) from None
    validate(record, path.name)
    del record["sha256"]
    return Results(name=path.stem, _runs=tuple(record.pop("runs")), **record)
