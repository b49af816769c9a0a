"""Networks taken apart: published totals, and values worked out by hand."""

from __future__ import annotations

import copy

import pytest
import torch
import torchvision
from torch import nn

from xferkit.models import anatomy, backbone, lenet, mini_resnet
from xferkit.models.anatomy import Layer


def untrained(name: str) -> nn.Module:
    """One of torchvision's networks without numbers: on the meta device, so neither time nor network is needed."""
    with torch.device("meta"):
        return torchvision.models.get_model(name, **({"init_weights": False} if name == "googlenet" else {}))


def last_grid(layers: list[Layer]) -> Layer:
    return [layer for layer in layers if layer.shape[-1] > 1 and len(layer.shape) == 3][-1]


# The totals of AlexNet by hand: conv1 55²·64·363, conv2 27²·192·1600, conv3 13²·384·1728, conv4 13²·256·3456,
# conv5 13²·256·2304; 9216·4096, 4096·4096, 4096·1000.
ALEXNET = (70_276_800, 223_948_800, 112_140_288, 149_520_384, 99_680_256, 37_748_736, 16_777_216, 4_096_000)


@pytest.mark.parametrize(
    ("name", "parameters", "billions", "field"),
    [
        ("alexnet", 61_100_840, 0.714, 195),  # the fields by hand, by the formula of Araujo, Norris and Sim (2019)
        ("vgg16", 138_357_544, 15.47, 212),
        ("resnet18", 11_689_512, 1.814, 435),
        ("resnet50", 25_557_032, 4.089, 427),
        ("googlenet", 6_624_904, 1.498, 379),
    ],
)
def test_totals_are_the_published_ones(name: str, parameters: int, billions: float, field: int) -> None:
    """Multiply-adds in billions are those that torchvision publishes with its weights.

    By hand: ResNet-18: stem 11 pixels in steps of 4; 4·8 = 32 more; 8 + 3·16, 16 + 3·32 and 32 + 3·64 in the later
    stages: 435. ResNet-50, one 3×3 a block, the first of a stage with the stride: 11 + 3·8 + (8 + 3·16) + (16 + 5·32) +
    (32 + 2·64) = 427. GoogLeNet (torchvision's, with 3×3 for 5×5): stem 27 in steps of 8; 2·16; pooling 16; 5·32;
    pooling by 2×2 16; 2·64: 379.
    """
    layers = anatomy(untrained(name))
    assert sum(layer.parameters for layer in layers) == parameters
    assert round(sum(layer.multiply_adds for layer in layers) / 1e9, 3) == billions
    assert last_grid(layers).receptive_field == field


def test_alexnet_layer_by_layer() -> None:
    layers = anatomy(untrained("alexnet"))
    assert tuple(layer.multiply_adds for layer in layers if layer.multiply_adds) == ALEXNET
    convs = [layer for layer in layers if layer.kind == "Conv2d"]
    assert [layer.shape for layer in convs] == [
        (64, 55, 55), (192, 27, 27), (384, 13, 13), (256, 13, 13), (256, 13, 13)
    ]  # fmt: skip
    assert [layer.receptive_field for layer in convs] == [11, 51, 99, 131, 163]
    assert layers[0] == ("features.0", "Conv2d", (64, 55, 55), 64 * 363 + 64, 70_276_800, 11)
    assert layers[-1].receptive_field == 195 + 5 * 32  # all 6×6 positions, 32 pixels apart


def test_lenet_by_hand() -> None:
    layers = {layer.name: layer for layer in anatomy(lenet(), (3, 28, 28))}
    assert [layer.receptive_field for layer in layers.values() if "stage" in layer.name] == [5, 5, 6, 14, 14, 16]
    assert layers["features.stage2.0"].multiply_adds == 8 * 8 * 48 * 32 * 25
    assert layers["head.0"][2:] == ((100,), 768 * 100 + 100, 768 * 100, 16 + 3 * 4)


