"""Residual networks for small pictures (He et al. 2016a)."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from safetensors.torch import load
from torch import Tensor, nn

from xferkit._checks import check_count
from xferkit._files import read_checked
from xferkit.models.classifier import Classifier

ASSETS = Path(__file__).parent.parent / "assets"
MINI_RESNET_FILE = "mini_resnet20_characters.safetensors"


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
        num_classes: at least 2.
        depth: number of layers with weights, head included.
        width: channels of the first stage; the next two double them (×4 with bottlenecks).
        residual: False removes the shortcuts and nothing else.
        block: "basic" (two 3×3 convolutions) or "bottleneck" (1×1, 3×3, 1×1).
        pretrained: load the weights trained on characters drawn from fonts (depth 20, width 16, basic, residual);
            see the model card beside the file. The head keeps its `num_classes` and starts afresh.
    Returns:
        A network from (B, 3, H, W), any H and W, to (B, num_classes), with D = 4 · width features (16 · width with
        bottlenecks).
    Raises:
        ValueError: an unknown block, a depth that no n gives, fewer than two classes, or `pretrained` for another
            architecture.
        TypeError: a count that is no whole number.
        OSError: the weights file is missing or damaged.
    """
    num_classes = check_count(num_classes, what="num_classes", least=2)
    depth, width = check_count(depth, what="depth"), check_count(width, what="width")
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
        OSError: the file or its checksum is missing or damaged; the message says how to get it again.
    """
    again = f"Get it again: git checkout -- {path.name}, or reinstall xferkit."
    beside = Path(f"{path}.sha256")
    words = beside.read_text(errors="replace").split() if beside.is_file() else []
    if not words or len(words[0]) != 64:
        raise OSError(f"{beside}, the checksum of {path.name}, is missing or damaged. {again}")
    return load(read_checked(path, words[0], again))
