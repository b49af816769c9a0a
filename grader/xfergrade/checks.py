"""What an assignment checks, and how it is judged. All of this stays outside the sandbox.

Inputs are drawn from seeds that derive from the instructor's secret (HMAC-SHA256), so that knowing this code, and the
assignment's, does not tell anybody the graded inputs. The expected answers are what the source notebook's own solution
gives for the same inputs, or a `truth` that the draw keeps outside.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xfergrade import wire, worker
from xfergrade.compare import Compare, clean_text, to_json
from xfergrade.notebook import Notebook, Source, read_source
from xfergrade.sandbox import Answer, Job, Limits, Sandbox

PUBLIC = b"public"  # stands for the secret in everything that students see
MISSING = object()
MARGIN = 5  # a step has at least this many times the seconds that the source's own solution takes, here and now


class AssignmentError(ValueError):
    """The assignment contradicts itself; the message says where."""


@dataclass(frozen=True)
class Inputs:
    """Arguments for a call, and the truth that stays outside the sandbox and counts as the expected answer."""

    args: tuple[Any, ...]
    truth: Any = MISSING


@dataclass(frozen=True)
class Check:
    """One thing to get right: a call, the inputs for it, the comparison, the points."""

    id: str
    part: str
    points: float
    call: str
    inputs: Callable[[np.random.Generator], tuple[Any, ...] | Inputs]
    compare: Compare
    hint: str
    cases: int = 3
    visible: bool = False


@dataclass(frozen=True)
class Assignment:
    """What a checks.py defines, under the name `assignment`."""

    title: str
    version: str
    checks: tuple[Check, ...]
    modules: tuple[str, ...] = ("numpy",)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Loaded:
    """An assignment's folder, read and found consistent."""

    name: str
    folder: Path
    spec: Assignment
    source: Source
    drivers: str | None

    def fingerprint(self, secret: bytes) -> str:
        """Changes with anything that could change a grade."""
        digest = hmac.new(secret, self.name.encode(), hashlib.sha256)
        for path in (f"{self.name}.ipynb", "checks.py", "drivers.py"):
            file = self.folder / path
            digest.update(hashlib.sha256(file.read_bytes() if file.is_file() else b"").digest())
        return digest.hexdigest()[:16]


def load_assignment(folder: Path) -> Loaded:
    """Read an assignment's folder.

    Raises:
        AssignmentError: a file is missing, or points, parts and checks do not fit together.
    """
    folder = folder.resolve()
    name = folder.name
    for needed in (f"{name}.ipynb", "checks.py"):
        if not (folder / needed).is_file():
            raise AssignmentError(f"{folder} has no {needed}: an assignment needs NAME/NAME.ipynb and NAME/checks.py.")
    module_spec = importlib.util.spec_from_file_location(f"_checks_{name}", folder / "checks.py")
    assert module_spec is not None and module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    spec: Assignment = module.assignment
    source = read_source(folder / f"{name}.ipynb")
    drivers = (folder / "drivers.py").read_text() if (folder / "drivers.py").is_file() else None
    _check_consistency(name, spec, source)
    return Loaded(name, folder, spec, source, drivers)


def _check_consistency(name: str, spec: Assignment, source: Source) -> None:
    ids = [c.id for c in spec.checks]
    if len(set(ids)) != len(ids):
        raise AssignmentError(f"{name}: two checks have the same id.")
    known = {p.id for p in source.parts if not p.manual}
    for check in spec.checks:
        if check.part not in known:
            raise AssignmentError(f"{name}: the check {check.id!r} belongs to no autograded part {sorted(known)}.")
        if check.visible:
            to_json(check.compare)
    for part in source.parts:
        total = sum(c.points for c in spec.checks if c.part == part.id)
        if not part.manual and abs(total - part.points) > 1e-9:
            raise AssignmentError(f"{name}: part {part.id!r} has {part.points:g} points, its checks {total:g}.")


# --------------------------------------------------------------------------------------------- inputs and expectations


@dataclass(frozen=True)
class Case:
    """One draw of a check's inputs."""

    name: str  # of the call: "CHECK#0"
    args: tuple[Any, ...]
    truth: Any
    seed: int  # of the random numbers that student and reference draw during the call


def derived(secret: bytes, *words: object) -> int:
    """A number that nobody can tell without the secret."""
    return int.from_bytes(hmac.new(secret, "/".join(map(str, words)).encode(), hashlib.sha256).digest()[:16], "big")


def draw(loaded: Loaded, secret: bytes, *, visible_only: bool = False) -> dict[str, list[Case]]:
    """The cases of every check."""
    cases: dict[str, list[Case]] = {}
    for check in loaded.spec.checks:
        if visible_only and not check.visible:
            continue
        cases[check.id] = []
        for number in range(check.cases):
            words = (loaded.name, check.id, number)
            seed = derived(secret, "inputs", *words)
            worker.seed_everything(seed % 2**63)
            drawn = check.inputs(np.random.default_rng(seed))
            args, truth = (drawn.args, drawn.truth) if isinstance(drawn, Inputs) else (tuple(drawn), MISSING)
            # A seed of its own: with the inputs' seed a submission could draw the truth again.
            call_seed = derived(secret, "call", *words) % 2**63
            cases[check.id].append(Case(f"{check.id}#{number}", args, truth, call_seed))
    return cases


