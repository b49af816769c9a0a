"""Gradual unfreezing: what moves when, and that nothing is left behind."""

from __future__ import annotations

import copy
from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

from xferkit.data import Split, load_domain
from xferkit.models import Classifier, lenet, mini_resnet
from xferkit.session import device
from xferkit.tuning import freeze, gradual_unfreeze, hold_statistics


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


def with_dropout() -> Classifier:
    model = net()
    stages = OrderedDict(stage1=model.features.stage1, drop=nn.Dropout(0.5), stage2=model.features.stage2)
    model.features = nn.Sequential(OrderedDict(**stages, flatten=nn.Flatten()))
    return model


@pytest.mark.parametrize("steps", [1, 6])
def test_gradual_unfreezing_leaves_nothing_behind(steps: int) -> None:
    """Neither in the sequence itself, nor in stages without parameters, nor in those whose turn never came."""
    model, never = with_dropout(), with_dropout()
    gradual_unfreeze(model, digits(n=40), steps=steps, lr=1e-3)
    for part, twin in zip(model.modules(), never.modules(), strict=True):
        assert set(part.__dict__) - {"classes"} == set(twin.__dict__) and not part._forward_pre_hooks
    assert all(p.requires_grad for p in model.parameters())
    model.train()
    assert all(part.training for part in model.modules())
    x = torch.ones(2, 32, 12, 12, device=device())
    assert not torch.equal(model.features.drop(x), x)


def test_gradual_unfreezing_leaves_nothing_behind_after_an_error() -> None:
    model = with_dropout()

    def broken(x: Tensor) -> Tensor:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        gradual_unfreeze(model, digits(n=40), steps=3, lr=1e-3, augment=broken)
    assert all(p.requires_grad for p in model.parameters())
    assert not any(part._forward_pre_hooks for part in model.modules())


def test_gradual_unfreezing_respects_what_was_frozen_or_held() -> None:
    model = mini_resnet(depth=8, width=4).to(device())
    freeze(model.features.stem)
    freeze(model.features.stage2[0].body[1])
    hold_statistics(model.features.stage3)
    before = state(model)
    gradual_unfreeze(model, digits(n=40), steps=4, lr=1e-3)  # the head and three stages
    changed = {name for name, t in model.state_dict().items() if not torch.equal(t, before[name])}
    assert "features.stage2.0.body.0.weight" in changed and "features.stage1.0.body.1.running_mean" in changed
    assert not any(n.startswith(("features.stem", "features.stage2.0.body.1.")) for n in changed)
    assert not any(n.startswith("features.stage3") and "running" in n for n in changed)
    with pytest.raises(ValueError, match="are frozen"):
        gradual_unfreeze(freeze(model), digits(n=40), steps=4, lr=1e-3)
