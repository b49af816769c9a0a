"""The ways to install the course agree with each other: pyproject.toml, the lock, conda's file, Makefile, README."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.places import ROOT

PYTHONS = ("3.11", "3.12", "3.13")
REQUIRED = ("jupyterlab", "jupyter-book", "torch", "torchvision", "matplotlib", "nbval", "pytest")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def project() -> dict:
    return tomllib.loads(read("pyproject.toml"))


def direct_requirements() -> list[Requirement]:
    """What pyproject.toml asks for, extras included."""
    table = project()["project"]
    texts = [*table["dependencies"], *(text for extra in table["optional-dependencies"].values() for text in extra)]
    return [Requirement(text) for text in texts]


def locked() -> dict[str, list[tuple[Requirement, int]]]:
    """Package name → its lines in the lock, each with the number of its hashes."""
    lines: dict[str, list[tuple[Requirement, int]]] = {}
    blocks = re.split(r"\n(?=[A-Za-z0-9])", "\n" + re.sub(r"(?m)^\s*#.*\n", "", read("requirements.txt")))
    for block in blocks:
        if not block.strip():
            continue
        requirement = Requirement(block.split("\\")[0].strip())
        entry = (requirement, block.count("--hash=sha256:"))
        lines.setdefault(canonicalize_name(requirement.name), []).append(entry)
    return lines


def pinned(requirement: Requirement) -> Version:
    (specifier,) = requirement.specifier
    assert specifier.operator == "=="
    return Version(specifier.version)


def test_lock_pins_every_package_with_hashes() -> None:
    lock = locked()
    assert len(lock) > 100
    assert [name for name, entries in lock.items() for _, hashes in entries if hashes == 0] == []
    for entries in lock.values():
        for requirement, _ in entries:
            pinned(requirement)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("requirement", direct_requirements(), ids=str)
def test_lock_satisfies_pyproject(requirement: Requirement, python: str) -> None:
    environment = {"python_version": python, "python_full_version": f"{python}.1"}
    entries = locked().get(canonicalize_name(requirement.name), [])
    versions = [pinned(r) for r, _ in entries if r.marker is None or r.marker.evaluate(environment)]
    assert len(versions) == 1, f"{requirement.name}: run `make lock` after changing pyproject.toml"
    assert requirement.specifier.contains(versions[0], prereleases=True)


@pytest.mark.parametrize("name", REQUIRED)
def test_the_course_asks_for_what_it_promises(name: str) -> None:
    assert name in {canonicalize_name(requirement.name) for requirement in direct_requirements()}


def test_jupyter_book_stays_below_2() -> None:
    (book,) = [requirement for requirement in direct_requirements() if requirement.name == "jupyter-book"]
    assert not book.specifier.contains("2.0.0")


def test_environment_is_the_lock() -> None:
    """What is installed here is what the lock says, so that a green run speaks for the lock."""
    wrong = {}
    for requirement in direct_requirements():
        if requirement.name == "torch" or requirement.name == "torchvision":
            continue  # a GPU machine may carry a build of its own
        entries = locked()[canonicalize_name(requirement.name)]
        (expected,) = [pinned(r) for r, _ in entries if r.marker is None or r.marker.evaluate()]
        found = Version(importlib.metadata.version(requirement.name))
        if found != expected:
            wrong[requirement.name] = f"{found} here, {expected} in the lock"
    assert wrong == {}


def test_conda_installs_the_lock() -> None:
    environment = yaml.safe_load(read("environment.yml"))
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == ["-r requirements.txt"], "pip's hash mode takes nothing beside the lock"
    packages = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (python,) = [entry.partition("=")[2] for entry in packages if entry.startswith("python=")]
    assert project()["project"]["requires-python"] == ">=3.11,<3.14"
    assert python in PYTHONS
    assert set(packages) == {f"python={python}", "pip"}, "anything else would be a second source of versions"
    assert "pip install --no-deps -e ." in read("environment.yml")


def test_package_says_what_it_is() -> None:
    metadata = importlib.metadata.metadata("xferkit")
    import xferkit

    assert metadata["Version"] == project()["project"]["version"] == xferkit.__version__
    assert Path(xferkit.__file__).with_name("py.typed").exists()
    assert f"version: {metadata['Version']}" in read("CITATION.cff")


def test_readme_names_the_makefiles_steps() -> None:
    """The README's way without make does what make does."""
    readme, makefile = read("README.md"), read("Makefile") + read("scripts/setup.sh")
    steps = {  # README (plain commands) → Makefile
        "uv pip sync --require-hashes requirements.txt": "--require-hashes requirements.txt",
        "uv pip install --no-deps --no-build-isolation -e .": "--no-deps --no-build-isolation -e .",
        "jupyter-book build . -W -n --keep-going": "-W -n --keep-going",
        "python scripts/check_book.py _build/html": "python scripts/check_book.py $(BOOK)",
        "python -m pytest tests grader/tests chapters --nbval-lax --nbval-current-env --nbval-cell-timeout=600": (
            "--nbval-lax --nbval-current-env --nbval-cell-timeout=600"
        ),
        "jupyter labextension disable --level=sys_prefix @jupyter/nbgrader": (
            "labextension disable --level=sys_prefix @jupyter/nbgrader"
        ),
        "jupyter lab": "$(BIN)/jupyter lab",
        "python scripts/run_chapters.py": "python scripts/run_chapters.py $(ONLY)",
        "python scripts/build_evidence.py": "python scripts/build_evidence.py",
        "ruff check .": "$(BIN)/ruff check .",
        "mypy": "$(BIN)/mypy",
    }
    assert [step for step in steps if step not in readme] == []
    assert [step for step in steps.values() if step not in makefile] == []


