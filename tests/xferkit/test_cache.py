"""The cache of features on disk: nothing is computed twice, nothing wrong is found, and nothing stops a run."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from feature_toys import entries, pictures, small
from torch import Tensor, nn

from xferkit.data import to_float
from xferkit.features import extract_features
from xferkit.models import Classifier
from xferkit.session import device, threads
from xferkit.tuning import freeze


def test_the_second_time_nothing_is_computed_and_every_bit_is_the_same(folder: Path, asked: list[int]) -> None:
    first = extract_features(small(), pictures(), layers=["stage1", "flatten"])
    assert len(asked) == 1 and len(entries(folder)) == 2
    second = extract_features(small(), pictures(), layers=["flatten", "stage1"])  # an equal network, another order
    assert len(asked) == 1 and list(second) == ["flatten", "stage1"]
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert sorted(folder.iterdir()) == entries(folder)  # nothing half written


def test_a_layer_kept_for_one_question_serves_another(folder: Path, asked: list[int]) -> None:
    extract_features(small(), pictures(), layers=["stage1", "stage2"])
    extract_features(small(), pictures(), layers=["stage2"])
    assert len(asked) == 1
    extract_features(small(), pictures(), layers=["stage2", "flatten"])
    assert len(asked) == 2 and len(entries(folder)) == 3


def test_the_head_and_later_stages_do_not_matter(folder: Path, asked: list[int]) -> None:
    model = small()
    extract_features(model, pictures(), layers=["stage1"])
    model.head = nn.Linear(768, 3).to(device())
    with torch.no_grad():
        model.features.stage2[0].weight.add_(1)
    freeze(model)
    extract_features(model.train(), pictures(), layers=["stage1"])
    assert len(asked) == 1


def test_what_is_handed_out_is_the_callers_own(folder: Path) -> None:
    model = small()
    expected = extract_features(model, pictures())["flatten"].clone()
    for _ in range(2):
        extract_features(model, pictures())["flatten"].fill_(7)
    got = extract_features(model, pictures())["flatten"]
    assert torch.equal(got, expected)
    nn.Linear(768, 2)(got).sum().backward()


CHANGES = {
    "a weight": lambda m: m.features.stage1[0].weight[0, 0, 0, 0].add_(1e-3),
    "a buffer": lambda m: m.features.stage1[1].running_mean[0].add_(1e-3),
    "a setting": lambda m: setattr(m.features.stage1[1], "eps", 1e-3),
    "a layer": lambda m: m.features.stage1.__setitem__(2, nn.LeakyReLU()),
    "a layer of the same class": lambda m: m.features.stage1.__setitem__(3, nn.MaxPool2d(2, stride=1, padding=0)),
    "the dtype": lambda m: m.double(),
    "the order in memory": lambda m: m.to(memory_format=torch.contiguous_format),
    "a method of its own": lambda m: setattr(m.features.stage1[2], "forward", torch.tanh),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_network_that_differs_is_another_entry(change: str, folder: Path) -> None:
    model = small()
    extract_features(model, pictures(), layers=["stage1"])
    with torch.no_grad():
        CHANGES[change](model)
    fresh = extract_features(model, pictures(), layers=["stage1"])["stage1"]
    assert len(entries(folder)) == 2
    with torch.no_grad():
        x = to_float(pictures().to(device())).to(next(model.parameters()).dtype)
        expected = model.eval().features.stage1(x).mean((2, 3)).float().cpu()
    torch.testing.assert_close(fresh, expected, atol=1e-5 if device().type == "cpu" else 5e-3, rtol=1e-3)


def test_pictures_batch_size_threads_and_autocast_are_part_of_the_key(folder: Path) -> None:
    model, x = small(), pictures()
    extract_features(model, x)
    changed = x.clone()
    changed[3, 1, 5, 7] ^= 1
    extract_features(model, changed)
    extract_features(model, x.flip(0))
    extract_features(model, x[:5])
    extract_features(model, x, batch_size=4)
    assert len(entries(folder)) == 5
    with threads(torch.get_num_threads() + 1):
        extract_features(model, x)
    with torch.autocast(device().type, dtype=torch.bfloat16):
        rough = extract_features(model, x)["flatten"]
    assert len(entries(folder)) == 7
    assert not torch.equal(rough, extract_features(model, x)["flatten"])


def test_how_pixels_are_scaled_is_part_of_the_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small()
    first = extract_features(model, pictures())["flatten"]
    monkeypatch.setattr("xferkit.train.to_float", lambda x: x.float() / 255)
    second = extract_features(model, pictures())["flatten"]
    assert len(entries(folder)) == 2 and not torch.allclose(first, second)


SOURCE_CODE = """
import math
import torch
from torch import nn
FACTOR = {factor}
def helper(x, by={default}):
    return x * by
