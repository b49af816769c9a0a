"""Batches: each picture once an epoch, scaled once, an order that can be repeated, and no label of a target."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from data_toys import generator, ramp, shown

from xferkit.data import Split, TensorLoader, paired_batches, to_float
from xferkit.session import device


def test_pixels_become_floats_about_minus_one_to_one() -> None:
    x = torch.tensor([0, 127, 255], dtype=torch.uint8)
    assert to_float(x).tolist() == [-127 / 128, 0, 1] and to_float(x).dtype == torch.float32


def test_an_epoch_gives_every_picture_once_scaled_on_the_device() -> None:
    split = ramp()
    loader = TensorLoader(split.x, split.y, 4, shuffle=True, generator=generator(), device=device())
    batches = list(loader)
    assert [len(y) for _, y in batches] == [4, 4, 2] and len(loader) == 3
    x, y = (torch.cat(t) for t in zip(*batches, strict=True))
    assert x.device.type == y.device.type == device().type and x.dtype == torch.float32
    order = shown(x)
    assert sorted(order) == list(range(10)) and order != list(range(10))
    assert y.tolist() == [i % 3 for i in order]
    assert torch.equal(x.cpu(), to_float(split.x[order]))


def test_shuffling_is_new_each_epoch_and_repeats_with_its_generator() -> None:
    split = ramp(200)

    def two_epochs(seed: int) -> list[list[int]]:
        loader = TensorLoader(split.x, split.y, 50, shuffle=True, generator=generator(seed))
        return [shown(torch.cat([x for x, _ in loader])) for _ in range(2)]

    first, second = two_epochs(0)
    assert first != second
    assert two_epochs(0) == [first, second] and two_epochs(1) != [first, second]


def test_without_shuffling_the_order_stands() -> None:
    split = ramp()
    assert shown(torch.cat([x for x, _ in TensorLoader(split.x, split.y, 3)])) == list(range(10))


@pytest.mark.parametrize(
    ("n", "labels", "size", "message"),
    [
        (0, 0, 4, "0 pictures, 0 labels"),
        (3, 2, 4, "3 pictures, 2 labels"),
        (3, 3, 0, "batch_size=0 must be at least 1"),
        (3, 3, -1, "batch_size=-1 must be at least 1"),
    ],
)
def test_a_loader_refuses_what_it_cannot_load(n: int, labels: int, size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TensorLoader(torch.zeros(n, 3, 4, 4, dtype=torch.uint8), torch.zeros(labels, dtype=torch.int64), size)


def test_paired_batches_give_source_labels_and_never_the_targets() -> None:
    source, target = ramp(12), ramp(9)
    unlabelled = Split(target.x, torch.full((9,), -1))
    for batch, same in zip(
        itertools.islice(paired_batches(source, target, 4, generator=generator(), device=device()), 20),
        paired_batches(source, unlabelled, 4, generator=generator(), device=device()),
        strict=False,
    ):
        assert len(batch) == 3  # x_s, y_s, x_t
        x_s, y_s, x_t = batch
        assert x_s.shape == x_t.shape == (4, 3, 4, 4) and x_t.device.type == device().type
        assert y_s.tolist() == [i % 3 for i in shown(x_s)]
        assert all(torch.equal(a, b) for a, b in zip(batch, same, strict=True))


def test_paired_batches_go_through_each_side_in_full_passes() -> None:
    """12 source pictures make three whole batches, 9 target pictures two, with one left over each time."""
    batches = list(itertools.islice(paired_batches(ramp(12), ramp(9), 4, generator=generator()), 6))
    source, target = [shown(b[0]) for b in batches], [shown(b[2]) for b in batches]
    for start in (0, 3):
        assert sorted(sum(source[start : start + 3], [])) == list(range(12))
    for start in (0, 2, 4):
        assert len(set(sum(target[start : start + 2], []))) == 8
    assert source[:3] != source[3:]
    assert set(sum(target, [])) == set(range(9))


def test_paired_batches_refuse_what_does_not_fit() -> None:
    small = Split(torch.zeros(9, 3, 5, 4, dtype=torch.uint8), torch.zeros(9, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"\(3, 4, 4\).*\(3, 5, 4\)"):
        next(paired_batches(ramp(), small, 2, generator=generator()))
    with pytest.raises(ValueError, match="target has 9 pictures, fewer than a batch of 10"):
        next(paired_batches(ramp(10), ramp(9), 10, generator=generator()))


# -------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("wrong", [torch.zeros(2), torch.zeros(2, dtype=torch.int64), torch.zeros(2).bool()])
def test_pixels_are_scaled_once(wrong: torch.Tensor) -> None:
    with pytest.raises(TypeError, match=f"{wrong.dtype}, but must be uint8.*neither divided by 255 nor passed through"):
        to_float(wrong)
    with pytest.raises(TypeError, match="uint8"):
        to_float(to_float(wrong.to(torch.uint8)))
    with pytest.raises(TypeError, match="not ndarray: see torch.from_numpy"):
        to_float(wrong.to(torch.uint8).numpy())
    split = ramp()
    with pytest.raises(TypeError, match="uint8"):
        TensorLoader(split.x.to(wrong.dtype), split.y, 4)


def test_a_loader_checks_labels_and_sizes() -> None:
    split = ramp()
    with pytest.raises(TypeError, match="labels are torch.float32"):
        TensorLoader(split.x, torch.zeros(10), 4)
    with pytest.raises(ValueError, match=r"not \(10, 1\)"):
        TensorLoader(split.x, split.y[:, None], 4)
    for size in (2.0, True, None, "4"):
        with pytest.raises(TypeError, match="batch_size"):
            TensorLoader(split.x, split.y, size)
        with pytest.raises(TypeError, match="batch_size"):
            paired_batches(split, split, size, generator=generator())
    for size in (0, -1):
        with pytest.raises(ValueError, match=f"batch_size={size} must be at least 1"):
            paired_batches(split, split, size, generator=generator())
    for wrong in (0, "seed"):
        with pytest.raises(TypeError, match="must be a torch.Generator"):
            TensorLoader(split.x, split.y, 4, shuffle=True, generator=wrong)
        with pytest.raises(TypeError, match="must be a torch.Generator"):
            paired_batches(split, split, 4, generator=wrong)


def test_paired_batches_complain_when_they_are_made_not_when_they_are_used() -> None:
    with pytest.raises(ValueError, match="fewer than a batch"):
        paired_batches(ramp(10), ramp(9), 10, generator=generator())
    with pytest.raises(ValueError, match="the source's labels hold -1"):
        paired_batches(Split(ramp().x, torch.full((10,), -1)), ramp(), 4, generator=generator())


# ------------------------------------------------------------------------------------------ sizes, devices, generators


def test_batch_sizes_may_be_numpy_integers_and_larger_than_the_set() -> None:
    split = ramp()
    assert [len(y) for _, y in TensorLoader(split.x, split.y, np.int32(4))] == [4, 4, 2]
    assert [len(y) for _, y in TensorLoader(split.x, split.y, 99)] == [10]
    assert next(paired_batches(split, split, np.int64(3), generator=generator()))[0].shape == (3, 3, 4, 4)


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_rest_can_be_dropped(shuffle: bool) -> None:
    split = ramp()
    loader = TensorLoader(split.x, split.y, 3, shuffle=shuffle, generator=generator(), drop_last=True)
    sizes = [len(y) for _, y in loader]
    assert sizes == [3, 3, 3] and len(loader) == 3
    assert len(TensorLoader(split.x, split.y, 5, drop_last=True)) == 2  # nothing left over
    with pytest.raises(ValueError, match="10 pictures give no whole batch of 11"):
        TensorLoader(split.x, split.y, 11, drop_last=True)


def test_without_a_device_pictures_stay_where_they_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever XFERKIT_DEVICE says: only `device=` moves them."""
    monkeypatch.setenv("XFERKIT_DEVICE", "no such device")
    split = ramp()
    loader = TensorLoader(split.x, split.y, 4)
    assert loader.x is split.x
    x_s, y_s, x_t = next(paired_batches(split, split, 4, generator=generator()))
    assert {t.device.type for t in (x_s, y_s, x_t, *next(iter(loader)))} == {"cpu"}
    assert {t.device.type for t in (*next(iter(TensorLoader(split.x, split.y, 4, device="meta"))),)} == {"meta"}
    moved = next(paired_batches(split, split, 4, generator=generator(), device="meta"))
    assert {t.device.type for t in moved} == {"meta"}


def test_without_a_generator_torchs_own_decides_the_order() -> None:
    split = ramp(100)

    def order() -> list[int]:
        return shown(torch.cat([x for x, _ in TensorLoader(split.x, split.y, 50, shuffle=True)]))

    torch.manual_seed(3)
    first, second = order(), order()
    torch.manual_seed(3)
    assert [order(), order()] == [first, second] and first != second
    before = torch.get_rng_state()
    list(TensorLoader(split.x, split.y, 50, shuffle=True, generator=generator()))
    assert torch.equal(torch.get_rng_state(), before)  # with one, torch's is not touched


def test_pictures_that_are_not_contiguous_are_batched_right() -> None:
    wide = torch.arange(10 * 4 * 8 * 3, dtype=torch.int64).remainder(256).to(torch.uint8).view(10, 4, 8, 3)
    x = wide.permute(0, 3, 1, 2)[..., ::2]
    got = torch.cat([b for b, _ in TensorLoader(x, torch.arange(10), 3)])
    assert torch.equal(got, to_float(x.contiguous()))
