"""The MNIST network of Ganin et al. (2016): shapes and counts from the paper."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from xferkit.models import lenet
from xferkit.session import device


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_lenet_is_the_papers_mnist_network() -> None:
    """Ganin et al. 2016, Fig. 4a: 32 5×5, pool, 48 5×5, pool; 100, 100, 10 fully connected."""
    model = lenet()
    convs = [m for m in model.features.modules() if isinstance(m, nn.Conv2d)]
    linears = [m for m in model.head.modules() if isinstance(m, nn.Linear)]
    assert [(c.out_channels, *c.kernel_size) for c in convs] == [(32, 5, 5), (48, 5, 5)]
    assert [(m.in_features, m.out_features) for m in linears] == [(768, 100), (100, 100), (100, 10)]
    assert parameters(model) == (75 * 32 + 32) + (800 * 48 + 48) + (768 * 100 + 100) + (100 * 100 + 100) + (
        100 * 10 + 10
    )
    assert not any(isinstance(m, nn.modules.batchnorm._NormBase) for m in model.modules())


@pytest.mark.parametrize(("norm", "kind"), [("batch", nn.BatchNorm2d), ("instance", nn.InstanceNorm2d)])
def test_norm_stands_between_convolution_and_activation(norm: str, kind: type) -> None:
    model = lenet(norm=norm).to(device())
    for stage in (model.features.stage1, model.features.stage2):
        assert [type(m) for m in stage] == [nn.Conv2d, kind, nn.ReLU, nn.MaxPool2d]
    assert model(torch.randn(2, 3, 28, 28, device=device())).shape == (2, 10)


def test_instance_norm_forgets_contrast_and_brightness_of_each_picture() -> None:
    x = torch.randn(3, 3, 28, 28, device=device())
    net = lenet(norm="instance").to(device()).eval()
    tolerance = 1e-3 if device().type == "cpu" else 2e-2  # TF32
    torch.testing.assert_close(net(x), net(3 * x + 0.5), atol=tolerance, rtol=1e-3)
    plain = lenet().to(device()).eval()
    assert (plain(x) - plain(3 * x + 0.5)).abs().max() > 2 * tolerance


@pytest.mark.parametrize("size", [16, 28, 32, 64])
def test_lenet_fits_the_picture_size_it_was_made_for(size: int) -> None:
    assert lenet(5, image_size=size)(torch.zeros(1, 3, size, size)).shape == (1, 5)


def test_lenet_refuses_what_it_cannot_be() -> None:
    with pytest.raises(ValueError, match="'layer'.*none, batch, instance"):
        lenet(norm="layer")
    with pytest.raises(ValueError, match="image_size=15.*16"):
        lenet(image_size=15)


@pytest.mark.parametrize("setting", ["num_classes", "image_size"])
@pytest.mark.parametrize("value", [28.0, True, "28", None])
def test_a_size_is_a_whole_number(setting: str, value: object) -> None:
    with pytest.raises(TypeError, match=setting):
        lenet(**{setting: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [1, 0, -3])
def test_fewer_than_two_classes_are_none(value: int) -> None:
    with pytest.raises(ValueError, match=f"num_classes={value}"):
        lenet(value)
    with pytest.raises(ValueError, match=f"image_size={min(value, 0)}"):
        lenet(image_size=min(value, 0))