class Mine(nn.Module):
    shift = {shift}
    def forward(self, x):
        inner = lambda z: z * {inner}
        return torch.relu(helper(inner(x)) * FACTOR + self.shift).flatten(1)
"""
PLAIN = {"factor": 1.0, "default": 1.0, "shift": 0.0, "inner": 1.0}


def cell(**changes: float) -> Classifier:
    """A network as a notebook's cell would define it anew, under the same name."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    exec(SOURCE_CODE.format(**(PLAIN | changes)), namespace)
    return Classifier(nn.Sequential(OrderedDict(mine=namespace["Mine"]())), nn.Linear(2352, 2))


@pytest.mark.parametrize("change", list(PLAIN))
def test_a_class_defined_anew_under_its_old_name_is_another_network(change: str, folder: Path) -> None:
    """Its own code, an inner function's, a helper's default, a global number, a class's attribute."""
    first = extract_features(cell(), pictures())["mine"]
    again = extract_features(cell(), pictures())["mine"]
    assert len(entries(folder)) == 1 and torch.equal(first, again)
    second = extract_features(cell(**{change: 2.0}), pictures())["mine"]
    assert len(entries(folder)) == 2 and not torch.equal(first, second)
    if change != "shift":
        torch.testing.assert_close(second, 2 * first)


def test_a_patched_forward_of_torchs_own_is_seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = extract_features(small(), pictures())["flatten"]
    monkeypatch.setattr(nn.ReLU, "forward", lambda self, x: torch.tanh(x))
    assert not torch.allclose(first, extract_features(small(), pictures())["flatten"])


class Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x)  # training=True by default: also in evaluation mode


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


class Handle(nn.Module):
    """Depends on something that has no digest."""

    def __init__(self) -> None:
        super().__init__()
        self.what = iter([2.0])

    def forward(self, x: Tensor) -> Tensor:
        return x * 2


class Hostile(nn.Module):
    """Holds something that fails when it is looked at."""

    def __init__(self) -> None:
        super().__init__()

        class Closed:
            def __getattr__(self, name: str) -> NoReturn:
                raise LookupError(name)

        self.what = Closed()

    def forward(self, x: Tensor) -> Tensor:
        return x * 2


@pytest.mark.parametrize("kind", [Noisy, Counting, Handle, Hostile])
def test_networks_that_give_something_else_each_time_are_not_kept(kind: type[nn.Module], folder: Path) -> None:
    model = Classifier(nn.Sequential(OrderedDict(odd=kind(), flat=nn.Flatten())), nn.Linear(2352, 2))
    extract_features(model, pictures())
    assert entries(folder) == []


def test_hooks_of_the_readers_own_are_obeyed_each_time(folder: Path, asked: list[int]) -> None:
    model = small()
    plain = extract_features(model, pictures())["flatten"]
    handle = model.features.stage2.register_forward_hook(lambda module, inputs, output: output * 2)
    torch.testing.assert_close(extract_features(model, pictures())["flatten"], 2 * plain)
    handle.remove()
    whole = model.features.register_forward_hook(lambda module, inputs, output: output * 3)
    torch.testing.assert_close(extract_features(model, pictures())["flatten"], 3 * plain)
    whole.remove()
    everywhere = nn.modules.module.register_module_forward_hook(lambda module, inputs, output: output * 1)
    extract_features(model, pictures())
    everywhere.remove()
    assert len(entries(folder)) == 1 and len(asked) == 4
    extract_features(model, pictures())
    assert len(asked) == 4


