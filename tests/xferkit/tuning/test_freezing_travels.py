"""A frozen network copied, stored, compiled and unfrozen: nothing hides in it."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from small_nets import batch, changed, sgd, small_net, snapshot, step
from torch import nn

from xferkit.models import Classifier
from xferkit.tuning import freeze, hold_statistics, unfreeze


def wrapped(how: str, model: Classifier) -> Classifier:
    """A frozen network after a journey; it has to be as frozen as before."""
    if how == "deepcopy":
        return copy.deepcopy(model)
    if how == "pickle":
        return pickle.loads(pickle.dumps(model))
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


@pytest.mark.parametrize("how", ["deepcopy", "pickle", "torch.save"])
def test_a_frozen_network_travels_and_can_be_unfrozen_there(how: str) -> None:
    model = small_net()
    freeze(model.features)
    hold_statistics(model.features.stage2)
    twin = wrapped(how, model)
    before = snapshot(twin)
    twin.train()
    step(twin, sgd(twin))
    assert changed(twin, before) == {"head.weight", "head.bias"}
    unfreeze(twin)
    twin.train()
    step(twin, sgd(twin))
    moved = changed(twin, before)
    assert {"features.stage1.1.running_mean", "features.stage2.0.1.weight"} <= moved
    assert "features.stage2.0.1.running_mean" not in moved  # held, not frozen
    assert changed(model, before) == set()


@pytest.mark.parametrize("when", ["before", "after"])
def test_compiled_networks_stay_frozen(when: str) -> None:
    """Whether the network was compiled before or after; `aot_eager` needs no C++ compiler."""
    model = small_net()
    if when == "before":
        compiled = torch.compile(model, backend="aot_eager")
        compiled(batch()[0])
    freeze(model.features.stage1)
    hold_statistics(model.features.stage2)
    if when == "after":
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    before = snapshot(model)
    for seed in range(2):
        compiled.train()
        step(compiled, sgd(model), seed)
    moved = changed(model, before)
    assert "features.stage2.0.1.weight" in moved and not any("stage1" in name or "running" in name for name in moved)
    unfreeze(compiled)
    hold_statistics(compiled, hold=False)
    compiled.train()
    step(compiled, sgd(model))
    assert {"features.stage1.0.weight", "features.stage2.0.1.running_mean"} <= changed(model, before)


def test_replicas_of_data_parallel_stay_frozen() -> None:
    """On one device DataParallel calls the network itself; a replica is a shallow copy, as it makes on several."""
    model = small_net()
    freeze(model.features)
    parallel = nn.DataParallel(model)
    before = snapshot(model)
    parallel.train()
    step(parallel, sgd(model))
    assert changed(model, before) == {"head.weight", "head.bias"}
    dropout = model.features.stage1[3]._replicate_for_data_parallel()
    dropout.training = True
    x = torch.ones(4, 4)
    assert torch.equal(dropout(x), x) and not dropout.training


def test_unfreeze_restores_what_learned_before_and_no_more() -> None:
    """A parameter that its author had fixed stays fixed; freezing twice does not forget what learned at first."""
    model = small_net()
    model.features.stage1[0].bias.requires_grad_(False)
    learned = {name: p.requires_grad for name, p in model.named_parameters()}
    freeze(model.features.stage1)
    freeze(model)
    assert not any(p.requires_grad for p in model.parameters())
    unfreeze(model)
    assert {name: p.requires_grad for name, p in model.named_parameters()} == learned
    assert unfreeze(model) is model and {n: p.requires_grad for n, p in model.named_parameters()} == learned


def test_unfreeze_leaves_no_trace() -> None:
    model, never_frozen = small_net(), small_net()
    freeze(hold_statistics(model))
    hold_statistics(unfreeze(model), hold=False)
    for part, twin in zip(model.modules(), never_frozen.modules(), strict=True):
        assert set(part.__dict__) == set(twin.__dict__) and part.training
        assert not part._forward_pre_hooks and "train" not in part.__dict__


def test_a_weight_of_two_parts_learns_again() -> None:
    pair = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    pair[1].weight = pair[0].weight
    freeze(pair)
    unfreeze(pair[1])
    assert pair[1].weight.requires_grad and not pair[0].bias.requires_grad
    unfreeze(freeze(pair))
    assert all(p.requires_grad for p in pair.parameters())
