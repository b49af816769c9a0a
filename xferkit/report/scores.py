"""Accuracy, plain and with every class weighing the same."""

from __future__ import annotations

import torch
from torch import Tensor

from xferkit._checks import check_features, check_labels, check_same_length


def accuracy(predicted: Tensor, y: Tensor) -> float:
    """The share of items whose predicted class is their own.

    Args:
        predicted: scores (N, C), of which the largest counts, or classes, int64 (N,).
        y: int64 (N,). Labels may have gaps.
    Raises:
        ValueError: no item, other lengths, NaN among the scores, or a label that has no score.
    """
    classes, y = _classes(predicted, y)
    return float((classes == y).double().mean())


def balanced_accuracy(predicted: Tensor, y: Tensor) -> float:
    """The mean over classes of the share that was recognised: every class weighs the same, however rare it is.

    A class of which `y` has no item is left out: there was nothing to recognise. For the arguments see `accuracy`.
    """
    classes, y = _classes(predicted, y)
    right = (classes == y).double()
    return float(torch.stack([right[y == c].mean() for c in y.unique()]).mean())


def _classes(predicted: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Both as int64 (N,) on the CPU, after the checks that `accuracy` promises."""
    if isinstance(predicted, Tensor) and predicted.ndim == 2:
        check_features(predicted, what="scores")
        if predicted.shape[1] < 2:
            raise ValueError("scores (N, 1) leave nothing to choose: give one column a class, or predicted classes.")
        check_labels(y)
        if len(y) and int(y.max()) >= predicted.shape[1]:
            raise ValueError(f"label {int(y.max())} has no score: there are {predicted.shape[1]} columns.")
        predicted = predicted.argmax(1)
    check_labels(predicted, what="predicted classes")
    check_labels(y)
    check_same_length(predicted, y, what="predictions and labels")
    if len(y) == 0:
        raise ValueError("no item: the accuracy on nothing is not defined.")
    return predicted.cpu().long(), y.cpu().long()
