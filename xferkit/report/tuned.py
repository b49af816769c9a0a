"""Intervals that include the tuning: whatever was drawn is drawn again, and the setting chosen again each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from torch import Tensor

from xferkit._checks import check_count, check_same_length
from xferkit.report.intervals import Interval, finite, group_index


@dataclass(frozen=True)
class Trials:
    """One method with every setting of its grid, by every seed.

    Attributes:
        settings: (K,) what was tried.
        validation: (S, K) accuracies by which the setting is chosen.
        loss: (S, K) the losses that settle ties.
        right: (S, K, N) whether each test item was recognised, 1 or 0, or in which share of its versions.
    Raises:
        ValueError: shapes that do not belong together, or NaN.
    """

    settings: np.ndarray
    validation: np.ndarray
    loss: np.ndarray
    right: np.ndarray

    def __post_init__(self) -> None:
        for name, dims in (("settings", 1), ("validation", 2), ("loss", 2), ("right", 3)):
            object.__setattr__(self, name, finite(getattr(self, name), name, dims=(dims,)))
        if not self.validation.shape == self.loss.shape == self.right.shape[:2] == (len(self.loss), len(self.settings)):
            raise ValueError(
                f"validation {self.validation.shape}, loss {self.loss.shape} and right {self.right.shape} must begin "
                f"with (seeds, settings), and there are {len(self.settings)} settings."
            )

    @classmethod
    def read(cls, found: Any, said: str | Sequence[str], y: Tensor, **where: Any) -> Trials:
        """From the runs of a results file that agree with the keywords.

        Args:
            found: what `xferkit.results.load` returns; its runs have a `setting`, `val_accuracy` and `val_loss`.
            said: the name of the predicted classes, a letter each, such as "predictions.ink"; of several names, such as
                those of styles that show the same items, the mean.
            y: int64 (N,), the true classes.
        """

        def right(run: Any) -> np.ndarray:
            texts = [reduce(lambda part, name: part[name], path.split("."), run) for path in names]
            for text in texts:
                check_same_length(text, y, what="predictions and labels")
            return np.mean([[ord(letter) - ord("a") for letter in text] == y.numpy() for text in texts], axis=0)

        names = [said] if isinstance(said, str) else list(said)
        validation, loss, rights = (
            found.array(value, over="setting", **where) for value in ("val_accuracy", "val_loss", right)
        )
        return cls(np.array(sorted({run["setting"] for run in found.runs(**where)})), validation, loss, rights)

    def chosen(self, seeds: np.ndarray | None = None) -> np.ndarray:
        """The place of the setting with the best mean validation accuracy, ties by the mean loss.

        Args:
            seeds: (draws, S) how often each seed counts in each draw; once each, in one draw, when left out.
        Returns:
            int (draws,).
        """
        counts = np.ones((1, len(self.loss))) if seeds is None else seeds
        accuracy = counts @ self.validation
        best = accuracy >= accuracy.max(1, keepdims=True) - 1e-9  # means that differ by rounding alone are equal
        return np.argmin(np.where(best, counts @ self.loss, np.inf), axis=1)


def tuned_interval(
    a: Trials,
    b: Trials | None = None,
    *,
    weights: np.ndarray | Tensor | None = None,
    groups: Tensor | np.ndarray | None = None,
    draws: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The accuracy of a method as tuned, or by how much a exceeds b, with an interval that includes the tuning.

    Each draw takes the seeds anew, chooses each method's setting by what these seeds saw on their validation pictures,
    takes the test items anew, and judges both methods on them. (The percentile bootstrap of Efron and Tibshirani 1993,
    chapter 13, over seeds and items as in Owen 2007.)

    Args:
        weights: (N,) what each item counts; `class_weights` makes the accuracy balanced.
        groups: (N,) which items are drawn together; each item for itself when left out.
        draws: bootstrap samples.
        level: the share of the samples between the ends.
    Raises:
        ValueError: other seeds or items in b than in a, fewer than two seeds or groups, or weights that do not fit.
    """
    n_seeds, n_items = len(a.right), a.right.shape[2]
    if b is not None and (len(b.right), b.right.shape[2]) != (n_seeds, n_items):
        raise ValueError(
            f"a has {n_seeds} seeds and {n_items} items, b {len(b.right)} and {b.right.shape[2]}: pairs need the same."
        )
    share = finite(np.ones(n_items) if weights is None else weights, "weights", dims=(1,))
    check_same_length(share, range(n_items), what="weights and items")
    if not 0 < level < 1:
        raise ValueError(f"level={level} must lie between 0 and 1, such as 0.95.")
    if (share < 0).any() or not share.any():
        raise ValueError("weights must not be negative, nor all 0.")
    draws, index = check_count(draws, what="draws", least=100), group_index(groups, n_items)
    if min(n_seeds, index.max() + 1) < 2:
        raise ValueError(f"{n_seeds} seeds and {index.max() + 1} groups: two of each are needed to say how they vary.")
    rng = np.random.default_rng(seed)
    seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=draws)  # (draws, S)
    picked = rng.multinomial(index.max() + 1, np.full(index.max() + 1, 1 / (index.max() + 1)), size=draws)
    items = picked[:, index] * share  # (draws, N)
    whole = np.ones((1, n_seeds)), share[None]

    def as_tuned(trials: Trials, seeds: np.ndarray, items: np.ndarray) -> np.ndarray:
        accuracy = np.einsum("skn,dn->dsk", trials.right, items, optimize=True) / items.sum(1)[:, None, None]
        at_best = accuracy[np.arange(len(items)), :, trials.chosen(seeds)]  # (draws, S)
        return (at_best * seeds).sum(1) / n_seeds

    def gap(seeds: np.ndarray, items: np.ndarray) -> np.ndarray:
        first = as_tuned(a, seeds, items)
        return first if b is None else first - as_tuned(b, seeds, items)

    low, high = np.quantile(gap(seeds, items), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(gap(*whole)[0]), float(low), float(high), level)


def class_weights(y: Tensor | np.ndarray) -> np.ndarray:
    """(N,) weights that sum to 1 and give every class the same share: with them a mean is the balanced accuracy."""
    _, index, counts = np.unique(np.asarray(y), return_inverse=True, return_counts=True)
    return 1 / (counts[index] * len(counts))
