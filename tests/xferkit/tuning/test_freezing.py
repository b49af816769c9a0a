"""Freezing: what is frozen stays bit-identical, what is unfrozen learns again, and the groups carry real rates."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xferkit.models import Classifier, lenet
from xferkit.session import device
from xferkit.tuning import freeze, param_groups, trainable_parameters, unfreeze


def small_net() -> Classifier:
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
    features = nn.Sequential()
    features.add_module("stage1", block)
    features.add_module("stage2", nn.Sequential(nn.Sequential(nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5)), nn.ReLU()))
    features.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    return Classifier(features, nn.Linear(5, 3)).to(device())


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = 2 + 3 * torch.randn(8, 3, 9, 9, generator=generator)
    return x.to(device()), torch.randint(3, (8,), generator=generator).to(device())


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    """Every parameter, frozen or not, with all that could move one without a gradient of its own."""
    return torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.1)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int = 0) -> None:
    x, y = batch(seed)
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: t.clone() for name, t in module.state_dict().items()}


def changed(module: nn.Module, before: dict[str, Tensor]) -> set[str]:
    return {name for name, t in module.state_dict().items() if not torch.equal(t, before[name])}


def test_frozen_parameters_and_buffers_stay_bit_identical() -> None:
    """Also with momentum gathered before freezing, with weight decay, and after a parent's `.train()`."""
    model = small_net()
    optimizer = sgd(model)
    model.train()
    step(model, optimizer)  # momentum and gradients are there now
    freeze(model.features)
    before = snapshot(model)
    model.train()
    for seed in range(3):
        step(model, optimizer, seed)
    assert changed(model, before) == {"head.weight", "head.bias"}


def test_freezing_between_backward_and_step_holds() -> None:
    model = small_net()
    optimizer = sgd(model)
    x, y = batch()
    F.cross_entropy(model(x), y).backward()
    freeze(model.features)
    before = snapshot(model)
    optimizer.step()
    assert changed(model, before) == {"head.weight", "head.bias"}


def test_frozen_features_are_the_same_in_training_and_evaluation() -> None:
    """Dropout stays off and BatchNorm uses its stored statistics."""
    model = small_net()
    freeze(model.features)
    model.train()
    x, _ = batch()
    first = model.features(x)
    assert torch.equal(first, model.features(x))
    model.eval()
    torch.testing.assert_close(first, model.features(x))
    assert model.head.weight.requires_grad and not first.requires_grad


def test_a_nested_part_can_be_frozen_alone() -> None:
    model = small_net()
    inner = model.features.stage2[0]
    freeze(inner)
    before = snapshot(model)
    model.train()
    step(model, sgd(model))
    frozen = {name for name in before if name.startswith("features.stage2.0.")}
    assert frozen and changed(model, before).isdisjoint(frozen)
    assert "features.stage1.1.running_mean" in changed(model, before)


def test_a_copy_of_a_frozen_model_is_frozen_and_independent() -> None:
    model = small_net()
    freeze(model.features)
    twin = copy.deepcopy(model)
    before, twin_before = snapshot(model), snapshot(twin)
    for part in twin.features.modules():
        part.training = True  # the copy has to look after its own modes, not the original's
    twin.train()
    assert not any(part.training for part in twin.features.modules())
    step(twin, sgd(twin))
    assert changed(twin, twin_before) == {"head.weight", "head.bias"}
    assert not twin.features.training and changed(model, before) == set()
    unfreeze(twin.features)
    twin.train()
    step(twin, sgd(twin))
    assert any(name.startswith("features.") for name in changed(twin, twin_before))
    model.train()
    assert not model.features.training and not any(p.requires_grad for p in model.features.parameters())


def test_unfreeze_restores_everything() -> None:
    model, never_frozen = small_net(), small_net()
    freeze(model.features)
    unfreeze(model.features)
    for net in (model, never_frozen):
        net.train()
        torch.manual_seed(1)  # dropout
        step(net, sgd(net))
    assert all(part.training for part in model.modules())
    for name, tensor in never_frozen.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor)
    model.eval()
    assert not any(part.training for part in model.modules())


def test_a_stage_unfrozen_inside_a_frozen_encoder_trains() -> None:
    """As in gradual unfreezing: the stage's parameters and its running statistics move, the others do not."""
    model = small_net()
    freeze(model.features)
    unfreeze(model.features.stage2)
    before = snapshot(model)
    model.train()
    assert model.features.stage2[0][1].training and not model.features.stage1[1].training
    step(model, sgd(model))
    moved = changed(model, before)
    assert {"features.stage2.0.1.running_mean", "features.stage2.0.0.weight"} <= moved
    assert not any(name.startswith("features.stage1") for name in moved)
    model.eval()
    assert not any(part.training for part in model.modules())


def test_bn_train_lets_the_statistics_drift_and_nothing_else() -> None:
    model = small_net()
    freeze(model.features, bn="train")
    before = snapshot(model.features)
    model.train()
    step(model, sgd(model))
    moved = changed(model.features, before)
    assert {name.rpartition(".")[2] for name in moved} == {"running_mean", "running_var", "num_batches_tracked"}
    assert len(moved) == 6


def test_freezing_again_with_bn_train_lets_go_of_the_mode() -> None:
    model = small_net()
    freeze(model.features)
    freeze(model.features, bn="train")
    model.train()
    assert model.features.stage1[1].training


def test_an_unknown_bn_names_the_valid_words() -> None:
    with pytest.raises(ValueError, match="'off'.*'eval'.*'train'"):
        freeze(nn.Linear(1, 1), bn="off")


def test_trainable_parameters_leave_out_the_frozen() -> None:
    model = small_net()
    freeze(model.features)
    assert [id(p) for p in trainable_parameters(model)] == [id(p) for p in model.head.parameters()]


# ----------------------------------------------------------------------------------------------------- param_groups


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