def encode_calls(loaded: Loaded, cases: dict[str, list[Case]]) -> tuple[dict[str, dict[str, Any]], bytes]:
    """The cases as `Sandbox.set_inputs` takes them."""
    blob, calls = bytearray(), {}
    for check in loaded.spec.checks:
        for case in cases.get(check.id, ()):
            calls[case.name] = {"target": check.call, "seed": case.seed, "args": wire.encode(case.args, blob)}
    return calls, bytes(blob)


def expected_answers(loaded: Loaded, cases: dict[str, list[Case]], sandbox: Sandbox) -> dict[str, Any]:
    """What the source's own solution answers, by case; the truth instead where the draw gives one.

    The solution runs in the sandbox like a submission, in a process that ends before the first submission starts.

    Raises:
        AssignmentError: the solution itself fails, or fails its own checks.
    """
    names = tuple(case.name for check_cases in cases.values() for case in check_cases)
    answers = sandbox.run(Job(loaded.source.cells(), names))
    # On a slow machine the same work takes longer, and must not cost points.
    sandbox.allow(MARGIN * max((answer.seconds for answer in answers.values()), default=0))
    for step, answer in answers.items():
        if answer.status != "ok":
            raise AssignmentError(f"{loaded.name}: the solution fails at {step}: {explain(answer, sandbox.limits)}")
    expected: dict[str, Any] = {}
    for check_cases in cases.values():
        for case in check_cases:
            answer = answers[f"call {case.name}"].value
            expected[case.name] = answer if case.truth is MISSING else decoded(case.truth)
    for verdict in judge(loaded, cases, expected, answers):
        if not verdict.passed:
            raise AssignmentError(f"{loaded.name}: the solution fails the check {verdict.check}: {verdict.message}")
    return expected


def decoded(value: Any) -> Any:
    """The value as it would come out of the sandbox."""
    blob = bytearray()
    tree = wire.encode(value, blob)
    return wire.decode(tree, bytes(blob))


# ------------------------------------------------------------------------------------------------------------ verdicts


@dataclass(frozen=True)
class Verdict:
    """How one check went."""

    check: str
    part: str
    passed: bool
    points: float
    out_of: float
    message: str


def judge(
    loaded: Loaded, cases: dict[str, list[Case]], expected: dict[str, Any], answers: dict[str, Answer]
) -> list[Verdict]:
    """A verdict for each check: points where every case is right, otherwise what went wrong in the first other."""
    verdicts: list[Verdict] = []
    for check in loaded.spec.checks:
        problem = None
        for case in cases.get(check.id, ()):
            problem = _problem(check, case, expected[case.name], answers[f"call {case.name}"], loaded.spec.limits)
            if problem is not None:
                break
        passed = problem is None
        message = "" if problem is None else clean_text(problem, 1000)
        verdicts.append(Verdict(check.id, check.part, passed, check.points * passed, check.points, message))
    return verdicts


def _problem(check: Check, case: Case, expected: Any, answer: Answer, limits: Limits) -> str | None:
    if answer.status != "ok":
        return explain(answer, limits)
    try:
        problem = check.compare(expected, answer.value, case.args)
    except Exception as error:  # a comparison of the assignment's own, on an answer its author did not think of
        problem = f"the answer could not be compared ({type(error).__name__})."
    return None if problem is None else f"{problem} {check.hint}"


def explain(answer: Answer, limits: Limits) -> str:
    """What happened to a step that gave no value, for the student."""
    error = answer.error or {"type": "", "message": "", "cell": "", "line": 0}
    if answer.status == "time":
        return f"did not finish within {limits.seconds:g} s."
    if answer.status == "ended":
        return f"the program ended during this step ({answer.value}); a function should return instead."
    if answer.status == "missing":
        return "nothing was handed in that could be graded."
    if answer.status == "skipped":
        return f"was not run: the submission had used up its {limits.total_seconds:g} s."
    if answer.status in ("size", "failed"):
        return f"{error['message']}."
    if error["type"] == "NotImplementedError":
        return "not written yet: the function raises NotImplementedError."
    if error["type"] == "WireError":
        return f"{error['message']}."
    where = f" (cell {error['cell']}, line {error['line']})" if error["cell"] else ""
    hint = " Only the marked cells run: helpers and imports belong in the cell that uses them."
    return f"raised {error['type']}: {error['message']}{where}.{hint if error['type'] == 'NameError' else ''}"


class Judge:
    """Everything that one run of grading needs: the open sandbox, the drawn inputs, the expected answers."""

    def __init__(self, loaded: Loaded, secret: bytes, sandbox: Sandbox) -> None:
        self.loaded, self.sandbox = loaded, sandbox
        self.cases = draw(loaded, secret)
        sandbox.set_inputs(loaded.drivers, *encode_calls(loaded, self.cases))
        self.expected = expected_answers(loaded, self.cases, sandbox)
        self.names = tuple(case.name for cases in self.cases.values() for case in cases)

    def grade(self, submission: Notebook | None) -> tuple[list[Verdict], list[str]]:
        """Verdicts for a submission (None: the source's own solution), and notes on cells that failed."""
        return self.grade_cells(self.loaded.source.cells(submission))

    def grade_cells(self, cells: tuple[tuple[str, str], ...]) -> tuple[list[Verdict], list[str]]:
        """The same for cells given as (grade_id, code)."""
        answers = self.sandbox.run(Job(cells, self.names))
        notes = [
            clean_text(f"{step}: {explain(answer, self.sandbox.limits)}")
            for step, answer in answers.items()
            if step.startswith("cell ") and answer.status != "ok"
        ]
        return judge(self.loaded, self.cases, self.expected, answers), notes
