"""Accuracies: they count what they say."""

from __future__ import annotations

import pytest
import torch

from xferkit.report import accuracy, balanced_accuracy


def test_accuracy_of_scores_and_of_classes() -> None:
    scores = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0], [0.0, 5.0, 1.0], [1.0, 0.0, 0.0]])
    y = torch.tensor([0, 2, 2, 1])
    assert accuracy(scores, y) == accuracy(scores.argmax(1), y) == 0.5


def test_in_balanced_accuracy_a_rare_class_weighs_as_much_as_a_common_one() -> None:
    y = torch.tensor([0] * 8 + [1] * 2)
    always_zero = torch.zeros_like(y)
    assert accuracy(always_zero, y) == 0.8 and balanced_accuracy(always_zero, y) == 0.5
    # Labels with gaps; class 9 is predicted and occurs nowhere: it is left out, the miss counts for class 7.
    assert balanced_accuracy(torch.tensor([3, 3, 9, 7]), torch.tensor([3, 3, 7, 7])) == 0.75


def test_balanced_accuracy_is_scikit_learns() -> None:
    from sklearn.metrics import balanced_accuracy_score

    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 4, (50,), generator=generator) ** 2
    predicted = torch.randint(0, 4, (50,), generator=generator) ** 2
    predicted[0] = y[0]
    expected = balanced_accuracy_score(y.numpy(), predicted.numpy(), sample_weight=None)
    assert balanced_accuracy(predicted, y) == pytest.approx(expected)


@pytest.mark.parametrize("measure", [accuracy, balanced_accuracy])
@pytest.mark.parametrize(
    ("predicted", "y", "message"),
    [
        (torch.tensor([[0.0, float("nan")], [1.0, 0.0]]), torch.tensor([0, 1]), "NaN"),
        (torch.zeros(2, 1), torch.tensor([0, 0]), "nothing to choose"),
        (torch.zeros(2, 3), torch.tensor([0, 3]), "label 3 has no score"),
        (torch.tensor([0, 1, 1]), torch.tensor([0, 1]), "3 and 2 rows"),
        (torch.zeros(2, dtype=torch.int64), torch.tensor([[0], [1]]), r"shape \(N,\)"),
        (torch.tensor([0, 1]), torch.tensor([0, -100]), "-100"),
        (torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), "no item"),
    ],
)
def test_no_accuracy_is_made_of_what_has_none(measure, predicted, y, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        measure(predicted, y)


def test_labels_are_whole_numbers() -> None:
    with pytest.raises(TypeError, match="integers"):
        accuracy(torch.tensor([0, 1]), torch.tensor([0.0, 1.0]))
