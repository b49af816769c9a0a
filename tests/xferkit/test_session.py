"""The session: device, profile, seeds, threads and the allocator."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import xferkit
from xferkit import session
from xferkit.session import by_profile, cache_root, data_root, device, profile, seed_everything, setup, threads


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


def test_numpys_integers_are_seeds() -> None:
    setup(seed=3)
    first = draw()
    session = setup(seed=np.int64(3))
    assert draw() == first and session.seed == 3 and type(session.seed) is int


@pytest.mark.parametrize(
    ("seed", "kind"), [(1.0, TypeError), (True, TypeError), ("1", TypeError), (-1, ValueError), (2**64, ValueError)]
)
def test_what_is_no_seed_is_refused(seed: object, kind: type[Exception]) -> None:
    """-1 among them: Python's own generator takes it for 1, and the others do not."""
    with pytest.raises(kind, match="seed="):
        seed_everything(seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["ascii", "iso8859-2"])
def test_setup_prints_where_the_terminal_cannot_show_every_character(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XFERKIT_DEVICE", "cpu")
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, write_through=True))
    setup(seed=7)
    printed = raw.getvalue().decode(encoding)
    assert printed.count("\n") == 1 and all(word in printed for word in (torch.__version__, "profile small", "seed 7"))


def test_a_missing_home_folder_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(self: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", nowhere)
    for variable, folder in (("XFERKIT_DATA", data_root), ("XFERKIT_CACHE", cache_root)):
        monkeypatch.delenv(variable, raising=False)
        with pytest.raises(OSError, match=f"home folder.*{variable}"):
            folder()


def test_where_features_are_kept_follows_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XFERKIT_CACHE", str(tmp_path))
    assert cache_root() == tmp_path
    monkeypatch.setenv("XFERKIT_CACHE", " Off ")
    assert cache_root() is None
    monkeypatch.setenv("XFERKIT_CACHE", "")
    assert cache_root() == Path.home() / ".cache" / "xferkit" / "features"


def test_threads_are_pinned_and_put_back() -> None:
    before = torch.get_num_threads()
    with threads(before + 1):
        assert torch.get_num_threads() == before + 1
        with pytest.raises(ZeroDivisionError), threads(before + 2):
            1 / 0  # noqa: B018
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before

    @threads(before + 1)
    def inside() -> int:
        return torch.get_num_threads()

    assert inside() == inside() == before + 1 and torch.get_num_threads() == before


@pytest.mark.parametrize(("n", "said"), [(1, "(1 thread)"), (2, "(2 threads)")])
def test_the_first_line_counts_the_threads(n: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with threads(n):
        setup()
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(("n", "kind"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_a_number_of_threads_that_is_none_is_refused(n: object, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="n="), threads(n):  # type: ignore[arg-type]
        pass


KEPT = """
import resource, statistics, sys, torch
import xferkit as xk
if sys.argv[1] == "setup":
    xk.setup(0)
def step():
    [torch.ones(2_000_000) for _ in range(3)]  # 8 MB each, as a network's activations are
for _ in range(5):
    step()
asked = []
for _ in range(20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step()
    asked.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(int(20 * statistics.median(asked)))  # a system short of memory may take one step's pages back
"""


def pages(how: str, **env: str) -> int:
    """How many pages twenty steps like the middle one ask the system for, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", KEPT, how], env=os.environ | {"OMP_NUM_THREADS": "1"} | env, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    return int(done.stdout.splitlines()[-1])


GLIBC = sys.platform == "linux" and "glibc" in str(os.confstr("CS_GNU_LIBC_VERSION"))


@pytest.mark.skipif(not GLIBC, reason="an allocator other than glibc's")
def test_after_setup_freed_memory_serves_the_next_step() -> None:
    """At most a few pages for twenty steps that together fill 480 MB, which is 117,000 pages of 4 KB."""
    assert pages("setup") < 2_000
    # The reader's own settings are not overruled: here, to give back whatever is free.
    assert pages("setup", MALLOC_TRIM_THRESHOLD_="0", MALLOC_MMAP_THRESHOLD_="65536") > 50_000


@pytest.mark.parametrize("broken", ["platform", "musl", "no such name", "no library", "an own setting"])
def test_another_allocator_is_left_alone(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> object:
        raise {"musl": ValueError, "no library": OSError}.get(broken, AttributeError)("mallopt")

    monkeypatch.setattr(session.sys, "platform", "darwin" if broken == "platform" else "linux")
    monkeypatch.setattr(session.os, "confstr", fail if broken == "musl" else lambda name: "glibc 2.36", raising=False)
    monkeypatch.setattr(session.ctypes, "CDLL", fail)
    if broken == "an own setting":
        monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    assert session._keep_freed_memory() is False
