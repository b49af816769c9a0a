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
from pathlib import Path

from xfergrade.checks import AssignmentError, Judge, Loaded, load_assignment
from xfergrade.collect import Upload, find_uploads, read_upload
from xfergrade.grade import grade_one
from xfergrade.outputs import gradescope, write_text
from xfergrade.sandbox import PACKAGE, IsolationError, Sandbox

SETUP = """#!/usr/bin/env bash
# Runs once, as root, when Gradescope builds the image: the isolation, and Python with the packages that grading needs.
set -eu
umask 022
source="${AUTOGRADER_ROOT:-/autograder}/source"
env="${XFERGRADE_ENV:-/opt/xfergrade}"
export DEBIAN_FRONTEND=noninteractive UV_PYTHON_INSTALL_DIR=/opt/python UV_NO_CACHE=1
apt-get update
apt-get install -y --no-install-recommends python3-venv ca-certificates
apt-get install -y --no-install-recommends bubblewrap || echo "no bubblewrap: --isolation user will be used"
python3 -m venv "$env-uv"
"$env-uv/bin/pip" install uv
"$env-uv/bin/uv" venv --clear --python ">=3.11,<3.14" "$env"
install() { VIRTUAL_ENV="$env" "$env-uv/bin/uv" pip install "$@" -r "$source/requirements.txt"; }
install --torch-backend cpu || install
if [ -d "$source/packages" ]; then cp -R "$source/packages/." "$env"/lib/python3*/site-packages/; fi
"""

RUN = """#!/usr/bin/env bash
# Runs as root for each submission: grades /autograder/submission, writes /autograder/results/results.json.
root="${AUTOGRADER_ROOT:-/autograder}"
mkdir -p "$root/results"
rm -rf "$root/results/results.json"
# Where a user id is the only wall, no other user may enter here.
chmod 700 "$root" && chmod -R go-rwx "$root/source"
PYTHONPATH="$root/source" "${XFERGRADE_ENV:-/opt/xfergrade}/bin/python" -B -c \\
    'from xfergrade.gradescope import main; main()' "$root"
status=$?
if [ ! -s "$root/results/results.json" ]; then echo 'FAILED' > "$root/results/results.json"; fi
exit "$status"
"""

# Neither a score nor tests: Gradescope has nothing that it could take for a grade.
FAILED = json.dumps(
    {
        "output": "The autograder itself failed, so this submission has no grade yet. It is not a zero. "
        "The output of the autograder tells your instructor the reason.",
        "stdout_visibility": "hidden",
    }
)


# ------------------------------------------------------------------------------------------------------- the zip


def autograder_files(loaded: Loaded, secret: bytes) -> dict[str, bytes]:
    """What belongs into the zip, by name. It holds the secret and the solutions.

    Raises:
        AssignmentError: the assignment imports something that is not installed here, so no version can be pinned.
    """
    names = _imports(loaded)
    files = {
        "setup.sh": SETUP.encode(),
        "run_autograder": RUN.replace("FAILED", FAILED).encode(),
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
    found = {"numpy", "tqdm", *(name.partition(".")[0] for name in loaded.spec.modules)}
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
    loaded = load_assignment(folder)
    with contextlib.ExitStack() as stack:
        judge = _isolated_judge(loaded, root, stack)
        handed_in = root / "submission"
        files = [f for u in find_uploads(handed_in) for f in u.files] if any(handed_in.iterdir()) else []
        known = frozenset(loaded.source.stubs)
        submission = read_upload(Upload("submission", tuple(files)), loaded.name, loaded.spec.version, known)
        record = grade_one(judge, submission)
    if any(v["message"].startswith("the grader failed") for v in record["verdicts"]):  # there, somebody reads the notes
        raise RuntimeError("the grader failed on this submission; the reason stands above")
    write_text(results, json.dumps(gradescope(record, {}), indent=1, sort_keys=True) + "\n")


def _isolated_judge(loaded: Loaded, root: Path, stack: contextlib.ExitStack) -> Judge:
    """A judge behind the first wall that stands here: bubblewrap's, otherwise a user id of its own.

    The solution has run there before the submission does, so no submission can bring about the change.

    Raises:
        IsolationError: neither stands.
        ValueError: the submission could read the secret, the source, or other private files.
    """
    from xfergrade.__main__ import outside_the_sandbox, read_secret  # which imports this module

    file = root / "source" / "secret.key"
    secret = read_secret(file, loaded.folder)
    reasons: list[str] = []
    for isolation in ("bwrap", "user"):
        outside_the_sandbox(loaded, isolation, file, loaded.folder, root / "results", root / "submission")
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
        write_text(root / "results" / "results.json", FAILED)
        sys.exit(1)
