"""Gradescope's autograder: the zip that `release` writes, and what runs in Gradescope's container.

Gradescope unpacks the zip into /autograder/source, runs setup.sh once when it builds the image, and run_autograder, as
root, for each submission. bubblewrap can rarely make namespaces in such a container; then a user id of its own is the
wall. Grading without any is not offered.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.metadata
import importlib.util
import json
import re
import sys
import traceback
from dataclasses import replace
from importlib.resources import files as shipped
from pathlib import Path

from xfergrade.assignment import AssignmentError, Loaded, load_assignment
from xfergrade.collect import Upload, find_uploads
from xfergrade.grade import grade_one
from xfergrade.judging import Judge
from xfergrade.lateness import container_times
from xfergrade.outputs import gradescope
from xfergrade.private import outside_the_sandbox, read_secret
from xfergrade.sandbox import Sandbox
from xfergrade.tables import write_text
from xfergrade.upload import read_upload
from xfergrade.walls import PACKAGE, IsolationError

SETTINGS = "settings.json"
# Beside the imports: IPython reads its own syntax in cells, Jinja and YAML are the grader's.
ALWAYS = ("numpy", "tqdm", "jinja2", "yaml", "IPython")


def file(name: str) -> str:
    """A file that lies in the package."""
    return (shipped("xfergrade") / "files" / name).read_text(encoding="utf-8")


def autograder_files(loaded: Loaded, secret: bytes, published: bool = False) -> dict[str, bytes]:
    """What belongs into the zip, by name. It holds the secret and the solutions.

    Args:
        published: students see the checks that are not in their notebook only after the grades are published.
    Raises:
        AssignmentError: the assignment imports something that is not installed here, so no version can be pinned.
    """
    names = _imports(loaded)
    files = {
        **{name: file(name).encode() for name in ("setup.sh", "run_autograder", "failed.json")},
        SETTINGS: json.dumps({"hidden_checks": "after_published" if published else "visible"}).encode(),
        "requirements.txt": _requirements(loaded, names).encode(),
        "secret.key": secret + b"\n",
    }
    folders = {f"assignment/{loaded.name}": loaded.folder, "xfergrade": PACKAGE}
    if "xferkit" in names:
        folders["packages/xferkit"] = _folder_of("xferkit")
    for name, folder in folders.items():
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            inside = path.relative_to(folder)
            if not any(part == "__pycache__" or part.startswith(".") for part in inside.parts):
                files[f"{name}/{inside.as_posix()}"] = path.read_bytes()
    return files


def _folder_of(package: str) -> Path:
    """Where a package's source lies."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


def _imports(loaded: Loaded) -> set[str]:
    """Top-level modules that grading imports, beyond Python's own."""
    found = {*ALWAYS, *(name.partition(".")[0] for name in loaded.spec.modules)}
    for path in sorted(loaded.folder.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    beside = {p.stem for p in loaded.folder.glob("*.py")}
    return found - set(sys.stdlib_module_names) - {"xfergrade"} - beside


def _requirements(loaded: Loaded, modules: set[str]) -> str:
    """A line NAME==VERSION for each distribution behind the modules, as installed here."""
    providers = importlib.metadata.packages_distributions()
    wanted: set[str] = set()
    for module in modules - {"xferkit"}:
        if module not in providers:
            raise AssignmentError(f"{loaded.name}: it imports {module!r}, which is not installed here.")
        wanted.add(providers[module][0])
    if "xferkit" in modules:  # travels as source; what it needs is installed
        needed = importlib.metadata.requires("xferkit") or []
        wanted |= {re.split(r"[^\w.-]", line)[0] for line in needed if "extra ==" not in line}
    # "2.13.0+cpu" is a build of 2.13.0; which build fits the container is for the container to say.
    return "".join(f"{n}=={importlib.metadata.version(n).partition('+')[0]}\n" for n in sorted(wanted, key=str.lower))


# --------------------------------------------------------------------------------------------- in the container


def grade_submission(root: Path) -> None:
    """Grade the one submission below `root` and write results/results.json.

    Raises:
        Exception: whatever kept it from grading. Nothing is written then.
    """
    source, results = root / "source", root / "results" / "results.json"
    (folder,) = (source / "assignment").iterdir()
    with contextlib.ExitStack() as stack:
        judge = _isolated_judge(folder, root, stack)
        loaded = judge.loaded
        handed_in = root / "submission"
        files = [f for u in find_uploads(handed_in) for f in u.files] if any(handed_in.iterdir()) else []
        submitted, due = container_times(root / "submission_metadata.json")
        upload = Upload("submission", tuple(files), submitted=submitted)
        submission = read_upload(upload, loaded.name, loaded.spec.version, frozenset(loaded.source.stubs))
        record = grade_one(judge, submission)
    if record.failure is not None:  # there, somebody reads the notes
        raise RuntimeError(record.failure)
    if submitted is not None and due is not None and submitted > due:
        late = str(submitted - due).partition(".")[0]
        record = replace(record, late=True, notes=(f"handed in {late} after the date.", *record.notes))
    wanted = json.loads((source / SETTINGS).read_text(encoding="utf-8"))["hidden_checks"]
    hidden = {check.id: wanted for check in loaded.spec.checks if not check.visible}
    write_text(results, json.dumps(gradescope(record, hidden=hidden), indent=1, sort_keys=True) + "\n")


def _isolated_judge(folder: Path, root: Path, stack: contextlib.ExitStack) -> Judge:
    """A judge behind the first wall that stands here: bubblewrap's, otherwise a user id of its own.

    The solution has run there before the submission does, so no submission can bring about the change.

    Raises:
        IsolationError: neither stands.
        ValueError: the submission could read the secret, the source, or other private files.
    """
    key = root / "source" / "secret.key"
    secret = read_secret(key, folder)
    loaded = load_assignment(folder, secret)
    reasons: list[str] = []
    for isolation in ("bwrap", "user"):
        outside_the_sandbox(loaded, isolation, key, folder, root / "results", root / "submission")
        try:
            sandbox = stack.enter_context(Sandbox(loaded.spec.modules, loaded.spec.limits, isolation))
            judge = Judge(loaded, secret, sandbox)
        except IsolationError as error:
            reasons.append(f"{isolation}: {error}")
        else:
            print("isolation:", isolation, *reasons, sep="\n")
            return judge
    raise IsolationError("\n".join(reasons))


def main() -> None:
    """`python -c … ROOT`, from run_autograder. What went wrong is printed, for the instructor's eyes."""
    root = Path(sys.argv[1])
    try:
        grade_submission(root)
    except Exception:
        traceback.print_exc()
        # Neither a score nor tests: Gradescope has nothing that it could take for a grade.
        write_text(root / "results" / "results.json", file("failed.json"))
        sys.exit(1)
