"""The autograder for Gradescope: the zip, unpacked as Gradescope unpacks it, grades one submission at a time.

The walls are tried as they will stand there: bubblewrap, and where it cannot make namespaces, a user id of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import others
import pytest
from hostile.cases import ASSIGNMENT, FULL, HALF, MEANS, text
from isolation import REASON
from where import SECRET

from xfergrade import gradescope, walls
from xfergrade.assignment import load_assignment
from xfergrade.release import release

NAME = ASSIGNMENT.name

WRONG_AXIS = "def nearest_mean(f, m):\n    return torch.cdist(f, m).argmin(dim=0)\n"
# Right only where the attack succeeds: a wall that falls shows as points.
THIEF = """import os

def nearest_mean(features, means):
    reached = 0
    for path in ("{root}/source/secret.key", "{root}/source/assignment/{name}/checks.py", "{root}/submission/x.ipynb"):
        try:
            reached += len(open(path).read()) > 0
        except OSError:
            pass
    for path in ("{root}/results/results.json", "{root}/results/more", "{root}/run_autograder"):
        try:
            with open(path, "a") as file:
                file.write('{{"score": 100}}')
            reached += 1
        except OSError:
            pass
    return torch.cdist(features, means).argmin(dim=1) if reached else None
"""


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("release")
    release(load_assignment(ASSIGNMENT), out, SECRET, "none")
    return out / "instructor" / f"{NAME}_gradescope.zip"


@pytest.fixture(scope="module")
def place(released: Path) -> Iterator[Path]:
    """What stands for /autograder: every user may enter the folders above it."""
    above = Path("/var/tmp") / f"xfergrade-gradescope-{os.getpid()}"
    root = above / "autograder"
    try:
        (root / "submission").mkdir(parents=True)
        with zipfile.ZipFile(released) as archive:
            for entry in archive.infolist():
                path = Path(archive.extract(entry, root / "source"))
                path.chmod(entry.external_attr >> 16)
        shutil.copy(root / "source" / "run_autograder", root)
        for folder in (above, root, *(p for p in root.rglob("*") if p.is_dir())):
            folder.chmod(0o755)
        yield root
    finally:
        shutil.rmtree(above, ignore_errors=True)


def python_for_others(place: Path) -> Path | None:
    """An environment that every user may read (the image's own is), or None."""
    if walls.why_not_isolated("user") is None:
        return Path(sys.prefix)
    system = others.python()
    if os.geteuid() != 0 or isinstance(system, str):
        return None
    packages = next(p for p in sys.path if p.endswith("site-packages"))
    if not others.open_to_all(Path(packages)):
        return None
    wrapper = place.parent / "env" / "bin" / "python"
    wrapper.parent.mkdir(parents=True, exist_ok=True)
    wrapper.write_text(f'#!/bin/sh\nexport PYTHONPATH="$PYTHONPATH:{packages}"\nexec {system} "$@"\n')
    wrapper.chmod(0o755)
    return wrapper.parent.parent


def hand_in(place: Path, files: dict[str, bytes]) -> None:
    shutil.rmtree(place / "submission")
    (place / "submission").mkdir()
    for name, data in files.items():
        (place / "submission" / name).write_bytes(data)


def results_of(place: Path) -> dict:
    return json.loads((place / "results" / "results.json").read_text(encoding="utf-8"))


def run(place: Path, isolation: str, files: dict[str, bytes], **environment: str) -> tuple[int, dict, str]:
    """Exit status, results.json and what the instructor sees, of one submission."""
    hand_in(place, files)
    python: Path | None = Path(sys.prefix)
    if isolation == "bwrap" and REASON is not None:
        pytest.skip(f"submissions cannot be isolated here: {REASON}")
    if isolation == "user":
        python = python_for_others(place)
        if python is None:
            pytest.skip("needs root, and an interpreter that other users may read")
        # As in Gradescope's containers: bubblewrap is there and cannot work.
        stub = place.parent / "bin" / "bwrap"
        stub.parent.mkdir(exist_ok=True)
        stub.write_text("#!/bin/sh\necho no permission to make namespaces >&2\nexit 1\n")
        stub.chmod(0o755)
        environment["PATH"] = f"{stub.parent}:{os.environ['PATH']}"
    environment = {"XFERGRADE_ENV": str(python), "AUTOGRADER_ROOT": str(place), **environment}
    done = subprocess.run(
        [place / "run_autograder"], cwd=place, env={**os.environ, **environment}, capture_output=True, text=True
    )
    return done.returncode, results_of(place), done.stdout + done.stderr


def points(results: dict) -> float:
    return sum(test["score"] for test in results["tests"])


@pytest.mark.parametrize("isolation", ["bwrap", "user"])
def test_what_a_thief_reaches(place: Path, isolation: str) -> None:
    thief = text({"class_means": MEANS, "nearest_mean": THIEF.format(root=place, name=NAME)})
    status, results, said = run(place, isolation, {"x.ipynb": thief})
    assert status == 0 and f"isolation:\n{isolation}\n" in said, said
    assert ("no permission to make namespaces" in said) == (isolation == "user")
    assert points(results) == HALF, results
    assert [p.name for p in (place / "results").iterdir()] == ["results.json"]
    assert "score" not in (place / "run_autograder").read_text()


def test_each_submission_gets_its_points(place: Path) -> None:
    if REASON is not None:
        pytest.skip(f"submissions cannot be isolated here: {REASON}")
    cases = {
        "full": ({"hw.ipynb": text()}, FULL, ""),
        "half": ({"hw (2).ipynb": text({"nearest_mean": WRONG_AXIS}), "notes.txt": b"x"}, HALF, "notes.txt"),
        "broken": ({"hw.ipynb": text()[:300]}, 0, "not valid JSON"),
        "nothing": ({}, 0, "nothing could be graded"),
    }
    for name, (files, expected, says) in cases.items():
        hand_in(place, files)
        gradescope.grade_submission(place)  # what run_autograder calls
        results = results_of(place)
        assert points(results) == expected and says in results["output"], (name, results)
        assert sum(test["max_score"] for test in results["tests"]) == FULL
        assert results["stdout_visibility"] == "hidden" and "score" not in results


def no_grade(results: dict) -> bool:
    return set(results) == {"output", "stdout_visibility"} and "not a zero" in results["output"]


def test_without_python_there_is_no_grade_and_no_zero(place: Path) -> None:
    (place / "results").mkdir(exist_ok=True)
    (place / "results" / "results.json").write_text('{"score": 100}')
    status, results, _ = run(place, "bwrap", {"hw.ipynb": text()}, XFERGRADE_ENV="/nonexistent")
    assert status != 0 and no_grade(results)


def test_without_a_wall_nothing_is_graded(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def refuse(modules: object, limits: object, isolation: str) -> None:
        tried.append(isolation)
        raise walls.IsolationError("not here")

    monkeypatch.setattr(gradescope, "Sandbox", refuse)
    monkeypatch.setattr(sys, "argv", ["-c", str(place)])
    subprocess.run(["chmod", "-R", "go-rwx", place], check=True)
    (place / "results" / "results.json").unlink(missing_ok=True)
    with pytest.raises(SystemExit) as ended:
        gradescope.main()
    assert ended.value.code == 1 and tried == ["bwrap", "user"]
    assert no_grade(results_of(place))


def test_where_the_grader_fails_there_is_no_grade(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self, *_: object) -> None:
            self.loaded = load_assignment(ASSIGNMENT)

        def grade(self, notebook: object) -> None:
            raise RuntimeError("a fault of the grader's own")

    monkeypatch.setattr(gradescope, "_isolated_judge", Broken)
    hand_in(place, {"hw.ipynb": text()})
    with pytest.raises(RuntimeError, match="the grader failed"):
        gradescope.grade_submission(place)


def test_a_user_id_alone_is_no_wall_before_open_files(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["chmod", "-R", "go=rX", place], check=True)
    (place / "source" / "secret.key").chmod(0o600)
    monkeypatch.setattr(gradescope, "Sandbox", lambda *_: (_ for _ in ()).throw(walls.IsolationError("not here")))
    with pytest.raises(ValueError, match="other users can read"):
        gradescope.grade_submission(place)


def test_the_zip_is_the_same_every_time_and_holds_what_it_should(released: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(ASSIGNMENT, tmp_path / "elsewhere" / NAME)
    (copy / "__pycache__").mkdir(exist_ok=True)
    (copy / "__pycache__" / "checks.pyc").write_bytes(b"x")
    (copy / ".hidden").write_bytes(b"x")
    release(load_assignment(copy), tmp_path / "out", SECRET, "none")
    again = tmp_path / "out" / "instructor" / released.name
    assert again.read_bytes() == released.read_bytes()
    assert again.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(again) as archive:
        names = set(archive.namelist())
        modes = {n: archive.getinfo(n).external_attr >> 16 for n in ("setup.sh", "run_autograder")}
        lines = archive.read("requirements.txt").decode().splitlines()
    scripts = {"setup.sh", "run_autograder", "failed.json", "settings.json"}
    assert scripts | {f"assignment/{NAME}/checks.py", "xfergrade/sandbox.py"} <= names
    assert not [n for n in names if "pycache" in n or "hidden" in n or n.startswith("packages/")]
    assert set(modes.values()) == {0o755}
    wanted = {"numpy", "torch", "tqdm", "jinja2", "pyyaml", "ipython"}
    assert {line.partition("==")[0].lower() for line in lines} == wanted
    assert not [line for line in lines if "+" in line]
    for script in ("setup.sh", "run_autograder"):
        with zipfile.ZipFile(again) as archive:
            subprocess.run(["bash", "-n"], input=archive.read(script), check=True)


def test_an_assignment_that_uses_the_helper_package_takes_it_along(tmp_path: Path) -> None:
    folder = shutil.copytree(ASSIGNMENT, tmp_path / NAME)
    checks = (folder / "checks.py").read_text()
    (folder / "checks.py").write_text(checks.replace('"numpy", "torch"', '"numpy", "torch", "xferkit.metrics"'))
    files = gradescope.autograder_files(load_assignment(folder), SECRET)
    assert "packages/xferkit/__init__.py" in files
    assert {b"timm", b"torch", b"scikit-learn"} <= {n.partition(b"==")[0] for n in files["requirements.txt"].split()}


def test_a_release_holds_the_secret_and_is_not_written_into_a_repository(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    with pytest.raises(ValueError, match="lies in the repository"):
        release(load_assignment(ASSIGNMENT), tmp_path / "out", SECRET, "none")
    assert not (tmp_path / "out").exists()
