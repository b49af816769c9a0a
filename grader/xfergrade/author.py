"""What the assignment's author, and nbgrader's own autograder, run in a notebook: all checks, and no walls."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path

from xfergrade import calling, wire
from xfergrade.assignment import load_assignment
from xfergrade.bundle import Bundle, CheckFailed
from xfergrade.draws import decoded
from xfergrade.judging import Judge
from xfergrade.release import make_bundle
from xfergrade.sandbox import Sandbox


@lru_cache(maxsize=8)
def build_bundle(folder: Path, changed: float) -> Bundle:
    """The bundle of visible checks of a source folder, as students would get it."""
    loaded = load_assignment(folder)
    with Sandbox(loaded.spec.modules, loaded.spec.limits, isolation="none") as sandbox:
        return wire.load(make_bundle(loaded, sandbox))


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
    judge = _judge(Path(folder), Path(secret).read_bytes().strip())
    namespace = sys._getframe(1).f_globals
    drivers = calling.load_drivers(judge.loaded.drivers)
    failed = []
    for spec in judge.loaded.spec.checks:
        if spec.part != part:
            continue
        given = calling.given_functions(list(judge.loaded.given_cells(spec)), list(spec.given))
        for case in judge.cases[spec.id]:
            tree = wire.encode(case.args, data := bytearray())
            args = wire.decode(tree, bytes(data), tensors=True)
            with calling.Student(namespace).stand_in(**given):
                value = calling.call(namespace, drivers, spec.call, args, case.seed)
            problem = spec.compare(judge.expected[case.name], decoded(value), case.args)
            if problem is not None:
                failed.append(f"{spec.id}: {problem} {spec.hint}")
                break
    if failed:
        raise CheckFailed("\n".join(failed))


@lru_cache(maxsize=2)
def _judge(folder: Path, secret: bytes) -> Judge:
    loaded = load_assignment(folder)  # nbgrader releases the source as it stands, so no line varies with the secret
    with Sandbox(loaded.spec.modules, loaded.spec.limits, isolation="none") as sandbox:
        return Judge(loaded, secret, sandbox)
