"""An assignment's folder: read, found consistent, and told from every other by its fingerprint."""

from __future__ import annotations

import ast
import hashlib
import hmac
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from xfergrade.compare import to_json
from xfergrade.source import Source, read_source
from xfergrade.spec import Assignment, Check


class AssignmentError(ValueError):
    """The assignment contradicts itself; the message says where."""


@dataclass(frozen=True)
class Loaded:
    """An assignment's folder, read and found consistent."""

    name: str
    folder: Path
    spec: Assignment
    source: Source
    drivers: str | None

    def fingerprint(self, secret: bytes) -> str:
        """Changes with anything that could change a grade: the three files, the secret, the grader's version."""
        from xfergrade import __version__

        digest = hmac.new(secret, f"{__version__}/{self.name}".encode(), hashlib.sha256)
        for path in (f"{self.name}.ipynb", "checks.py", "drivers.py"):
            file = self.folder / path
            digest.update(hashlib.sha256(file.read_bytes() if file.is_file() else b"").digest())
        return digest.hexdigest()[:16]

    def given_cells(self, check: Check) -> tuple[str, ...]:
        """The source's cells that a check's `given` functions need: the locked ones, and those that define them.

        No other cell: whatever runs there can be read by the submission.
        """
        if not check.given:
            return ()
        defining = {self._cell_that_defines(name) for name in check.given}
        return tuple(code for cell_id, code, own in self.source.run if not own or cell_id in defining)

    def _cell_that_defines(self, function: str) -> str:
        for cell_id, code, own in self.source.run:
            defined = (ast.FunctionDef, ast.ClassDef)
            if own and any(isinstance(n, defined) and n.name == function for n in ast.parse(code).body):
                return cell_id
        raise AssignmentError(f"{self.name}: no solution cell defines the given function {function!r}.")


def load_assignment(folder: Path, secret: bytes | None = None) -> Loaded:
    """Read an assignment's folder.

    Args:
        secret: chooses what varies from class to class; without it, what the published solution has.
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

    def choose(variant: str, options: int) -> int:
        if secret is None or options == 1:
            return 0
        return 1 + derived(secret, "variant", name, variant) % (options - 1)  # never the published one

    source = read_source(folder / f"{name}.ipynb", choose)
    drivers = (folder / "drivers.py").read_text(encoding="utf-8") if (folder / "drivers.py").is_file() else None
    loaded = Loaded(name, folder, spec, source, drivers)
    _check_consistency(loaded)
    return loaded


def derived(secret: bytes, *words: object) -> int:
    """A number that nobody can tell without the secret."""
    return int.from_bytes(hmac.new(secret, "/".join(map(str, words)).encode(), hashlib.sha256).digest()[:16], "big")


def _check_consistency(loaded: Loaded) -> None:
    name, spec, source = loaded.name, loaded.spec, loaded.source
    ids = [c.id for c in spec.checks]
    if len(set(ids)) != len(ids):
        raise AssignmentError(f"{name}: two checks have the same id.")
    known = {p.id for p in source.parts if not p.manual}
    for check in spec.checks:
        if check.part not in known:
            raise AssignmentError(f"{name}: the check {check.id!r} belongs to no autograded part {sorted(known)}.")
        if check.visible:
            to_json(check.compare)
        if check.call in check.given:
            raise AssignmentError(f"{name}: the check {check.id!r} is given the function that it asks for.")
        loaded.given_cells(check)
    for part in source.parts:
        total = sum(c.points for c in spec.checks if c.part == part.id)
        if not part.manual and abs(total - part.points) > 1e-9:
            raise AssignmentError(f"{name}: part {part.id!r} has {part.points:g} points, its checks {total:g}.")
        items = spec.rubric.get(part.id, ())
        if items and (not part.manual or abs(sum(i.points for i in items) - part.points) > 1e-9):
            raise AssignmentError(f"{name}: the rubric of {part.id!r} does not add up to its {part.points:g} points.")
    unknown = set(spec.rubric) - {p.id for p in source.parts}
    if unknown:
        raise AssignmentError(f"{name}: a rubric for {sorted(unknown)}, which are no parts.")
