"""Labelled pictures in memory as uint8: a split, and a domain of three splits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from xferkit._checks import check_count, check_generator, check_labels, check_pixels

PARTS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """N labelled pictures.

    Attributes:
        x: uint8 (N, 3, H, W), as stored: they are scaled in `to_float` alone.
        y: int64 (N,), the index of each picture's class; negative where a picture has no label. Other integer types
            are turned into int64.
        names: N strings, which may repeat.
        groups: int64 (N,). Pictures of one group (twins, one person, one place) belong in one part and one fold.
        classes: the name of class 0, 1, …: labels mean the same in two splits only if these agree.
    Raises:
        TypeError: pictures that are not uint8, labels or groups that are not integers, names that are not strings.
        ValueError: another shape, no pixels, lengths that differ, a label without a class name, a class name twice.
    """

    x: Tensor
    y: Tensor
    names: tuple[str, ...] | None = None
    groups: Tensor | None = None
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_pixels(self.x)
        n = len(self.x)
        for field, values in (("labels", self.y), ("groups", self.groups)):
            if values is not None:
                object.__setattr__(self, "y" if field == "labels" else field, _whole_numbers(values, n, field))
        for field in ("names", "classes"):
            if (strings := getattr(self, field)) is not None:
                object.__setattr__(self, field, _strings(strings, field))
        if self.names is not None and len(self.names) != n:
            raise ValueError(f"{n} pictures but {len(self.names)} names.")
        if self.classes is not None:
            if len(set(self.classes)) < len(self.classes):
                raise ValueError(f"a class name is there twice: {self.classes}.")
            if n and int(self.y.max()) >= len(self.classes):
                raise ValueError(f"labels go up to {int(self.y.max())}, but there are {len(self.classes)} class names.")

    def __len__(self) -> int:
        return len(self.y)

    def subset(self, indices: Tensor | Iterable[int]) -> Split:
        """Some of the pictures.

        Args:
            indices: positions, which gives the pictures in their order (a negative one counts from the end, as in
                Python), or a mask: N truth values.
        Raises:
            TypeError: floats, uint8 (a mask in older code, positions in newer), or truth values mixed with positions.
            ValueError: not one-dimensional, or a mask of another length.
            IndexError: a position that is not there.
        """
        at = _positions(indices, len(self))
        names = None if self.names is None else tuple(self.names[i] for i in at.tolist())
        groups = None if self.groups is None else self.groups[at.to(self.groups.device)]
        return replace(self, x=self.x[at.to(self.x.device)], y=self.y[at.to(self.y.device)], names=names, groups=groups)


@dataclass(frozen=True, eq=False)
class Domain:
    """A marginal P(X) with its labels: `train` to learn from, `val` to choose with, `test` to read once at the end.

    `classes` may be left out where a split has them; afterwards the domain and its three splits have the same.

    Raises:
        ValueError: an empty part, or parts whose class names or picture sizes differ.
    """

    name: str
    train: Split
    val: Split
    test: Split
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        splits = {part: getattr(self, part) for part in PARTS}
        given = {"the domain": _strings(self.classes, "classes")} if self.classes else {}
        given |= {part: split.classes for part, split in splits.items() if split.classes is not None}
        if not given:
            raise ValueError(f"{self.name}: classes are not named, neither by the domain nor by a split.")
        (first, classes), *others = given.items()
        for part, other in others:
            if other != classes:
                raise ValueError(f"{self.name}: the classes of {first} are {classes}, but of {part} {other}.")
        object.__setattr__(self, "classes", classes)
        size = self.train.x.shape[2:]
        for part, split in splits.items():
            if len(split) == 0:
                raise ValueError(f"{self.name}: {part} has no pictures.")
            if split.x.shape[2:] != size:
                raise ValueError(f"{self.name}: pictures of train are {_size(self.train)}, of {part} {_size(split)}.")
            if split.classes is None:
                object.__setattr__(self, part, replace(split, classes=classes))

    def __str__(self) -> str:
        sizes = " / ".join(str(len(s)) for s in (self.train, self.val, self.test))
        return f"{self.name}: {sizes} train / val / test, {len(self.classes)} classes, {_size(self.train)}"


def few_labels(split: Split, per_class: int, generator: torch.Generator) -> Split:
    """`per_class` pictures of each class, drawn without replacement (all of a class that has fewer).

    Raises:
        TypeError: `per_class` is no whole number, or `generator` no generator.
        ValueError: `per_class` is less than 1, the split is empty, or a picture has no label.
    """
    per_class = check_count(per_class, what="per_class")
    check_generator(generator)
    check_labels(split.y)
    if len(split) == 0:
        raise ValueError("the split is empty: there is nothing to draw from.")
    y = split.y.cpu()
    order = shuffled(len(split), generator)
    picked = [order[y[order] == c][:per_class] for c in y.unique()]
    return split.subset(torch.cat(picked))


def shuffled(n: int, generator: torch.Generator | None) -> Tensor:
    """0 … n − 1 in a random order, on the CPU; without a generator torch's global one decides."""
    if generator is None:
        return torch.randperm(n)
    return torch.randperm(n, generator=generator, device=generator.device).cpu()