@pytest.mark.parametrize("damage", ["truncated", "emptied", "one bit", "another entry", "a folder"])
def test_a_damaged_entry_is_named_once_and_computed_again(damage: str, folder: Path, asked: list[int]) -> None:
    model = small()
    right = extract_features(model, pictures())["flatten"]
    (entry,) = entries(folder)
    raw = bytearray(entry.read_bytes())
    if damage == "truncated":
        entry.write_bytes(raw[: len(raw) // 2])
    elif damage == "emptied":
        entry.write_bytes(b"")
    elif damage == "one bit":
        raw[-100] ^= 4
        entry.write_bytes(raw)
    elif damage == "another entry":  # whole, but not what its name says
        extract_features(model, pictures(seed=1))
        (other,) = set(entries(folder)) - {entry}
        entry.write_bytes(other.read_bytes())
    else:
        entry.unlink()
        entry.mkdir()
    asked.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert torch.equal(extract_features(model, pictures())["flatten"], right)
    said = [str(w.message) for w in caught]
    assert len(said) == 1 and (str(entry) in said[0] or damage == "a folder" and str(folder) in said[0])
    assert len(asked) == (2 if damage == "a folder" else 1)  # a file is replaced by a good one


def fail_with(number: int) -> Callable[..., NoReturn]:
    def fail(*args: object, **kwargs: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("where", ["full", "no room to rename", "a file in the way", "not writable"])
def test_a_cache_that_cannot_be_written_is_named_once_and_stops_nothing(
    where: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small()
    folder.mkdir()
    if where == "full":
        monkeypatch.setattr("xferkit._files.os.fdopen", fail_with(errno.ENOSPC))
    elif where == "no room to rename":
        monkeypatch.setattr("xferkit._files.os.replace", fail_with(errno.ENOSPC))
    elif where == "a file in the way":
        folder.rmdir()
        folder.write_text("not a folder")
    else:
        monkeypatch.setattr("xferkit._files.tempfile.mkstemp", fail_with(errno.EACCES))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        first, second = (extract_features(model, pictures())["flatten"] for _ in range(2))
    assert torch.equal(first, second)
    said = [str(w.message) for w in caught]
    assert len(said) == 1 and str(folder) in said[0] and "XFERKIT_CACHE" in said[0]
    assert folder.is_file() or list(folder.iterdir()) == []


def test_an_interrupt_while_writing_leaves_no_part_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("xferkit._files.os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        extract_features(small(), pictures())
    assert list(folder.iterdir()) == []


def test_the_cache_can_be_switched_off_and_a_missing_home_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xferkit._cache._said", set())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XFERKIT_CACHE", "OFF")
    extract_features(small(), pictures())
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("XFERKIT_CACHE", "~nobody-has-this-name/features")
    with pytest.warns(UserWarning, match="home folder.*XFERKIT_CACHE"):
        extract_features(small(), pictures())
    monkeypatch.delenv("XFERKIT_CACHE")
    extract_features(small(), pictures())
    assert len(entries(tmp_path / ".cache/xferkit/features")) == 1


def test_the_cache_stays_within_its_bound_and_keeps_what_was_read_last(
    folder: Path, monkeypatch: pytest.MonkeyPatch, asked: list[int]
) -> None:
    model = small()
    for seed in range(3):
        extract_features(model, pictures(seed=seed))
        for age, entry in enumerate(sorted(entries(folder), key=os.path.getmtime)):
            os.utime(entry, (1e9 + age, 1e9 + age))
    extract_features(model, pictures(seed=0))  # read again: now the youngest
    half = folder / "xferkit-killed.part"
    half.write_bytes(b"x" * 10)
    os.utime(half, (1e9, 1e9))
    monkeypatch.setattr("xferkit._cache.LIMIT", 3 * entries(folder)[0].stat().st_size)
    others = [folder / "model.safetensors", folder / "thesis.part"]  # the reader's own, in the folder that he chose
    for other in others:
        other.write_bytes(b"x" * 10**6)
        os.utime(other, (1e8, 1e8))
    extract_features(model, pictures(seed=3))
    assert all(other.exists() for other in others)
    assert len(entries(folder)) == 3 + 1 and not half.exists()
    asked.clear()
    extract_features(model, pictures(seed=0))
    extract_features(model, pictures(seed=2))
    assert asked == []
    extract_features(model, pictures(seed=1))
    assert asked == [1]


FILLER = """
import sys, torch
from xferkit.features import extract_features
from xferkit.models import lenet
for round in range(6):
    torch.manual_seed(round)
    model = lenet()
    for seed in range(3):
        x = torch.randint(256, (20, 3, 28, 28), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
        z = extract_features(model, x, layers=["stage1", "flatten"])
        print(z["stage1"].double().sum().item(), z["flatten"].double().sum().item())
"""


def test_two_processes_may_fill_it_at_once(folder: Path) -> None:
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "random"}
    command = [sys.executable, "-W", "error", "-c", FILLER]
    together = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [process.communicate(timeout=240)[0] for process in together]
    assert all(process.returncode == 0 for process in together)
    assert printed[0] == printed[1] and len(printed[0].splitlines()) == 18
    kept = entries(folder)
    assert len(kept) == 36 and sorted(folder.iterdir()) == kept
    before = [path.read_bytes() for path in kept]
    alone = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240, check=True).stdout
    assert alone == printed[0] and [path.read_bytes() for path in entries(folder)] == before
