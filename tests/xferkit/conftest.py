"""Shared by the package's tests: a cache of features that is empty, and a count of the passes through a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from xferkit import features


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XFERKIT_CACHE", str(tmp_path / "kept"))
    monkeypatch.setattr("xferkit._cache._said", set())
    return tmp_path / "kept"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An entry for each time that a network was really asked."""
    times: list[int] = []
    real = features.shapes_noted

    def watched(*args: object) -> object:
        times.append(1)
        return real(*args)

    monkeypatch.setattr(features, "shapes_noted", watched)
    return times
