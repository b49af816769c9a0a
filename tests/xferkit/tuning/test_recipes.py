"""Recipes: which part of a network each moves, and when, and what each leaves behind."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from xferkit.data import Split, load_domain
from xferkit.models import Classifier, lenet
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
    assert {"loss", "lr", "l2", "val_accuracy", "val_loss", "chosen_l2"} == set(history)
    torch.testing.assert_close(tuned.head.weight, probed.head.weight, atol=1e-6, rtol=1e-4)
    scratch = finetune(replace_head(net(), 10), train, steps=2, lr=1e-9)
    assert history["loss"][0] < 0.6 * scratch["loss"][0]
    before = state(probed)
    finetune(probed, train, steps=2, lr=1e-3)
    assert "stage1" in moved(probed, before)


# --------------------------------------------------------------------------------------------- what all have in common


def test_all_recipes_take_the_same_settings() -> None:
    """The same names and defaults; only the constant rate of gradual unfreezing is its own (the paper's)."""
    asked = {}
    for recipe in (finetune, lp_ft, gradual_unfreeze):
        settings = inspect.signature(recipe).parameters.values()
        asked[recipe] = {s.name: s.default for s in settings if s.kind is s.KEYWORD_ONLY and s.name != "l2s"}
    assert asked[lp_ft] == asked[finetune] and len(asked[finetune]) == 10
    assert asked[gradual_unfreeze] == asked[finetune] | {"schedule": None}


def recipes() -> dict[str, Callable[..., dict[str, list[float]]]]:
    return {
        "finetune": finetune,
        "lp_ft": lambda model, train, **settings: lp_ft(model, train, digits("val", 50), **settings),
        "gradual_unfreeze": gradual_unfreeze,
    }


@pytest.mark.parametrize("recipe", ["finetune", "lp_ft", "gradual_unfreeze"])
def test_settings_are_used(recipe: str) -> None:
    seen = []

    def spy(x: Tensor) -> Tensor:
        seen.append(len(x))
        return x

    settings = {"steps": 6, "lr": 1e-3, "batch_size": 7, "augment": spy, "schedule": lambda p: 0.5}
    history = recipes()[recipe](net(), digits(n=40), head_lr=0.02, **settings)
    assert len(seen) == 6 and set(seen) <= {7, 5} and set(history["lr"]) <= {0.01, 0.0005}
    if recipe != "gradual_unfreeze":  # there the first group is the head's at first
        assert set(history["lr"]) == {0.0005}


@pytest.mark.parametrize("recipe", ["finetune", "lp_ft", "gradual_unfreeze"])
@pytest.mark.parametrize(("pictures", "batch_size"), [(33, 32), (65, 32), (7, 2), (3, 2), (20, 64), (2, 1)])
def test_no_batch_of_one_reaches_batchnorm(recipe: str, pictures: int, batch_size: int) -> None:
    """A pooled 1×1 map under BatchNorm: a batch of one would raise inside torch."""
    sizes = []
    features = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten())
    model = Classifier(features, nn.Linear(4, 10)).to(device())

    def spy(x: Tensor) -> Tensor:
        sizes.append(len(x))
        return x

    if batch_size == 1:  # asked for
        with pytest.raises(ValueError, match="a batch holds one picture, and BatchNorm"):
            recipes()[recipe](model, digits(n=pictures), steps=12, lr=1e-3, batch_size=batch_size, augment=spy)
        return
    recipes()[recipe](model, digits(n=pictures), steps=12, lr=1e-3, batch_size=batch_size, augment=spy)
    assert len(sizes) == 12 and min(sizes) > 1 and max(sizes) <= max(batch_size + 2, 2)
    if recipe == "finetune":  # every picture of a pass is used
        assert sum(sizes[: next(i for i in range(1, 13) if sum(sizes[:i]) >= pictures)]) == pictures


@pytest.mark.parametrize("recipe", ["finetune", "gradual_unfreeze"])
def test_plain_and_wrapped_networks_train_too(recipe: str) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), nn.Flatten())
    plain.append(nn.Linear(4 * 26 * 26, 10))
    before = copy.deepcopy(plain.state_dict())
    recipes()[recipe](plain.to(device()), digits(), steps=4, lr=1e-3)
    assert all(not torch.equal(t, before[name]) for name, t in plain.state_dict().items())
    model = net()
    before = state(model)
    history = recipes()[recipe](nn.DataParallel(model), digits(), steps=3, lr=1e-3)
    assert moved(model, before) == {"stage1", "stage2", "head"} and len(history["loss"]) == 3


@pytest.mark.parametrize("recipe", ["finetune", "lp_ft", "gradual_unfreeze"])
def test_recipes_leave_the_network_where_it_is_and_refuse_what_they_cannot_train(recipe: str) -> None:
    run, train = recipes()[recipe], digits(n=20)
    model = net()
    run(model, train, steps=3, lr=1e-3)
    assert {p.device.type for p in model.parameters()} == {device().type}
    if recipe != "lp_ft":  # the probe comes first there, and says so in its own words
        with pytest.raises(TypeError, match="float16.*float32"):
            run(net().half(), train, steps=3, lr=1e-3)
        with pytest.raises(ValueError, match="meta"):
            run(net().to("meta"), train, steps=3, lr=1e-3)
        with pytest.raises(ValueError, match="no parameters"):
            run(nn.Flatten(), train, steps=3, lr=1e-3)
    for steps in (0, -1):
        with pytest.raises(ValueError, match="steps"):
            run(net(), train, steps=steps, lr=1e-3)


def test_int32_labels_train() -> None:
    train = digits(n=20)
    narrow = Split(train.x, train.y.int())
    assert finetune(net(), narrow, steps=2, lr=1e-3)["loss"] == finetune(net(), train, steps=2, lr=1e-3)["loss"]


@pytest.mark.parametrize("recipe", ["finetune", "gradual_unfreeze"])
def test_class_names_stay_with_the_network_and_must_agree(recipe: str) -> None:
    train = digits(n=20)
    model = net()
    recipes()[recipe](model, train, steps=3, lr=1e-3)
    assert model.classes == train.classes
    other = replace(train, classes=tuple(f"letter {i}" for i in range(10)))
    with pytest.raises(ValueError, match="scores and the training part name different classes.*letter 0"):
        recipes()[recipe](model, other, steps=3, lr=1e-3)
    recipes()[recipe](replace_head(model, 10), other, steps=3, lr=1e-3)
    assert model.classes == other.classes