def test_readers_see_no_panels_of_nbgrader() -> None:
    """`make lab` opens JupyterLab without them; the instructor's command line does not ask JupyterLab."""
    from jupyter_core.paths import jupyter_path
    from jupyterlab_server.config import get_federated_extensions, get_page_config

    folders = jupyter_path("labextensions")
    assert "@jupyter/nbgrader" in get_federated_extensions(folders), "it is installed, as the lock says"
    assert "@jupyter/nbgrader" in get_page_config(folders)["disabledExtensions"], "run: make setup"
    done = subprocess.run([sys.executable, "-m", "nbgrader", "--version"], capture_output=True, text=True, check=True)
    assert f"nbgrader version {importlib.metadata.version('nbgrader')}" in done.stdout


def test_make_help_lists_every_command() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE)
    assert set(targets) >= {"help", "setup", "book", "test", "lab", "run", "lint"}
    assert [name for name in targets if f"  {name} " not in shown] == []


def test_workflow_and_ci_use_the_makefile() -> None:
    workflow = yaml.safe_load(read(".github/workflows/book.yml"))
    runs = [step["run"] for step in workflow["jobs"]["build"]["steps"] if "run" in step]
    assert {"make test", "make book", "make lint"} <= set(runs)
    for command in ("make test", "make book", "make lint"):
        assert command in read(".ci/run")


def test_no_download_address_of_a_registry_is_committed() -> None:
    """A lock that names download hosts works only where those hosts are reached; mirrors have other names."""
    hosts = [".".join(parts) for parts in (("files", "pythonhosted", "org"), ("pypi", "org"), ("registry", "npmjs"))]
    skipped = {".git", ".venv", ".uv", "_build", "mathjax", "__pycache__", "xferkit.egg-info"}
    paths = [path for path in ROOT.rglob("*") if path.is_file() and not skipped & set(path.relative_to(ROOT).parts)]
    assert ROOT / "requirements.txt" in paths
    naming = [path for path in paths if any(host.encode() in path.read_bytes() for host in hosts)]
    assert naming == []
