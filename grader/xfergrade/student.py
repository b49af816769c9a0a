"""`check("…")` in a notebook: the visible checks, in the student's own process, with messages that teach.

Nothing here decides a grade. The hidden checks are not in the bundle; the same checks run again on other inputs when
the work is graded.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from xfergrade import calling, wire
from xfergrade.bundle import Bundle, CheckFailed
from xfergrade.compare import from_json


@lru_cache(maxsize=8)
def _load_bundle(path: Path, changed: float) -> Bundle:
    return wire.load(path.read_bytes())


def find_bundle(folder: Path) -> Bundle:
    """The checks that lie beside a notebook.

    Raises:
        FileNotFoundError: none, or more than one.
    """
    found = sorted(folder.glob("*.checks"))
    if len(found) == 1:
        return _load_bundle(found[0], found[0].stat().st_mtime)
    if not found and (folder / "checks.py").is_file():
        from xfergrade.author import build_bundle  # the assignment's author is at work, who has the grader

        return build_bundle(folder, max(p.stat().st_mtime for p in folder.iterdir()))
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
    # What stands in for earlier parts when this is graded is an answer, so it is not in a student's file.
    given = ", ".join(f"`{name}`" for name in spec.get("given", ()))
    own = f" It calls your own {given}; the grader puts right ones there." if given else ""
    compare, drivers = from_json(spec["compare"]), calling.load_drivers(bundle["drivers"])
    for case in spec["cases"]:
        args = wire.decode(case["args"], blob, tensors=True)
        try:
            value = calling.call(namespace, drivers, case["target"], args, case["seed"])
        except NotImplementedError:
            raise CheckFailed(f"✗ {check_id}: not written yet.{own}") from None
        except NameError as error:
            raise CheckFailed(f"✗ {check_id}: {error}. Run the cell that defines it first.{own}") from None
        # Any other exception is the student's to see whole: its stack points at the line.
        answer = bytearray()
        try:
            got = wire.decode(wire.encode(value, answer), bytes(answer))
        except wire.WireError as error:
            raise CheckFailed(f"✗ {check_id}: {error}.") from None
        problem = compare(wire.decode(case["expected"], blob), got, args)
        if problem is not None:
            raise CheckFailed(f"✗ {check_id}: {problem}\n  Hint: {spec['hint']}{own}")
    return f"✓ {check_id}: right on {len(spec['cases'])} random inputs ({spec['points']:g} points, graded on others)."


def check_notebook(path: Path) -> bool:
    """Run a notebook's marked cells as the grader would, and every visible check; print what happened.

    This runs the notebook's code without isolation: it is for one's own work.

    Raises:
        NotebookError: not a notebook. FileNotFoundError: no checks beside it.
    """
    from xfergrade.notebook import read_notebook

    notebook = read_notebook(path.read_bytes())
    bundle, blob = find_bundle(path.resolve().parent)
    cells = [(i, code if code is not None else notebook.code(i)) for i, code in bundle["cells"]]
    problems: list[str] = []

    def note(message: dict[str, Any], _: bytes) -> None:
        problems.extend(f"note, {message['step']}: {what}" for what in message.get("skipped", ()))
        if "error" in message:
            problems.append(f"✗ {message['step']}: {message['error']['type']}: {message['error']['message']}")

    main = sys.modules["__main__"]
    try:
        namespace = calling.run_cells([(i, code) for i, code in cells if code is not None], note)
    finally:
        sys.modules["__main__"] = main
    for line in problems:
        print(line)
    passed = not any(line.startswith("✗") for line in problems)
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
