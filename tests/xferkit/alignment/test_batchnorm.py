"""Adapted statistics: the mean and variance of the new pictures, and nothing else changed."""

from __future__ import annotations

import copy

import pytest
import torch
import torchvision
from torch import Tensor, nn

from xferkit.alignment.batchnorm import adapt_statistics
from xferkit.data import to_float
from xferkit.models import lenet, mini_resnet
from xferkit.session import device
from xferkit.tuning import freeze, hold_statistics


def pictures(n: int = 40, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(60, 256, (n, 3, 28, 28), generator=generator, dtype=torch.uint8)


def network() -> nn.Module:
    torch.manual_seed(0)
    model = lenet(norm="batch")
    model.features.append(nn.Dropout(0.5))
    return model.to(device()).eval()


def test_the_first_layers_statistics_are_those_of_its_inputs() -> None:
    model, x = network(), pictures()
    assert adapt_statistics(model, x, batch_size=10) is model
    inputs = model.features.stage1[0](to_float(x.to(device()))).detach()
    norm = model.features.stage1[1]
    torch.testing.assert_close(norm.running_mean, inputs.mean((0, 2, 3)), atol=1e-4, rtol=1e-3)
    batches = inputs.split(10)
    torch.testing.assert_close(
        norm.running_var, torch.stack([b.var((0, 2, 3)) for b in batches]).mean(0), rtol=1e-3, atol=1e-4
    )
    assert int(norm.num_batches_tracked) == 4


def test_all_batches_weigh_the_same_and_none_has_one_picture() -> None:
    """251 pictures in batches of 250 are two of about the same size."""
    sizes: list[int] = []
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3))
    model.register_forward_pre_hook(lambda part, inputs: sizes.append(len(inputs[0])))
    adapt_statistics(model, pictures(251))
    assert sizes == [126, 125]
    sizes.clear()
    adapt_statistics(model, pictures(5), batch_size=2)
    assert sizes == [3, 2]


def test_nothing_else_changes() -> None:
    model = network()
    model.features.stage1.train()
    before, modes = copy.deepcopy(model.state_dict()), [part.training for part in model.modules()]
    adapt_statistics(model, pictures())
    assert [part.training for part in model.modules()] == modes
    assert {m.momentum for m in model.modules() if isinstance(m, nn.BatchNorm2d)} == {0.1}
    assert not any(part._forward_pre_hooks for part in model.modules())
    moved = {name for name, t in model.state_dict().items() if not torch.equal(t, before[name])}
    assert {name.rpartition(".")[2] for name in moved} == {"running_mean", "running_var", "num_batches_tracked"}
    again = copy.deepcopy(model.state_dict())
    adapt_statistics(model, pictures())  # dropout was off: the same pictures give the same statistics
    assert all(torch.equal(t, again[name]) for name, t in model.state_dict().items())


@pytest.mark.parametrize("held", [freeze, hold_statistics])
def test_held_layers_are_measured_and_held_at_the_new_values(held) -> None:  # type: ignore[no-untyped-def]
    free, model, x = network(), held(network()), pictures()
    adapt_statistics(free, x)
    adapt_statistics(model, x)
    after = copy.deepcopy(model.state_dict())
    assert all(torch.equal(t, free.state_dict()[name]) for name, t in after.items())
    model.train()
    model(to_float(pictures(seed=1).to(device())))
    assert all(torch.equal(t, after[name]) for name, t in model.state_dict().items())


def test_compiled_and_plain_networks_are_adapted_too() -> None:
    model, x = network(), pictures()
    compiled = torch.compile(network(), backend="aot_eager")
    compiled(to_float(x.to(device())))
    adapt_statistics(model, x)
    adapt_statistics(compiled, x)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(compiled._orig_mod.state_dict()[name], tensor)
    plain = torchvision.models.resnet18(num_classes=2)
    adapt_statistics(plain, pictures(4))
    assert int(plain.bn1.num_batches_tracked) == 1


def test_accuracy_comes_back_with_the_statistics() -> None:
    """A network whose statistics are of dark pictures sees bright ones as it saw the dark."""
    model = mini_resnet(depth=8, width=4).to(device())
    dark = pictures(60) // 3
    adapt_statistics(model, dark)
    expected = model.eval()(to_float(dark.to(device())))
    wrong = model(to_float((dark * 2).to(device())))
    adapt_statistics(model, dark * 2)
    right = model(to_float((dark * 2).to(device())))
    assert (right - expected).abs().mean() < 0.2 * (wrong - expected).abs().mean()


def test_what_cannot_be_adapted_is_refused_and_left_as_it_was() -> None:
    for model in (lenet(), lenet(norm="instance"), nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False))):
        with pytest.raises(ValueError, match="no BatchNorm"):
            adapt_statistics(model, pictures())
    model = network()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(TypeError, match="uint8"):
        adapt_statistics(model, pictures().float())
    for n in (0, 1):
        with pytest.raises(ValueError, match=f"{n} pictures"):
            adapt_statistics(model, pictures(n))
    with pytest.raises(ValueError, match="batch_size=1"):
        adapt_statistics(model, pictures(), batch_size=1)
    with pytest.raises(RuntimeError):  # too small for the network: torch's own words, after the statistics were reset
        adapt_statistics(model, pictures()[:, :, :4, :4])
    with torch.no_grad():
        model.features.stage1[0].weight[0] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        adapt_statistics(model, pictures())
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items() if n != "features.stage1.0.weight")


def test_layers_that_no_picture_reaches_keep_their_statistics() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3))
    model[0].side = nn.BatchNorm1d(4)
    model[0].side.running_mean.fill_(7.0)
    adapt_statistics(model, pictures())
    assert model[0].side.running_mean.eq(7).all() and not model[0].running_mean.eq(0).any()
