"""Answers against expectations, outside the sandbox: verdicts, and what they say to the student.

The expected answers are what the source notebook's own solution gives for the same inputs, or a `truth` that the draw
keeps outside. An answer is compared when it arrives and not kept: a submission decides how large its answers are.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from xfergrade import wire
from xfergrade.answers import Answer, Job, Stage
from xfergrade.assignment import AssignmentError, Loaded
from xfergrade.draws import Case, decoded, draw, encode_calls
from xfergrade.notebook import Notebook
from xfergrade.sandbox import Sandbox
from xfergrade.spec import MISSING, Check, Limits
from xfergrade.text import clean_text

MARGIN = 5  # a step has at least this many times the seconds that the source's own solution takes, here and now


@dataclass(frozen=True)
class Verdict:
    """How one check went."""

    check: str
    part: str
    passed: bool
    points: float
    out_of: float
    message: str


def job(loaded: Loaded, cells: tuple[tuple[str, str], ...], checks: Iterable[Check]) -> Job:
    """The cells, then the calls: those without given functions, then a stage for each set of given cells.

    A stage is a process of its own, so that what is given in one cannot be handed to another.
    """
    plain: list[str] = []
    stages: dict[tuple[str, ...], tuple[list[str], set[str]]] = {}
    for check in checks:
        names = [f"{check.id}#{number}" for number in range(check.cases)]
        if check.given:
            calls, given = stages.setdefault(loaded.given_cells(check), ([], set()))
            calls += names
            given |= set(check.given)
        else:
            plain += names
    return Job(
        cells,
        tuple(plain),
        tuple(Stage(tuple(calls), tuple(sorted(given)), code) for code, (calls, given) in stages.items()),
    )


def expected_answers(loaded: Loaded, cases: dict[str, list[Case]], sandbox: Sandbox) -> dict[str, Any]:
    """What the source's own solution answers, by case; the truth instead where the draw gives one.

    The solution runs in the sandbox like a submission, in a process that ends before the first submission starts.

    Raises:
        AssignmentError: the solution itself fails, or fails its own checks.
    """
    checks = [check for check in loaded.spec.checks if check.id in cases]
    answers = sandbox.run(job(loaded, loaded.source.cells(), checks))
    # On a slow machine the same work takes longer, and must not cost points.
    sandbox.allow(MARGIN * max((answer.seconds for answer in answers.values()), default=0))
    for step, answer in answers.items():
        if answer.status != "ok":
            raise AssignmentError(f"{loaded.name}: the solution fails at {step}: {explain(answer, sandbox.limits)}")
    expected: dict[str, Any] = {}
    for check in checks:
        for case in cases[check.id]:
            answer = answers[f"call {case.name}"].value
            expected[case.name] = answer if case.truth is MISSING else decoded(case.truth)
            problem = compared(check, case, expected[case.name], answer)
            if problem is not None:
                raise AssignmentError(f"{loaded.name}: the solution fails the check {check.id}: {problem}")
    return expected


def compared(check: Check, case: Case, expected: Any, got: Any) -> str | None:
    """What is wrong with an answer, in words; None where nothing is."""
    try:
        problem = check.compare(expected, got, case.args)
    except Exception as error:  # a comparison of the assignment's own, on an answer its author did not think of
        problem = f"the answer could not be compared ({type(error).__name__})."
    return None if problem is None else f"{problem} {check.hint}"


def explain(answer: Answer, limits: Limits) -> str:
    """What happened to a step that gave no value, for the student. By its status: text is the submission's own."""
    error = answer.error or {"type": "", "message": "", "cell": "", "line": 0}
    match answer.status:
        case "time":
            return f"did not finish within {limits.seconds:g} s."
        case "ended":
            return f"the program ended during this step ({answer.value}); a function should return instead."
        case "missing":
            return "nothing was handed in that could be graded."
        case "skipped":
            return f"was not run: the submission had used up its {limits.total_seconds:g} s."
        case "lost":
            return "was not run again: another input of this check had ended the program."
        case "size":
            return f"{error['message']}."
        case "unsendable":
            return f"the answer cannot be handed in: {error['message']}."
    if error["type"] == "NotImplementedError":
        return "not written yet: the function raises NotImplementedError."
    where = f" (cell {error['cell']}, line {error['line']})" if error["cell"] else ""
    return f"raised {error['type']}: {error['message']}{where}.{_HINTS.get(error['type'], '')}"


