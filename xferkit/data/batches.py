"""Batches of in-memory pictures, scaled in the one place that scales."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from xferkit._checks import check_count, check_generator, check_labels, check_uint8
from xferkit.data.split import Split, shuffled


def to_float(x: Tensor) -> Tensor:
    """uint8 pixels to float32, (x − 127) / 128, about [−1, 1): the one scale that every network here is fed.

    Source and target are scaled by the same two constants. A mean and a deviation of each domain's own would remove
    part of the shift before any method is tried; two different ranges would give the domain away.

    Raises:
        TypeError: anything but uint8, such as pixels that were divided by 255 or have been here before.
    """
    check_uint8(x)
    return (x.float() - 127.0) / 128.0


class TensorLoader:
    """Batches `(x, y)` of in-memory pictures: float32 (B, 3, H, W), scaled by `to_float`, and int64 (B,).

    Pictures stay uint8 until their batch is made, so a set takes a quarter of the memory, and no worker process is
    needed. Each `iter()` is one epoch; with `shuffle`, each in a new order.

    Args:
        x: uint8 (N, 3, H, W).
        y: int64 (N,).
        generator: the source of the order, so that a run can be repeated; read only with `shuffle`. None is torch's
            global one, whose state depends on all that was drawn before.
        device: where the whole set is kept and batches are made; None leaves it where it lies.
        drop_last: leave out what remains after the last whole batch: a batch of one stops BatchNorm in training.
    Raises:
        TypeError: pictures that are not uint8, labels that are not integers, a batch size that is no whole number.
        ValueError: no pictures, lengths that differ, or not one whole batch with `drop_last`.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        batch_size: int,
        *,
        shuffle: bool = False,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        drop_last: bool = False,
    ) -> None:
        if generator is not None:
            check_generator(generator)
        size = check_count(batch_size, what="batch_size")
        if len(x) == 0 or len(x) != len(y):
            raise ValueError(f"{len(x)} pictures, {len(y)} labels: need at least one picture, and as many labels.")
        split = Split(x, y)  # the checks of pictures and labels
        if drop_last and len(split) < size:
            raise ValueError(f"{len(split)} pictures give no whole batch of {size}: take drop_last=False.")
        self.x = split.x if device is None else split.x.to(device)
        self.y = split.y.to(self.x.device)
        self.batch_size, self.shuffle, self.generator, self.drop_last = size, shuffle, generator, drop_last

    def __len__(self) -> int:
        whole, rest = divmod(len(self.x), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = shuffled(len(self.x), self.generator) if self.shuffle else torch.arange(len(self.x))
        for index in order.split(self.batch_size)[: len(self)]:
            index = index.to(self.x.device)
            yield to_float(self.x[index]), self.y[index]


def paired_batches(
    source: Split,
    target: Split,
    batch_size: int,
    *,
    generator: torch.Generator,
    device: torch.device | str | None = None,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Endless `(x_s, y_s, x_t)`, each with `batch_size` pictures. The target's labels are never read, let alone given.

    Both sides are drawn in full, shuffled passes; what is left of a pass after its last whole batch is dropped.

    Args:
        device: where both sets are kept and batches are made; None leaves each where it lies.
    Returns:
        x_s and x_t are float32 (B, 3, H, W), scaled by `to_float`; y_s is int64 (B,).
    Raises:
        TypeError: a batch size that is no whole number, or no generator.
        ValueError: a side has fewer pictures than a batch, the pictures' sizes differ, or the source is not labelled.
    """
    size = check_count(batch_size, what="batch_size")
    check_generator(generator)
    check_labels(source.y, what="the source's labels")
    if source.x.shape[1:] != target.x.shape[1:]:
        raise ValueError(
            f"source pictures are {tuple(source.x.shape[1:])}, target pictures {tuple(target.x.shape[1:])}."
        )
    for name, side in (("source", source), ("target", target)):
        if len(side.x) < size:
            raise ValueError(f"the {name} has {len(side.x)} pictures, fewer than a batch of {size}.")
    x_s, x_t = (x if device is None else x.to(device) for x in (source.x, target.x))
    return _pairs(x_s, source.y.to(x_s.device), x_t, size, generator)


def _pairs(
    x_s: Tensor, y_s: Tensor, x_t: Tensor, size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    def endless(x: Tensor) -> Iterator[Tensor]:
        n = len(x)
        while True:
            yield from shuffled(n, generator)[: n - n % size].to(x.device).split(size)

    for i, j in zip(endless(x_s), endless(x_t), strict=False):
        yield to_float(x_s[i]), y_s[i], to_float(x_t[j])
