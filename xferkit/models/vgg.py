"""Small VGG networks for pictures of 32×32 pixels (Simonyan and Zisserman 2015)."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from xferkit._checks import check_count, check_share
from xferkit.models._parts import Flatten, finish
from xferkit.models.classifier import Classifier

# The paper's Table 1: the kernels of each stage, from the input up; max pooling ends a stage.
CONFIGURATIONS: dict[str, tuple[tuple[int, ...], ...]] = {
    "A": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "B": ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3)),
    "C": ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)),
    "D": ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    "E": ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)),
}


def mini_vgg(
    num_classes: int = 10,
    *,
    configuration: str = "A",
    width: int = 12,
    hidden: int = 512,
    dropout: float = 0.5,
) -> Classifier:
    """Five stages of small convolutions, each of which halves the picture at its end, and three linear layers.

    The layers are those of the paper's Table 1: configuration A has 11 with weights, B 13, C and D 16, E 19. Each but
    the last is followed by a ReLU. What differs: fewer channels (12 in the first stage for 64), pictures of 32 pixels
    for 224, so that one position is left at the end for 7×7; He's initial weights. The two hidden linear layers belong
    to `features`, so D = `hidden`.

    Args:
        num_classes: at least 2.
        configuration: "A", the shallowest, which starts to learn soonest; "B"; "C", with 1×1 convolutions; "D",
            known as VGG-16; or "E", VGG-19.
        width: channels of the first stage; the others have 2, 4, 8 and 8 times as many.
        hidden: width of each of the two hidden linear layers.
        dropout: the share of their outputs that is dropped in training.
    Returns:
        A network from (B, 3, 32, 32) to (B, num_classes). Pictures that leave another number of positions to `flatten`
        are refused with a ValueError when they come.
    Raises:
        ValueError: an unknown configuration, fewer than two classes, a width below 1, or a share outside [0, 1).
        TypeError: a count that is no whole number, or a share that is no number.
    """
    num_classes, drop = check_count(num_classes, what="num_classes", least=2), check_share(dropout, what="dropout")
    width, hidden = check_count(width, what="width"), check_count(hidden, what="hidden")
    if configuration not in CONFIGURATIONS:
        raise ValueError(f"configuration={configuration!r} is not known. Choose one of: {', '.join(CONFIGURATIONS)}.")

    stages: OrderedDict[str, nn.Module] = OrderedDict()
    c_in = 3  # 3×32×32
    widths = [width * times for times in (1, 2, 4, 8, 8)]  # 12×16×16, 24×8×8, 48×4×4, 96×2×2, 96×1×1 after the stages
    for i, (c_out, kernels) in enumerate(zip(widths, CONFIGURATIONS[configuration], strict=True), start=1):
        layers: list[nn.Module] = []
        for kernel in kernels:
            layers += [nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2), nn.ReLU()]
            c_in = c_out
        stages[f"stage{i}"] = nn.Sequential(*layers, nn.MaxPool2d(2))
    stages["flatten"] = Flatten(c_in, 1)  # 96
    stages["fc6"] = nn.Sequential(nn.Linear(c_in, hidden), nn.ReLU(), nn.Dropout(drop))  # 512
    stages["fc7"] = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(drop))  # 512
    model = Classifier(nn.Sequential(stages), nn.Linear(hidden, num_classes))
    return finish(model)
