"""Splits: whole groups are dealt to train, val and test, class by class."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence

SEED = 0
SHARES = {"train": 0.54, "val": 0.09, "test": 0.37}


def choose_splits(classes: Sequence[str], groups: Sequence[int], to_train: Iterable[int] = ()) -> list[str]:
    """A split for each emoji: whole groups, class by class, as near to the shares as groups allow.

    For each class, 500 seeded shuffles of its groups are dealt out, and the first of those that come nearest to the
    wished counts is kept: counts of emoji and of groups, so that no split is left with a few large groups. A group
    that spans two classes goes with the class it appears in first; the groups `to_train` go to train.
    """
    split_of: dict[int, str] = dict.fromkeys(to_train, "train")
    for name in dict.fromkeys(classes):
        sizes = Counter(g for g, c in zip(groups, classes, strict=True) if c == name)
        wished, wished_groups = wished_counts(sizes.total()), wished_counts(len(sizes))
        fixed = Counter({s: sum(n for g, n in sizes.items() if split_of.get(g) == s) for s in SHARES})
        free = {g: n for g, n in sizes.items() if g not in split_of}
        best: tuple[int, dict[int, str]] | None = None
        for trial in range(500):
            dealt, counts = deal(free, wished, fixed, random.Random(f"{SEED} {name} {trial}"))
            shared = Counter((split_of | dealt)[g] for g in sizes)
            miss = sum(abs(counts[s] - wished[s]) + abs(shared[s] - wished_groups[s]) for s in SHARES)
            if best is None or miss < best[0]:
                best = miss, dealt
        assert best is not None
        split_of |= best[1]
    return [split_of[g] for g in groups]


def wished_counts(total: int) -> dict[str, int]:
    val, test = max(1, round(total * SHARES["val"])), round(total * SHARES["test"])
    return {"train": total - val - test, "val": val, "test": test}


def deal(
    sizes: dict[int, int], wished: dict[str, int], start: Counter[str], rng: random.Random
) -> tuple[dict[int, str], Counter[str]]:
    """Groups in random order, each to a split drawn with the chance of the room that is left there."""
    dealt: dict[int, str] = {}
    counts = Counter(start)
    order = list(sizes)
    rng.shuffle(order)
    for group in order:
        room = [max(0.0, wished[s] - counts[s]) + 1e-9 for s in SHARES]
        dealt[group] = rng.choices(list(SHARES), weights=room)[0]
        counts[dealt[group]] += sizes[group]
    return dealt, counts
