"""Parameter groups: every trainable parameter once, at the rate that it really gets."""

from __future__ import annotations

import pytest
import torch
import torchvision
from small_nets import small_net
from torch import nn

from xferkit.models import lenet, mini_resnet
from xferkit.session import device
from xferkit.tuning import freeze, param_groups, trainable_parameters


def test_groups_carry_the_rates_of_discriminative_learning() -> None:
    model = lenet()
    groups = param_groups(model, 0.1, head_lr=0.5, layer_decay=0.2, weight_decay=0.01)
    rates = {group["name"]: group["lr"] for group in groups}
    assert rates["features.stage1"] == pytest.approx(0.02)
    assert rates["features.stage2"] == pytest.approx(0.1)
    assert rates["head"] == 0.5
    optimizer = torch.optim.SGD(groups)
    assert sorted(g["lr"] for g in optimizer.param_groups) == pytest.approx([0.02, 0.02, 0.1, 0.1, 0.5, 0.5])


def test_groups_hold_every_trainable_parameter_once() -> None:
    model = small_net()
    ids = [id(p) for group in param_groups(model, 0.1) for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in model.parameters())
    freeze(model.features.stage1)
    ids = [id(p) for group in param_groups(model, 0.1) for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in trainable_parameters(model))


def test_biases_and_norms_are_not_decayed() -> None:
    for group in param_groups(small_net(), 0.1, weight_decay=0.3):
        for p in group["params"]:
            assert group["weight_decay"] == (0.3 if p.ndim > 1 else 0.0)


def test_a_step_moves_each_group_by_its_own_rate() -> None:
    """With plain SGD and every gradient set to one, each weight moves by exactly its learning rate."""
    model = lenet().to(device())
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.SGD(param_groups(model, 0.1, head_lr=0.5, layer_decay=0.2))
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    expected = {"features.stage1": 0.02, "features.stage2": 0.1, "head": 0.5}
    for name, p in model.named_parameters():
        rate = next(v for k, v in expected.items() if name.startswith(k))
        torch.testing.assert_close(before[name] - p, torch.full_like(p, rate), atol=1e-6, rtol=1e-5)


def test_impossible_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        param_groups(lenet(), 0.0)
    with pytest.raises(ValueError, match="positive"):
        param_groups(lenet(), 0.1, head_lr=-1.0)
    with pytest.raises(ValueError, match="frozen"):
        param_groups(freeze(lenet()), 0.1)


def ids(groups: list[dict]) -> list[int]:
    return [id(p) for group in groups for p in group["params"]]


def test_tied_and_outer_parameters_are_in_exactly_one_group() -> None:
    model = small_net()
    model.head = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 3))
    model.head[1].weight = model.head[0].weight
    model.features.stage2[0][0].bias = model.features.stage2[0][1].bias
    model.temperature = nn.Parameter(torch.ones(()))
    model.disc = nn.Linear(5, 1)
    groups = param_groups(model, 0.1, head_lr=0.3, layer_decay=0.5)
    found = ids(groups)
    assert sorted(found) == sorted(id(p) for p in model.parameters()) and len(set(found)) == len(found)
    assert {g["lr"] for g in groups if g["name"].startswith("other")} == {0.1}
    torch.optim.SGD(groups)  # would refuse a parameter in two groups


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda m: torch.compile(m, backend="aot_eager")])
def test_wrapped_networks_have_the_groups_of_what_they_wrap(wrap) -> None:  # type: ignore[no-untyped-def]
    model = mini_resnet(depth=8, width=4)
    plain = param_groups(model, 0.1, head_lr=0.3, layer_decay=0.5)
    assert [(g["name"], g["lr"]) for g in param_groups(wrap(model), 0.1, head_lr=0.3, layer_decay=0.5)] == [
        (g["name"], g["lr"]) for g in plain
    ]


def test_a_plain_torchvision_network_has_groups_too() -> None:
    model = torchvision.models.resnet18(num_classes=5)
    groups = param_groups(model, 0.1, head_lr=0.5, layer_decay=0.5)
    assert sorted(ids(groups)) == sorted(id(p) for p in model.parameters())
    rates = {g["name"]: g["lr"] for g in groups}
    assert rates["fc"] == 0.5 and rates["layer4"] == 0.1 and rates["layer3"] == pytest.approx(0.05)


@pytest.mark.parametrize("setting", ["lr", "head_lr", "layer_decay", "weight_decay"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_rates_that_are_no_rates_are_refused(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{setting}={value}"):
        param_groups(lenet(), **{"lr": 0.1, setting: value})