_HINTS = {
    "NameError": " Only the marked cells run: helpers and imports belong in the cell that uses them.",
    "PermissionError": " The grader has no processes, programs, network or files of yours: joblib wants n_jobs=1, a "
    "DataLoader num_workers=0.",
    "ModuleNotFoundError": " Only what the course's environment has can be imported.",
}


class Judge:
    """Everything that one run of grading needs: the open sandbox, the drawn inputs, the expected answers."""

    def __init__(self, loaded: Loaded, secret: bytes, sandbox: Sandbox) -> None:
        self.loaded, self.sandbox = loaded, sandbox
        self.cases = draw(loaded, secret)
        sandbox.set_inputs(loaded.drivers, *encode_calls(loaded, self.cases))
        self.expected = expected_answers(loaded, self.cases, sandbox)
        self._by_call = {f"call {case.name}": (c, case) for c in loaded.spec.checks for case in self.cases[c.id]}

    def digests(self) -> dict[str, str]:
        """For each check a digest of everything that its verdict on a submission hangs on."""
        locked = [code for _, code, own in self.loaded.source.run if not own]
        order = [cell_id for cell_id, _, _ in self.loaded.source.run]
        result: dict[str, str] = {}
        for check in self.loaded.spec.checks:
            blob = bytearray()
            trees = [
                (wire.encode(case.args, blob), wire.encode(self.expected[case.name], blob), case.seed)
                for case in self.cases[check.id]
            ]
            compare = inspect.getsource(check.compare) if inspect.isfunction(check.compare) else repr(check.compare)
            drivers = self.loaded.drivers if check.call.startswith("drivers.") else None
            facts = [check.part, check.points, check.call, check.hint, compare, check.given, trees, locked, order]
            text = json.dumps([*facts, drivers, self.loaded.given_cells(check)])
            result[check.id] = hashlib.sha256(text.encode() + bytes(blob)).hexdigest()[:16]
        return result

    def grade(
        self, submission: Notebook | None, only: Collection[str] | None = None
    ) -> tuple[list[Verdict], list[str]]:
        """Verdicts for a submission (None: the source's own solution), and notes on cells.

        Args:
            only: the ids of the checks to run; all where it is None.
        Raises:
            Ungraded: the machine, and not the submission, ended it.
        """
        return self.grade_cells(self.loaded.source.cells(submission), only)

    def grade_cells(
        self, cells: tuple[tuple[str, str], ...], only: Collection[str] | None = None
    ) -> tuple[list[Verdict], list[str]]:
        """The same for cells given as (grade_id, code)."""
        checks = [c for c in self.loaded.spec.checks if only is None or c.id in only]
        answers = self.sandbox.run(job(self.loaded, cells, checks), self._judged)
        notes: list[str] = []
        for step, answer in answers.items():
            if step.startswith("cell "):
                notes += [clean_text(f"{step}: {what}") for what in answer.skipped]
                if answer.status != "ok":
                    notes.append(clean_text(f"{step}: {explain(answer, self.sandbox.limits)}"))
        return [self._verdict(check, answers) for check in checks], notes

    def _judged(self, step: str, answer: Answer) -> Answer:
        """The answer with what is wrong about it in the place of its value."""
        if step not in self._by_call or answer.status != "ok":
            return answer
        check, case = self._by_call[step]
        return answer.with_value(compared(check, case, self.expected[case.name], answer.value))

    def _verdict(self, check: Check, answers: dict[str, Answer]) -> Verdict:
        """Points where every case is right, otherwise what went wrong in the first other."""
        for case in self.cases[check.id]:
            answer = answers[f"call {case.name}"]
            problem = answer.value if answer.status == "ok" else explain(answer, self.sandbox.limits)
            if problem is not None:
                return Verdict(check.id, check.part, False, 0.0, check.points, clean_text(problem, 1000))
        return Verdict(check.id, check.part, True, check.points, check.points, "")


def nothing_handed_in(loaded: Loaded) -> list[Verdict]:
    """Verdicts where there is nothing to grade."""
    message = explain(Answer("missing"), loaded.spec.limits)
    return [Verdict(c.id, c.part, False, 0.0, c.points, message) for c in loaded.spec.checks]