def cut(name: str, whole: Split, parts: Sequence[Tensor], classes: tuple[str, ...]) -> Domain:
    """A domain from one set and the positions of its train, validation and test part."""
    train, val, test = (whole.subset(part) for part in parts)
    return Domain(name, train, val, test, classes)


def random_parts(y: Tensor, sizes: tuple[int, ...], seed: int) -> tuple[Tensor, ...]:
    """Disjoint index sets of these sizes, in nearly equal shares of each class; the last takes what is left."""
    order = shuffled(len(y), torch.Generator().manual_seed(seed))
    ranks = torch.empty(len(y))
    for c in y.unique():
        mine = order[y[order] == c]
        ranks[mine] = (torch.arange(len(mine)) + 0.5) / len(mine)
    by_rank = torch.argsort(ranks, stable=True)
    return by_rank.split([*sizes, len(y) - sum(sizes)])


def stratified_parts(y: Tensor, shares: tuple[float, ...], seed: int, classes: Sequence[str]) -> tuple[Tensor, ...]:
    """Disjoint index sets that hold these shares of each class, to the nearest picture and at least one.

    The first set takes what is left of each class, so there is one set more than there are shares.

    Raises:
        ValueError: a class has fewer pictures than there are sets.
    """
    order = shuffled(len(y), torch.Generator().manual_seed(seed))
    part = torch.zeros(len(y), dtype=torch.int64)
    for c, name in enumerate(classes):
        mine = order[y[order] == c]
        if len(mine) <= len(shares):
            raise ValueError(
                f"class {name!r} has {len(mine)} pictures, but each class needs at least {len(shares) + 1}: one for "
                "each part that is drawn from it."
            )
        start = 0
        for number, share in enumerate(shares, 1):
            stop = start + max(1, round(share * len(mine)))
            part[mine[start:stop]] = number
            start = stop
    return tuple(order[part[order] == number] for number in range(len(shares) + 1))


def _positions(indices: Tensor | Iterable[int], n: int) -> Tensor:
    """int64 positions from positions or a mask; nothing is cast that would change what it means."""
    try:
        if isinstance(indices, np.ndarray):
            at = torch.from_numpy(np.array(indices))
        elif isinstance(indices, Tensor):
            at = indices
        else:
            listed = list(indices)
            if len({isinstance(i, bool | np.bool_) for i in listed}) > 1:
                raise TypeError("truth values are mixed with positions")
            at = torch.as_tensor(listed) if listed else torch.empty(0, dtype=torch.int64)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(indices).__name__
        raise TypeError(f"pictures are picked by positions or by a mask, not by this {kind} ({error}).") from None
    if at.ndim != 1:
        raise ValueError(f"positions must have one dimension, not the shape {tuple(at.shape)}.")
    if at.dtype == torch.bool:
        if len(at) != n:
            raise ValueError(f"the mask has {len(at)} truth values for {n} pictures.")
        return at.nonzero().flatten()
    if at.dtype == torch.uint8:
        raise TypeError("uint8 may be meant as a mask or as positions: use .bool() or .long() to say which.")
    if len(at) and (at.is_floating_point() or at.is_complex()):
        raise TypeError(f"positions are {at.dtype}, but must be whole numbers; a mask is a comparison: split.y == 2.")
    at = at.long()
    if len(at) and (int(at.min()) < -n or int(at.max()) >= n):
        raise IndexError(f"positions go from {int(at.min())} to {int(at.max())}, but there are {n} pictures.")
    return at


def _whole_numbers(values: Tensor, n: int, what: str) -> Tensor:
    """int64 (n,); negative ones are let through, which say that there is no label."""
    check_labels(values, what=what, negative=True)
    if len(values) != n:
        raise ValueError(f"{n} pictures but {len(values)} {what}.")
    return values.long()


def _strings(values: Iterable[str], what: str) -> tuple[str, ...]:
    strings = tuple(values)
    if isinstance(values, str) or not all(isinstance(s, str) for s in strings):
        raise TypeError(f"{what} must be strings in a tuple or list, not {values!r:.80}.")
    return strings


def _size(split: Split) -> str:
    height, width = split.x.shape[2:]
    return f"{height}×{width} px"
