"""For an assignment's own tests: grade pieces of source code without submission files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from xfergrade.assignment import load_assignment
from xfergrade.judging import Judge, Verdict
from xfergrade.sandbox import Sandbox


def grade_sources(
    assignment: str | Path,
    *,
    secret: bytes,
    sources: Mapping[str, dict[str, str] | str],
    isolation: str = "bwrap",
    vary: bool = False,
) -> dict[str, dict[str, Verdict]]:
    """Verdicts by check id for each named version of an assignment's code.

    Args:
        sources: for each name the code of some cells by grade_id (the others are the solution's); or the word "stub"
            for what students start with, or "solution".
        vary: grade what the secret makes of the assignment, instead of the source as it stands.
    Raises:
        AssignmentError: the assignment is inconsistent, or its own solution fails. KeyError: an unknown grade_id.
    """
    loaded = load_assignment(Path(assignment), secret if vary else None)
    solution = loaded.source.cells()
    students = {cell_id for cell_id, _, own in loaded.source.run if own}
    result: dict[str, dict[str, Verdict]] = {}
    with Sandbox(loaded.spec.modules, loaded.spec.limits, isolation) as sandbox:
        judge = Judge(loaded, secret, sandbox)
        for name, given in sources.items():
            if isinstance(given, str):
                given = {} if given == "solution" else {i: loaded.source.stubs[i] for i in students}
            unknown = set(given) - students
            if unknown:
                raise KeyError(f"{name}: no solution cell has the grade_id {sorted(unknown)}.")
            verdicts, _ = judge.grade_cells(tuple((i, given.get(i, code)) for i, code in solution))
            result[name] = {v.check: v for v in verdicts}
    return result
