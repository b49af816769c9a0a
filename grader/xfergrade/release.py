"""From one source notebook everything that students and the instructor get."""

from __future__ import annotations

import copy
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

from xfergrade import wire
from xfergrade.assignment import AssignmentError, Loaded, derived, load_assignment
from xfergrade.compare import to_json
from xfergrade.draws import PUBLIC, draw, encode_calls
from xfergrade.gradescope import autograder_files
from xfergrade.judging import expected_answers
from xfergrade.private import outside_repositories
from xfergrade.sandbox import Sandbox
from xfergrade.source import RELEASE_SEED, cell_text, solution_text, student_text
from xfergrade.text import number

_CHECK_CALL = re.compile(r"""^check\(\s*["']([^"']+)["']""", re.MULTILINE)


def release(
    loaded: Loaded, out: Path, secret: bytes, isolation: str = "bwrap", *, published: bool = False
) -> list[Path]:
    """Write student/, solution/ and instructor/ below `out`; the paths written.

    Args:
        loaded: the assignment as this secret varies it. What is published is made from the source as it stands.
        published: on Gradescope, hidden checks are shown after the grades are published, and not at once.
    Raises:
        AssignmentError: the notebook asks for a check that is not there or not visible, or the solution fails.
        IsolationError: the solution cannot be run here.
        ValueError: `out` lies in a repository; the zip for Gradescope holds the secret.
    """
    outside_repositories(out, "a release holds the secret")
    _visible_checks_exist(loaded)
    name, public = loaded.name, load_assignment(loaded.folder)
    with Sandbox(loaded.spec.modules, loaded.spec.limits, isolation) as sandbox:
        bundle, public_bundle = make_bundle(loaded, sandbox), make_bundle(public, sandbox)
    student = notebook_for(loaded, "student", derived(secret, "student's seed", name) % 10_000)
    solution = notebook_for(public, "solution", derived(PUBLIC, "public seed", name) % 10_000)
    files: dict[str, bytes] = {
        f"student/{name}.ipynb": student,
        f"student/{name}.checks": bundle,
        f"student/{name}.zip": _zip({f"{name}/{name}.ipynb": student, f"{name}/{name}.checks": bundle}),
        f"solution/{name}_solution.ipynb": solution,
        f"solution/{name}.checks": public_bundle,
        f"instructor/{name}_key.ipynb": notebook_for(loaded, "key", derived(secret, "student's seed", name) % 10_000),
        f"instructor/{name}_key.md": _key(loaded).encode(),
        f"instructor/{name}_gradescope.zip": _zip(autograder_files(loaded, secret, published)),
    }
    for path, data in files.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).touch()
        if path.startswith("instructor/"):
            (out / path).chmod(0o600)
        (out / path).write_bytes(data)
    return [out / path for path in files]


def _visible_checks_exist(loaded: Loaded) -> None:
    visible = {c.id for c in loaded.spec.checks if c.visible}
    asked = {i for c in loaded.source.content["cells"] for i in _CHECK_CALL.findall(student_text(cell_text(c), "code"))}
    if asked - visible:
        raise AssignmentError(
            f"{loaded.name}: the notebook asks for checks that are not visible: {sorted(asked - visible)}."
        )


def notebook_for(loaded: Loaded, reader: str, seed: int) -> bytes:
    """The notebook for "student" (stubs), "solution" (no hidden tests) or "key" (everything), without outputs."""
    content = copy.deepcopy(loaded.source.content)
    content["metadata"]["xfergrade"] = {"assignment": loaded.name, "version": loaded.spec.version}
    for cell in content["cells"]:
        text = cell_text(cell)
        marked = cell["metadata"].get("nbgrader")
        if marked is not None and reader == "student":
            text = student_text(text, cell["cell_type"])
        elif marked is not None and reader == "solution":
            text = solution_text(text)
        cell["source"] = RELEASE_SEED.sub(rf"\g<1>{seed}\g<2>", text)
        if marked is not None and marked["locked"]:
            cell["metadata"] |= {"deletable": False, "editable": False}
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return (json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()


def make_bundle(loaded: Loaded, sandbox: Sandbox) -> bytes:
    """The visible checks as data: inputs and expected answers drawn from the public seed, hints, drivers."""
    cases = draw(loaded, PUBLIC, visible_only=True)
    calls, blob = encode_calls(loaded, cases)
    sandbox.set_inputs(loaded.drivers, calls, blob)
    answers = bytearray(blob)
    checks: list[dict[str, Any]] = []
    expected = expected_answers(loaded, cases, sandbox)
    for check in loaded.spec.checks:
        if check.visible:
            listed = [{**calls[c.name], "expected": wire.encode(expected[c.name], answers)} for c in cases[check.id]]
            entry = {"id": check.id, "points": check.points, "hint": check.hint, "cases": listed, "given": check.given}
            checks.append({**entry, "compare": to_json(check.compare)})
    message: dict[str, Any] = {
        "assignment": loaded.name,
        "version": loaded.spec.version,
        "drivers": loaded.drivers,
        "checks": checks,
    }
    # `check NOTEBOOK` runs the same cells as the grader does.
    message["cells"] = [[cell_id, None if students else code] for cell_id, code, students in loaded.source.run]
    return wire.pack(message, answers)


def _zip(files: dict[str, bytes]) -> bytes:
    """A zip that is the same every time; scripts in it can be run."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = (0o755 if data.startswith(b"#!") else 0o644) << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _key(loaded: Loaded) -> str:
    """Parts, checks and points for the instructor."""
    total = number(sum(p.points for p in loaded.source.parts))
    lines = [f"# {loaded.spec.title}, version {loaded.spec.version}: {total} points", ""]
    lines += ["| part | points | graded by |", "|---|---|---|"]
    lines += [f"| {p.id} | {number(p.points)} | {'hand' if p.manual else 'machine'} |" for p in loaded.source.parts]
    for part, items in loaded.spec.rubric.items():
        lines += ["", f"Rubric of {part}: " + "; ".join(f"{i.name} ({number(i.points)})" for i in items) + "."]
    lines += ["", "| check | part | points | students see it | what usually goes wrong |", "|---|---|---|---|---|"]
    for c in loaded.spec.checks:
        lines.append(f"| {c.id} | {c.part} | {number(c.points)} | {'yes' if c.visible else 'no'} | {c.hint} |")
    return "\n".join(lines) + "\n"
