"""Recipes: which part of a network each moves, and when, and what each leaves behind."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor

from xferkit.data import Split, load_domain
from xferkit.models import Classifier, lenet, mini_resnet
from xferkit.schedules import cosine
from xferkit.session import device
from xferkit.tuning import finetune, freeze, gradual_unfreeze, linear_probe, lp_ft, replace_head


def digits(part: str = "train", n: int = 200) -> Split:
    return getattr(load_domain("uci_digits"), part).subset(range(n))


def net() -> Classifier:
    torch.manual_seed(0)
    return lenet().to(device())


def state(model: Classifier) -> dict[str, Tensor]:
    return copy.deepcopy(model.state_dict())


def moved(model: Classifier, before: dict[str, Tensor]) -> set[str]:
    """Which of stage1, stage2, head changed."""
    names = {name for name, t in model.state_dict().items() if not torch.equal(t, before[name])}
    return {name.removeprefix("features.").split(".")[0] for name in names}


def test_finetuning_learns_and_moves_everything() -> None:
    model = net()
    before = state(model)
    history = finetune(model, digits(), steps=60, lr=3e-3)
    assert moved(model, before) == {"stage1", "stage2", "head"}
    assert len(history["loss"]) == 60 and sum(history["loss"][-10:]) < 0.6 * sum(history["loss"][:10])


def test_finetuning_leaves_frozen_stages_alone() -> None:
    model = net()
    freeze(model.features.stage1)
    before = state(model)
    finetune(model, digits(), steps=3, lr=1e-3)
    assert moved(model, before) == {"stage2", "head"}


def test_finetuning_repeats_with_its_seed() -> None:
    runs = [finetune(net(), digits(), steps=4, lr=1e-3, seed=s)["loss"] for s in (1, 1, 2)]
    assert runs[0] == pytest.approx(runs[1], abs=0 if device().type == "cpu" else 1e-3)
    assert runs[0] != runs[2]


def test_augmentation_acts_on_every_training_batch() -> None:
    seen: list[tuple[int, ...]] = []

    def blank(x: Tensor) -> Tensor:
        seen.append(tuple(x.shape))
        return torch.zeros_like(x)

    model = net()
    before = state(model)
    finetune(model, digits(), steps=3, lr=1e-3, batch_size=8, augment=blank)
    assert seen == [(8, 3, 28, 28)] * 3
    # From black pictures the first layer's kernels get no gradient (AdamW's decay moves them, a little).
    drift = (model.features.stage1[0].weight - before["features.stage1.0.weight"]).abs().max()
    assert drift < 1e-6


def test_lp_ft_starts_from_the_probed_head() -> None:
    train, val = digits(), digits("val", 100)
    probed, tuned = net(), net()
    linear_probe(probed, train, val)
    history = lp_ft(tuned, train, val, steps=2, lr=1e-9)
    torch.testing.assert_close(tuned.head.weight, probed.head.weight, atol=1e-6, rtol=1e-4)
    scratch = finetune(replace_head(net(), 10), train, steps=2, lr=1e-9)
    assert history["loss"][0] < 0.6 * scratch["loss"][0]
    before = state(probed)
    finetune(probed, train, steps=2, lr=1e-3)
    assert "stage1" in moved(probed, before)


def test_gradual_unfreezing_goes_from_the_head_down() -> None:
    """Three rounds for two stages: with k steps, k parts have moved."""
    for steps, expected in ((1, {"head"}), (2, {"head", "stage2"}), (3, {"head", "stage2", "stage1"})):
        model = net()
        before = state(model)
        history = gradual_unfreeze(model, digits(), steps=steps, lr=1e-3)
        assert moved(model, before) == expected
        assert len(history["loss"]) == len(history["lr"]) == steps


def test_gradually_unfrozen_stages_train_in_full() -> None:
    """An unfrozen stage's running statistics follow the data again; those below wait for their turn."""
    torch.manual_seed(0)
    model = mini_resnet(depth=8, width=4).to(device())
    before = state(model)
    gradual_unfreeze(model, digits(), steps=2, lr=1e-3)  # five rounds: the head, then stage3
    assert not torch.equal(
        model.features.stage3[0].body[1].running_mean, before["features.stage3.0.body.1.running_mean"]
    )
    assert moved(model, before) == {"head", "stage3"}


def test_cosine_rises_falls_and_ends_near_zero() -> None:
    factors = [cosine(step / 200) for step in range(200)]
    peak = factors.index(max(factors))
    assert 0 < factors[0] < 0.1 and max(factors) == pytest.approx(1.0, abs=0.01)
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert cosine(0.55) == pytest.approx(0.5) and math.isclose(cosine(1.0), 0, abs_tol=1e-9)
