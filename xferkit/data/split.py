"""Labelled pictures in memory as uint8: a split, and a domain of three splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """N labelled pictures: `x` uint8 (N, 3, H, W), `y` int64 (N,), and for some sets a name and a group for each."""

    x: Tensor
    y: Tensor
    names: tuple[str, ...] | None = None
    groups: Tensor | None = None

    def __post_init__(self) -> None:
        if self.x.dtype != torch.uint8 or self.x.ndim != 4 or self.x.shape[1] != 3:
            raise ValueError(f"pictures must be uint8 (N, 3, H, W), not {self.x.dtype} {tuple(self.x.shape)}.")
        if len(self.x) != len(self.y):
            raise ValueError(f"{len(self.x)} pictures but {len(self.y)} labels.")

    def __len__(self) -> int:
        return len(self.y)

    def subset(self, indices: Tensor | Sequence[int]) -> Split:
        """The pictures at these positions, in this order."""
        index = torch.as_tensor(indices, dtype=torch.int64)
        names = None if self.names is None else tuple(self.names[i] for i in index.tolist())
        return Split(self.x[index], self.y[index], names, None if self.groups is None else self.groups[index])


@dataclass(frozen=True)
class Domain:
    """A marginal P(X) with its labels: `train` to learn from, `val` to choose with, `test` to read once at the end."""

    name: str
    train: Split
    val: Split
    test: Split
    classes: tuple[str, ...]

    def __str__(self) -> str:
        sizes = " / ".join(str(len(s)) for s in (self.train, self.val, self.test))
        height, width = self.train.x.shape[2:]
        return f"{self.name}: {sizes} train / val / test, {len(self.classes)} classes, {height}×{width} px"


def few_labels(split: Split, per_class: int, generator: torch.Generator) -> Split:
    """`per_class` pictures of each class, drawn without replacement (all of a class that has fewer)."""
    order = torch.randperm(len(split), generator=generator)
    picked = [order[split.y[order] == c][:per_class] for c in split.y.unique()]
    return split.subset(torch.cat(picked))


def cut(name: str, whole: Split, parts: Sequence[Tensor], classes: tuple[str, ...]) -> Domain:
    """A domain from one set and the positions of its train, validation and test part."""
    train, val, test = (whole.subset(part) for part in parts)
    return Domain(name, train, val, test, classes)


def random_parts(y: Tensor, sizes: tuple[int, ...], seed: int) -> tuple[Tensor, ...]:
    """Disjoint index sets of these sizes, stratified by class; the last takes what is left."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(y), generator=generator)
    ranks = torch.empty(len(y))
    for c in y.unique():
        mine = order[y[order] == c]
        ranks[mine] = (torch.arange(len(mine)) + 0.5) / len(mine)
    by_rank = torch.argsort(ranks, stable=True)
    return by_rank.split([*sizes, len(y) - sum(sizes)])
