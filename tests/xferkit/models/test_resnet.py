"""The small ResNet: its shapes and counts from the paper."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from xferkit.models import feature_dim, mini_resnet
from xferkit.session import device


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("depth", "block"), [(8, "basic"), (20, "basic"), (56, "basic"), (11, "bottleneck")])
def test_plain_and_residual_nets_have_the_same_parameters(depth: int, block: str) -> None:
    plain = mini_resnet(depth=depth, width=4, residual=False, block=block)
    residual = mini_resnet(depth=depth, width=4, residual=True, block=block)
    shapes = [{n: t.shape for n, t in net.state_dict().items()} for net in (plain, residual)]
    assert shapes[0] == shapes[1]


def test_the_shortcut_is_the_only_difference() -> None:
    plain, residual = (mini_resnet(depth=8, width=4, residual=r).eval() for r in (False, True))
    residual.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(plain(x), residual(x))
    for net in (plain, residual):  # with F = 0 a plain block puts out zeros, a residual block its input
        for name, parameter in net.named_parameters():
            if ".body.4." in name:
                torch.nn.init.zeros_(parameter)
    stem = residual.features.stem(x)
    assert torch.equal(residual.features.stage1(stem), stem)
    assert plain.features.stage1(plain.features.stem(x)).abs().max() == 0


@pytest.mark.parametrize("depth", [8, 20, 32, 56])
def test_depth_counts_the_layers_with_weights(depth: int) -> None:
    layers = [
        m for m in mini_resnet(depth=depth, width=4).modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)
    ]
    assert len(layers) == depth


@pytest.mark.parametrize(
    ("depth", "block", "hint"), [(21, "basic", "6n"), (2, "basic", "6n"), (21, "bottleneck", "9n")]
)
def test_a_depth_that_no_net_has_is_refused_with_the_formula(depth: int, block: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        mini_resnet(depth=depth, block=block)


def test_published_parameter_counts() -> None:
    # He et al. (2016a), Table 6, in millions.
    for depth, millions in {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85}.items():
        assert parameters(mini_resnet(depth=depth)) / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize(
    ("depth", "block"), [(8, "basic"), (20, "basic"), (32, "basic"), (11, "bottleneck"), (29, "bottleneck")]
)
def test_depth_counts_layers_with_weights(depth: int, block: str) -> None:
    model = mini_resnet(depth=depth, block=block)
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in model.modules()) == depth


def test_resnets_have_the_papers_number_of_parameters() -> None:
    """He et al. 2016a, Table 6: 0.27 million at depth 20, 0.85 million at depth 56."""
    assert round(parameters(mini_resnet(depth=20)) / 1e6, 2) == 0.27
    assert round(parameters(mini_resnet(depth=56)) / 1e6, 2) == 0.85


def test_stages_halve_the_picture_and_double_the_channels() -> None:
    model = mini_resnet(7, depth=8, width=8).to(device())
    z, shapes = torch.zeros(2, 3, 28, 28, device=device()), {}
    for name, stage in model.features.named_children():
        z = stage(z)
        shapes[name] = tuple(z.shape[1:])
    assert shapes == {
        "stem": (8, 28, 28),
        "stage1": (8, 28, 28),
        "stage2": (16, 14, 14),
        "stage3": (32, 7, 7),
        "pool": (32,),
    }
    assert model.head(z).shape == (2, 7)
    assert feature_dim(mini_resnet(depth=11, width=8, block="bottleneck")) == 128


def test_plain_and_residual_nets_differ_in_the_shortcut_alone() -> None:
    residual, plain = mini_resnet(depth=14), mini_resnet(depth=14, residual=False)
    assert {n: t.shape for n, t in residual.state_dict().items()} == {n: t.shape for n, t in plain.state_dict().items()}
    plain.load_state_dict(residual.state_dict())
    x = torch.randn(2, 3, 28, 28)
    assert not torch.allclose(residual.eval()(x), plain.eval()(x))


def test_a_residual_block_with_a_silent_body_passes_its_input_on() -> None:
    """The shortcut is the identity; where the stage halves, every other pixel and zeros for the new channels."""
    model = mini_resnet(depth=14, width=4).eval()
    for name, m in model.features.named_modules():
        if name.startswith("stage") and isinstance(m, nn.BatchNorm2d):
            nn.init.zeros_(m.weight)
    x = torch.rand(1, 4, 8, 8)
    assert torch.equal(model.features.stage1(x), x)
    halved = model.features.stage2(x)
    assert torch.equal(halved[:, :4], x[:, :, ::2, ::2]) and halved[:, 4:].abs().sum() == 0
    plain = mini_resnet(depth=14, width=4, residual=False).eval()
    plain.load_state_dict(model.state_dict())
    assert plain.features.stage1(x).abs().sum() == 0


def test_gradients_reach_the_first_layer_of_a_deep_residual_net() -> None:
    """At initialisation a deep plain net's signal has faded or grown; the identity path keeps every block alive."""
    x = torch.randn(4, 3, 28, 28, device=device())
    for depth in (8, 56):
        torch.manual_seed(0)
        model = mini_resnet(depth=depth, width=4).to(device()).train()
        model(x).square().mean().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        assert model.features.stem[0].weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 21}, "depth=21.*6n \\+ 2.*8, 14, 20"),
        ({"depth": 14, "block": "bottleneck"}, "depth=14.*9n \\+ 2.*11, 20, 29"),
        ({"depth": 2}, "depth=2"),
        ({"block": "wide"}, "'wide'.*'basic'.*'bottleneck'"),
        ({"depth": 8, "pretrained": True}, "depth=20, width=16"),
    ],
)
def test_mini_resnet_refuses_what_it_cannot_be(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mini_resnet(**arguments)


@pytest.mark.parametrize("setting", ["num_classes", "depth", "width"])
def test_counts_are_whole_numbers_in_range(setting: str) -> None:
    for value in (20.0, True, None):
        with pytest.raises(TypeError, match=setting):
            mini_resnet(**{setting: value})
    for value in (0, -1):
        with pytest.raises(ValueError, match=f"{setting}={value}"):
            mini_resnet(**{setting: value})
