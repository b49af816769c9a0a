"""Intervals that include the tuning."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from xferkit.report import Trials, balanced_accuracy, class_weights, paired_bootstrap, tuned_interval

RNG = np.random.default_rng(0)


def trials(right: np.ndarray, validation: np.ndarray | None = None, loss: np.ndarray | None = None) -> Trials:
    shape = right.shape[:2]
    validation = np.full(shape, 0.5) if validation is None else validation
    return Trials(np.arange(shape[1]), validation, np.zeros(shape) if loss is None else loss, right)


def test_with_one_setting_it_is_the_paired_bootstrap() -> None:
    a, b = (RNG.random((5, 1, 200)) < share for share in (0.7, 0.6))
    ours = tuned_interval(trials(a), trials(b), draws=20_000)
    theirs = paired_bootstrap(a[:, 0].astype(float), b[:, 0].astype(float), draws=20_000)
    assert ours.mean == pytest.approx(theirs.mean)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)


def test_the_best_mean_accuracy_is_chosen_and_the_loss_settles_ties() -> None:
    validation = np.array([[0.5, 0.6, 0.6], [0.5, 0.7, 0.7]])
    loss = np.array([[0.1, 2.0, 1.9], [0.1, 2.0, 2.0]])
    each = trials(np.zeros((2, 3, 4)), validation, loss)
    assert each.chosen().item() == 2
    assert trials(np.zeros((2, 3, 4)), validation, -loss).chosen().item() == 1
    # 0.1 + 0.2 and 0.15 + 0.15 differ by rounding: still a tie.
    rounding = np.array([[0.1, 0.15], [0.2, 0.15]])
    assert trials(np.zeros((2, 2, 4)), rounding, np.array([[1.0, 2.0], [1.0, 2.0]])).chosen().item() == 0


def test_an_uncertain_choice_widens_the_interval() -> None:
    """Setting 0 is right on every item, setting 1 on none; one seed in three prefers setting 1."""
    right = np.stack([np.ones((3, 40)), np.zeros((3, 40))], axis=1)
    sure = np.array([[0.9, 0.1]] * 3)
    unsure = np.array([[0.6, 0.5], [0.6, 0.5], [0.5, 0.8]])  # means 0.567 and 0.6: setting 1
    assert tuned_interval(trials(right, sure)).ends() == "[1.0, 1.0]"
    found = tuned_interval(trials(right, unsure))
    # Without the third seed, in (2/3)³ = 30 % of the draws, setting 0 wins.
    assert (found.mean, found.low, found.high) == (0.0, 0.0, 1.0)


def test_both_methods_are_judged_on_the_same_seeds_and_items() -> None:
    right = (RNG.random((4, 2, 60)) < 0.5).astype(float)
    same = tuned_interval(trials(right), trials(right))
    assert (same.mean, same.low, same.high) == (0.0, 0.0, 0.0)


def test_groups_are_drawn_together() -> None:
    right = np.repeat(RNG.random((3, 1, 10)) < 0.5, 20, axis=2).astype(float)
    groups = np.repeat(np.arange(10), 20)
    alone, together = tuned_interval(trials(right)), tuned_interval(trials(right), groups=groups)
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_class_weights_make_it_the_balanced_accuracy() -> None:
    y = torch.tensor([0] * 7 + [1] * 2 + [4])
    said = torch.tensor([0, 0, 0, 1, 0, 4, 0, 1, 0, 4])
    weights = class_weights(y)
    assert weights.sum() == pytest.approx(1)
    right = (said == y).double().numpy()[None, None].repeat(2, 0)
    assert tuned_interval(trials(right), weights=weights).mean == pytest.approx(balanced_accuracy(said, y))


def test_trials_are_read_from_runs() -> None:
    runs = [
        {"seed": seed, "setting": setting, "val_accuracy": 0.1 * seed + setting, "val_loss": 1.0}
        | {"said": {"ink": text, "line": "bbb"}}
        for seed in (0, 1)
        for setting, text in ((0.01, "abc"), (0.1, "aac"))
    ]

    def array(value: object, *, over: str) -> np.ndarray:
        assert over == "setting"
        read = value if callable(value) else lambda run: run[value]
        return np.array([[read(r) for r in runs if r["seed"] == s] for s in (0, 1)], float)

    found = SimpleNamespace(array=array, runs=lambda: runs)
    each = Trials.read(found, "said.ink", torch.tensor([0, 1, 2]))
    assert each.settings.tolist() == [0.01, 0.1]
    assert each.validation == pytest.approx(np.array([[0.01, 0.1], [0.11, 0.2]]))
    assert each.right.tolist() == [[[1, 1, 1], [1, 0, 1]]] * 2
    both = Trials.read(found, ["said.ink", "said.line"], torch.tensor([0, 1, 2]))
    assert both.right.tolist() == [[[0.5, 1, 0.5], [0.5, 0.5, 0.5]]] * 2
    with pytest.raises(ValueError, match="predictions and labels"):
        Trials.read(found, "said.ink", torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: Trials(a.settings[:1], a.validation, a.loss, a.right), "2 settings|1 settings"),
        (lambda a: Trials(a.settings, a.validation[:1], a.loss, a.right), r"must begin with \(seeds, settings\)"),
        (lambda a: Trials(a.settings, a.validation * np.nan, a.loss, a.right), "validation are NaN"),
        (lambda a: tuned_interval(a, trials(np.zeros((3, 2, 5)))), "pairs need the same"),
        (lambda a: tuned_interval(trials(np.zeros((3, 2, 1)))), "two of each"),
        (lambda a: tuned_interval(trials(np.zeros((1, 2, 5)))), "two of each"),
        (lambda a: tuned_interval(a, weights=np.ones(5)), "weights and items"),
        (lambda a: tuned_interval(a, weights=-np.ones(6)), "negative"),
        (lambda a: tuned_interval(a, level=95), "between 0 and 1"),
        (lambda a: tuned_interval(a, draws=5), "draws"),
    ],
)
def test_what_does_not_fit_is_refused(change: object, words: str) -> None:
    assert callable(change)
    with pytest.raises(ValueError, match=words):
        change(trials(np.zeros((3, 2, 6))))
