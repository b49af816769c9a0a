"""`check("…")` in a notebook: the visible checks, in the student's own process, with messages that teach.

Nothing here decides a grade. The hidden checks are not in the bundle; the same checks run again on other inputs when
the work is graded.
"""

from __future__ import annotations

import json
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from xfergrade import wire, worker
from xfergrade.checks import Judge, load_assignment
from xfergrade.compare import from_json
from xfergrade.notebook import read_notebook
from xfergrade.release import make_bundle
from xfergrade.sandbox import Sandbox


class CheckFailed(AssertionError):
    """A check did not pass. Notebooks show the message without the stack."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


@lru_cache(maxsize=8)
def _load_bundle(path: Path, changed: float) -> tuple[dict[str, Any], bytes]:
    return worker.load_inputs(path.read_bytes())


@lru_cache(maxsize=8)
def _build_bundle(folder: Path, changed: float) -> tuple[dict[str, Any], bytes]:
    """The bundle of a source folder, for whoever writes the assignment."""
    loaded = load_assignment(folder)
    with Sandbox(loaded.spec.modules, loaded.spec.limits, isolation="none") as sandbox:
        return worker.load_inputs(make_bundle(loaded, sandbox))


def find_bundle(folder: Path) -> tuple[dict[str, Any], bytes]:
    """The checks that lie beside a notebook.

    Raises:
        FileNotFoundError: none, or more than one.
    """
    found = sorted(folder.glob("*.checks"))
    if len(found) == 1:
        return _load_bundle(found[0], found[0].stat().st_mtime)
    if not found and (folder / "checks.py").is_file():
        return _build_bundle(folder, max(p.stat().st_mtime for p in folder.iterdir()))
    names = ", ".join(p.name for p in found) or "none"
    raise FileNotFoundError(
        f"the checks come in one file NAME.checks beside the notebook; found in {folder}: {names}. "
        "Open the notebook from the folder that the assignment's zip unpacks to."
    )


def check(check_id: str) -> None:
    """Run one visible check on the functions that the notebook has defined.

    Raises:
        CheckFailed: not right yet; the message says what was expected, what came, and the usual cause.
        KeyError: the assignment has no such visible check.
        FileNotFoundError: the file with the checks is not beside the notebook.
    """
    namespace = sys._getframe(1).f_globals
    bundle, blob = find_bundle(Path.cwd())
    print(run_check(bundle, blob, check_id, namespace))


def run_check(bundle: dict[str, Any], blob: bytes, check_id: str, namespace: dict[str, Any]) -> str:
    """One visible check on the functions in `namespace`: a line that says it passed.

    Raises:
        CheckFailed: not right yet. KeyError: no such visible check.
    """
    listed = {c["id"]: c for c in bundle["checks"]}
    if check_id not in listed:
        raise KeyError(f"no visible check is called {check_id!r}. There are: {', '.join(listed)}.")
    spec = listed[check_id]
    compare, drivers = from_json(spec["compare"]), worker.load_drivers(bundle["drivers"])
    for case in spec["cases"]:
        args = wire.decode(case["args"], blob, tensors=True)
        try:
            value = worker.call(namespace, drivers, case["target"], args, case["seed"])
        except NotImplementedError:
            raise CheckFailed(f"✗ {check_id}: not written yet.") from None
        except NameError as error:
            raise CheckFailed(f"✗ {check_id}: {error}. Run the cell that defines it first.") from None
        # Any other exception is the student's to see whole: its stack points at the line.
        answer = bytearray()
        try:
            got = wire.decode(wire.encode(value, answer), bytes(answer))
        except wire.WireError as error:
            raise CheckFailed(f"✗ {check_id}: {error}.") from None
        problem = compare(wire.decode(case["expected"], blob), got, args)
        if problem is not None:
            raise CheckFailed(f"✗ {check_id}: {problem}\n  Hint: {spec['hint']}")
    return f"✓ {check_id}: right on {len(spec['cases'])} random inputs ({spec['points']:g} points, graded on others)."


def check_part(part: str) -> None:
    """Every check of a part, on inputs from the secret: for nbgrader's autograder, inside the student's process.

    Reads the environment: `XFERGRADE_ASSIGNMENT`, the assignment's source folder, and `XFERGRADE_SECRET`, the file.

    Raises:
        CheckFailed: a check of the part did not pass.
        RuntimeError: the environment does not say where the assignment and the secret are.
    """
    folder, secret = os.environ.get("XFERGRADE_ASSIGNMENT"), os.environ.get("XFERGRADE_SECRET")
    if not folder or not secret:
        raise RuntimeError("set XFERGRADE_ASSIGNMENT and XFERGRADE_SECRET for the autograder (instructor's guide).")
    judge = _nbgrader_judge(Path(folder), Path(secret).read_bytes().strip())
    namespace = sys._getframe(1).f_globals
    drivers = worker.load_drivers(judge.loaded.drivers)
    failed = []
    for spec in judge.loaded.spec.checks:
        for case in judge.cases[spec.id] if spec.part == part else ():
            args, blob = wire.encode(case.args, data := bytearray()), bytearray()
            value = worker.call(namespace, drivers, spec.call, wire.decode(args, bytes(data), tensors=True), case.seed)
            got = wire.decode(wire.encode(value, blob), bytes(blob))
            problem = spec.compare(judge.expected[case.name], got, case.args)
            if problem is not None:
                failed.append(f"{spec.id}: {problem} {spec.hint}")
                break
    if failed:
        raise CheckFailed("\n".join(failed))


@lru_cache(maxsize=2)
def _nbgrader_judge(folder: Path, secret: bytes) -> Judge:
    loaded = load_assignment(folder)
    with Sandbox(loaded.spec.modules, loaded.spec.limits, isolation="none") as sandbox:
        return Judge(loaded, secret, sandbox)


def check_notebook(path: Path) -> bool:
    """Run a notebook's marked cells as the grader would, and every visible check; print what happened.

    This runs the notebook's code without isolation: it is for one's own work.

    Raises:
        NotebookError: not a notebook. FileNotFoundError: no checks beside it.
    """
    notebook = read_notebook(path.read_bytes())
    bundle, blob = find_bundle(path.resolve().parent)
    cells = [[i, code if code is not None else notebook.code(i)] for i, code in bundle["cells"]]
    problems: list[str] = []

    def note(message: dict[str, Any], _: bytes) -> None:
        if "error" in message:
            problems.append(f"✗ {message['step']}: {message['error']['type']}: {message['error']['message']}")

    job = {"cells": [c for c in cells if c[1] is not None], "calls": []}
    main = sys.modules["__main__"]
    worker.run(json.loads(json.dumps(job)), {"drivers": None}, b"", note)
    namespace = vars(sys.modules["__main__"])
    sys.modules["__main__"] = main
    for line in problems:
        print(line)
    passed = not problems
    for spec in bundle["checks"]:
        try:
            print(run_check(bundle, blob, spec["id"], namespace))
        except CheckFailed as error:
            print(error)
            passed = False
        except Exception as error:
            print(f"✗ {spec['id']}: raised {type(error).__name__}: {error}")
            passed = False
    return passed
