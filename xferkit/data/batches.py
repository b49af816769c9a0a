"""Batches of in-memory pictures, scaled in the one place that scales."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from xferkit.data.split import Split
from xferkit.session import device


def to_float(x: Tensor) -> Tensor:
    """uint8 pixels to float, (x − 127) / 128, about [−1, 1): the one scale that every network here is fed.

    Source and target are scaled by the same two constants. A mean and a deviation of each domain's own would remove
    part of the shift before any method is tried; two different ranges would give the domain away.
    """
    return (x.float() - 127.0) / 128.0


class TensorLoader:
    """Batches `(x, y)` of in-memory pictures, scaled by `to_float`, on the running device.

    Pictures stay uint8 until their batch is made, so a set takes a quarter of the memory, and no worker process is
    needed. Each `iter()` is one epoch; with `shuffle`, each in a new order.

    Args:
        x: uint8 (N, 3, H, W).
        y: int64 (N,).
        generator: the source of the order, so that a run can be repeated.
    Raises:
        ValueError: no pictures, or lengths that differ.
    """

    def __init__(
        self, x: Tensor, y: Tensor, batch_size: int, *, shuffle: bool = False, generator: torch.Generator | None = None
    ) -> None:
        if len(x) == 0 or len(x) != len(y) or batch_size < 1:
            raise ValueError(
                f"{len(x)} pictures, {len(y)} labels, batch size {batch_size}: need as many labels as pictures."
            )
        self.x, self.y = x.to(device()), y.to(device())
        self.batch_size, self.shuffle, self.generator = batch_size, shuffle, generator

    def __len__(self) -> int:
        return -(-len(self.x) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.x), generator=self.generator) if self.shuffle else torch.arange(len(self.x))
        for index in order.split(self.batch_size):
            index = index.to(self.x.device)
            yield to_float(self.x[index]), self.y[index]


def paired_batches(
    source: Split, target: Split, batch_size: int, *, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Endless `(x_s, y_s, x_t)`, each with `batch_size` pictures. The target's labels are never read, let alone given.

    Both sides are drawn in full, shuffled passes; what is left of a pass after its last whole batch is dropped.

    Raises:
        ValueError: a side has fewer pictures than a batch, or the pictures' sizes differ.
    """
    if source.x.shape[1:] != target.x.shape[1:]:
        raise ValueError(
            f"source pictures are {tuple(source.x.shape[1:])}, target pictures {tuple(target.x.shape[1:])}."
        )
    for name, side in (("source", source), ("target", target)):
        if len(side) < batch_size:
            raise ValueError(f"the {name} has {len(side)} pictures, fewer than a batch of {batch_size}.")
    x_s, y_s, x_t = (t.to(device()) for t in (source.x, source.y, target.x))

    def endless(n: int) -> Iterator[Tensor]:
        while True:
            order = torch.randperm(n, generator=generator)
            yield from order[: n - n % batch_size].to(device()).split(batch_size)

    for i, j in zip(endless(len(x_s)), endless(len(x_t)), strict=False):
        yield to_float(x_s[i]), y_s[i], to_float(x_t[j])
