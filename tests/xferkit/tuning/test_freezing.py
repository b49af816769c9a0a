"""Freezing: what is frozen stays bit-identical, and what is unfrozen learns again."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from small_nets import batch, changed, sgd, small_net, snapshot, step
from torch import nn

from xferkit.tuning import freeze, hold_statistics, trainable_parameters, unfreeze


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
    step(twin, sgd(twin))
    assert not any(part.training for part in twin.features.modules())
    assert changed(twin, twin_before) == {"head.weight", "head.bias"}
    assert not twin.features.training and changed(model, before) == set()
    unfreeze(twin.features)
    twin.train()
    step(twin, sgd(twin))
    assert any(name.startswith("features.") for name in changed(twin, twin_before))
    model.train()
    step(model, sgd(model))
    assert not model.features.training and not any(p.requires_grad for p in model.features.parameters())
    assert changed(model, before) == {"head.weight", "head.bias"}


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
    step(model, sgd(model))
    assert model.features.stage2[0][1].training and not model.features.stage1[1].training
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


# ------------------------------------------------------------------------------------------------- hold_statistics


def test_held_statistics_stay_while_weights_and_dropout_go_on() -> None:
    model = small_net()
    assert hold_statistics(model) is model
    before = snapshot(model)
    for seed in range(3):
        model.train()
        step(model, sgd(model), seed)
    moved = changed(model, before)
    assert not any(name.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked") for name in moved)
    assert moved == {name for name, _ in model.named_parameters()}
    assert model.features.stage1[3].training and not model.features.stage1[1].training


def test_held_statistics_are_what_normalises() -> None:
    norm = nn.BatchNorm1d(3)
    norm(torch.randn(50, 3) * 4 + 2)
    hold_statistics(norm).train()
    x = torch.randn(5, 3)
    expected = (x - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    torch.testing.assert_close(norm(x), expected)


def test_holding_survives_unfreezing_and_can_be_let_go() -> None:
    model = small_net()
    hold_statistics(model)
    unfreeze(freeze(model))
    before = snapshot(model)
    model.train()
    step(model, sgd(model))
    assert not any("running" in name for name in changed(model, before))
    hold_statistics(model, hold=False)
    step(model, sgd(model))
    assert "features.stage1.1.running_mean" in changed(model, before)