def test_the_field_is_what_a_gradient_reaches() -> None:
    """With positive weights and nothing switched off, one output's gradient is positive exactly where it looks."""
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, stride=2, padding=2, dilation=2), nn.AvgPool2d(3, 2),
        nn.Conv2d(2, 1, 5, padding=2, groups=1),
    )  # fmt: skip
    for parameter in net.parameters():
        nn.init.constant_(parameter, 0.1)
    x = torch.ones(1, 1, 101, 101, requires_grad=True)
    y = net(x)
    y[0, 0, y.shape[2] // 2, y.shape[3] // 2].backward()
    assert x.grad is not None
    reached = int((x.grad[0, 0].abs().sum(0) > 0).sum())
    assert anatomy(net, (1, 101, 101))[-1].receptive_field == reached == 3 + 4 + 2 * 2 + 4 * 4


class Meeting(nn.Module):
    """A short and a long path that are added, and a part that weighs the channels by what the whole picture holds."""

    def __init__(self) -> None:
        super().__init__()
        self.long = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1))
        self.short = nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.long(x) + self.short(x)


def test_where_paths_meet_the_larger_field_counts() -> None:
    layers = anatomy(nn.Sequential(Meeting(), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), (3, 9, 9))
    assert [layer.receptive_field for layer in layers] == [3, 5, 1, 5, 13, 13]
    assert anatomy(mini_resnet(depth=8, width=4), (3, 28, 28))[-1].receptive_field == 7 + (2 + 4) + (4 + 8) + 6 * 4


def test_a_channel_taken_out_keeps_its_field() -> None:
    """As torchvision's GoogLeNet does before its first layer, when it has weights."""
    with torch.device("meta"):
        net = torchvision.models.googlenet(init_weights=False, transform_input=True)
    assert last_grid(anatomy(net)).receptive_field == 379


@pytest.mark.parametrize(("side", "out", "window"), [(6, 6, 1), (12, 6, 2), (7, 3, 3), (4, 7, 2), (5, 1, 5)])
def test_adaptive_pools(side: int, out: int, window: int) -> None:
    (layer,) = anatomy(nn.AdaptiveMaxPool2d(out), (1, side, side))
    assert layer.receptive_field == window


def test_the_network_is_left_alone_and_every_parameter_counts_once() -> None:
    net = backbone()
    net.features.stem[1].eval()
    before, modes = copy.deepcopy(net.state_dict()), [part.training for part in net.modules()]
    layers = anatomy(net)
    assert sum(layer.parameters for layer in layers) == sum(p.numel() for p in net.parameters())
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    assert [part.training for part in net.modules()] == modes
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())
    tied = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5))
    tied[1].weight = tied[0].weight
    net = nn.Sequential(nn.Flatten(), tied)
    assert sum(layer.parameters for layer in anatomy(net, (5, 1, 1))) == sum(p.numel() for p in net.parameters()) == 35
    shared = nn.Conv2d(3, 3, 1)
    twice = anatomy(nn.Sequential(shared, nn.ReLU(), shared), (3, 4, 4))
    assert [layer.parameters for layer in twice] == [12, 0, 0] and sum(layer.multiply_adds for layer in twice) == 288


def test_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(ValueError, match="add in Encoder cannot be counted"):
        anatomy(untrained("vit_b_16"))
    with pytest.raises(ValueError, match="conv_transpose2d in ConvTranspose2d cannot be counted"):
        anatomy(nn.ConvTranspose2d(3, 3, 2))

    class Pools(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.max_pool2d(x, 2)

    with pytest.raises(ValueError, match="max_pool2d in Pools cannot be counted"):
        anatomy(Pools(), (3, 8, 8))
    with pytest.raises(ValueError, match=r"does not take pictures of the size \(1, 28, 28\)"):
        anatomy(lenet(), (1, 28, 28))
    with pytest.raises(ValueError, match=r"must be \(C, H, W\)"):
        anatomy(lenet(), (28, 28))
    with pytest.raises(ValueError, match="size=0"):
        anatomy(lenet(), (3, 0, 28))
    with pytest.raises(TypeError, match="size=28.0"):
        anatomy(lenet(), (3, 28.0, 28))  # type: ignore[arg-type]
