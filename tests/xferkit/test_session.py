"""The session: device, profile and seeds, and that the public names are documented."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

import xferkit
from xferkit.session import by_profile, data_root, device, profile, seed_everything, setup


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_setup_prints_one_line_that_names_what_was_chosen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XFERKIT_DEVICE", "cpu")
    session = setup(seed=7)
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1 and printed.endswith("\n")
    for word in (xferkit.__version__, torch.__version__, "cpu", "profile small", "seed 7"):
        assert word in printed
    assert (session.seed, session.device, session.profile) == (7, torch.device("cpu"), "small")
    assert session.versions["torch"] == torch.__version__


def test_setup_seeds_python_numpy_and_torch() -> None:
    setup(seed=3)
    first = draw()
    setup(seed=3)
    assert draw() == first
    setup(seed=4)
    assert all(a != b for a, b in zip(draw(), first, strict=True))


def test_seeds_beyond_32_bits_work() -> None:
    seed_everything(2**40 + 1)
    first = draw()
    seed_everything(2**40 + 1)
    assert draw() == first


@pytest.mark.parametrize(
    ("variable", "valid"), [("XFERKIT_DEVICE", ("auto", "cpu", "cuda", "mps")), ("XFERKIT_PROFILE", ("small", "full"))]
)
def test_an_unknown_word_names_the_valid_ones(
    variable: str, valid: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "bogus")
    with pytest.raises(ValueError) as caught:
        setup(0)
    message = str(caught.value)
    assert variable in message and "bogus" in message
    assert all(word in message for word in valid)


def test_case_and_space_in_the_variables_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XFERKIT_DEVICE", " CPU ")
    monkeypatch.setenv("XFERKIT_PROFILE", "")
    assert device() == torch.device("cpu")
    assert profile() == "small"


def test_auto_takes_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XFERKIT_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device().type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device().type == "cpu"


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XFERKIT_DEVICE", name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match=f"XFERKIT_DEVICE={name}.*cpu"):
        device()


def test_by_profile_gives_the_running_profiles_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XFERKIT_PROFILE", raising=False)
    assert by_profile(small=1, full=2) == 1
    monkeypatch.setenv("XFERKIT_PROFILE", "full")
    assert by_profile(small=1, full=2) == 2


def test_data_root_follows_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XFERKIT_DATA", str(tmp_path))
    assert data_root() == tmp_path
    monkeypatch.setenv("XFERKIT_DATA", "~/pictures")
    assert data_root() == Path.home() / "pictures"
    monkeypatch.delenv("XFERKIT_DATA")
    assert Path.home() in data_root().parents


@pytest.mark.parametrize("name", xferkit.__all__)
def test_public_names_exist_and_are_documented(name: str) -> None:
    public = getattr(xferkit, name)
    if callable(public):
        assert public.__doc__ and not public.__doc__.startswith(f"{name}("), f"{name} has no docstring of its own"
