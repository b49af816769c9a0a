"""Inputs, drawn outside the sandbox from seeds that derive from the instructor's secret (HMAC-SHA256).

Knowing this code, and the assignment's, does not tell anybody the graded inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xfergrade import calling, wire
from xfergrade.assignment import AssignmentError, Loaded, derived
from xfergrade.spec import MISSING, Check, Inputs

PUBLIC = b"public"  # stands for the secret in everything that students see
REDRAWS = 1_000


@dataclass(frozen=True)
class Case:
    """One draw of a check's inputs."""

    name: str  # of the call: "CHECK#0"
    args: tuple[Any, ...]
    truth: Any
    seed: int  # of the random numbers that student and reference draw during the call


def draw(loaded: Loaded, secret: bytes, *, visible_only: bool = False) -> dict[str, list[Case]]:
    """The cases of every check.

    Raises:
        AssignmentError: a check's draw never gives inputs that tell right from wrong.
    """
    cases: dict[str, list[Case]] = {}
    for check in loaded.spec.checks:
        if visible_only and not check.visible:
            continue
        cases[check.id] = []
        for number in range(check.cases):
            words = (loaded.name, check.id, number)
            seed = derived(secret, "inputs", *words)
            calling.seed_everything(seed % 2**63)
            args, truth = _telling(loaded, check, np.random.default_rng(seed))
            # A seed of its own: with the inputs' seed a submission could draw the truth again.
            call_seed = derived(secret, "call", *words) % 2**63
            cases[check.id].append(Case(f"{check.id}#{number}", args, truth, call_seed))
    return cases


def _telling(loaded: Loaded, check: Check, rng: np.random.Generator) -> tuple[tuple[Any, ...], Any]:
    """Arguments and truth; drawn again while they cannot tell the mistakes from the right answer."""
    for _ in range(REDRAWS):
        drawn = check.inputs(rng)
        args, truth = (drawn.args, drawn.truth) if isinstance(drawn, Inputs) else (tuple(drawn), MISSING)
        if check.tells is None or check.tells(*args):
            return args, truth
    raise AssignmentError(f"{loaded.name}: {REDRAWS:,} draws for {check.id!r}, and none that its `tells` accepts.")


def encode_calls(loaded: Loaded, cases: dict[str, list[Case]]) -> tuple[dict[str, dict[str, Any]], bytes]:
    """The cases as `Sandbox.set_inputs` takes them."""
    blob, calls = bytearray(), {}
    for check in loaded.spec.checks:
        for case in cases.get(check.id, ()):
            calls[case.name] = {"target": check.call, "seed": case.seed, "args": wire.encode(case.args, blob)}
    return calls, bytes(blob)


def decoded(value: Any) -> Any:
    """The value as it would come out of the sandbox."""
    blob = bytearray()
    tree = wire.encode(value, blob)
    return wire.decode(tree, bytes(blob))
