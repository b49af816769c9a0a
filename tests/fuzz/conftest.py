"""Inputs that go wrong in the ways that inputs go wrong, and what counts as a clear answer to them.

The same examples are drawn on every run. `HYPOTHESIS_PROFILE=explore pytest tests/fuzz` draws new ones.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import xferkit

PACKAGE = Path(xferkit.__file__).parent
_common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}
settings.register_profile("same", derandomize=True, max_examples=60, **_common)
settings.register_profile("explore", max_examples=1000, **_common)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


def outcome(call: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """What a call gives, or the clear error that it ends in; every other end fails the test.

    A clear error was raised on purpose: by a line of xferkit, of a kind that a caller expects, in a whole sentence.
    An error out of the depths of torch or scikit-learn is none, even if it happens to be a ValueError.
    """
    try:
        return call(), None
    except (ValueError, TypeError, OSError, FloatingPointError, IndexError) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        inside = Path(frame.filename).is_relative_to(PACKAGE)
        assert inside, f"raised in {frame.filename}:{frame.lineno}, not by xferkit: {error!r}"
        assert len(str(error).split()) >= 5, f"says too little: {error!r}"
        return None, error


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XFERKIT_CACHE", "off")
