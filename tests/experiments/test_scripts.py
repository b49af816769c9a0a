"""Every script runs in seconds with --smoke, keeps nothing then, says what it must, and declares what it depends on."""

from __future__ import annotations

import ast
import importlib
import inspect
import types
from pathlib import Path
from typing import Any

import pytest

from tests.places import EXPERIMENTS, RESULTS, ROOT

HARNESS = ("lab", "provenance")
EVERY = sorted(path.stem for path in EXPERIMENTS.glob("*.py") if path.stem not in HARNESS)
SCRIPTS = [name for name in EVERY if not name.startswith("benchmark")]  # benchmarks measure in processes of their own


def module(name: str) -> Any:
    return importlib.import_module(name)


def state() -> dict[Path, tuple[int, int]]:
    """Every file that a script may write when it is not a smoke run."""
    folders = (RESULTS, ROOT / "data", ROOT / "xferkit" / "assets")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in files}


@pytest.mark.parametrize("name", SCRIPTS)
def test_smoke(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XFERKIT_PROFILE", raising=False)
    before = state()
    module(name).main(["--smoke"])
    assert state() == before
    assert f"in {name}.json" in capsys.readouterr().out  # published, and so checked against the schema


@pytest.mark.parametrize("name", SCRIPTS)
def test_header_has_question_time_and_result(name: str) -> None:
    text = " ".join((ast.get_docstring(ast.parse((EXPERIMENTS / f"{name}.py").read_text())) or "").split())
    assert text.split("?")[0] + "?" == module(name).QUESTION
    assert f"python experiments/{name}.py" in text and "--smoke" in text
    assert " on one core" in text and "Result: " in text and "seed" in text.split("Result: ")[1]


def used_by(function: Any, home: types.ModuleType, seen: set[str]) -> set[str]:
    """The names of the module that a function uses, and those that these use."""
    names: set[str] = set()
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        names |= set(code.co_names) & set(vars(home))
        codes += [c for c in code.co_consts if isinstance(c, types.CodeType)]
    for name in names - seen:
        seen.add(name)
        value = vars(home)[name]
        for member in value.values() if isinstance(value, dict) else (value,):
            if inspect.isfunction(inspect.unwrap(member)) and inspect.unwrap(member).__module__ == home.__name__:
                used_by(inspect.unwrap(member), home, seen)
    return seen


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_a_run_uses_of_its_script_is_declared(name: str) -> None:
    """A constant or helper that a run uses and `DEPENDS` leaves out could change, and old outcomes would stay."""
    home = module(name)
    own = {
        n for n in used_by(home.run, home, set())
        if not isinstance(vars(home)[n], types.ModuleType) and not inspect.isclass(vars(home)[n])
        and getattr(inspect.unwrap(vars(home)[n]) if callable(vars(home)[n]) else home, "__module__", name) == name
    }  # fmt: skip
    missing = [n for n in sorted(own) if not any(vars(home)[n] is d or vars(home)[n] == d for d in home.DEPENDS)]
    assert missing == []
