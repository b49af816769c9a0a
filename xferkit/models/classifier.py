"""The one shape of every network in the course: an encoder in named stages, and a head."""

from __future__ import annotations

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)


class Classifier(nn.Module):
    """An encoder and a head: `forward(x) = head(features(x))`, from (B, 3, H, W) to (B, num_classes).

    Attributes:
        classes: the names of the scores, in their order. A recipe sets them from its training split, if that carries
            names; None means that nobody has said them.
    """

    classes: tuple[str, ...] | None = None

    def __init__(self, features: nn.Sequential, head: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def feature_dim(model: nn.Module) -> int:
    """D, the width of the features that the head of a `Classifier` reads.

    Raises:
        TypeError: no `Classifier`, or its head has no linear layer to read D from.
    """
    net = unwrap(model)
    head = getattr(net, "head", None)
    if not isinstance(head, nn.Module):
        raise TypeError(f"{type(net).__name__} has no `head`: give a Classifier(features, head).")
    for part in head.modules():
        if isinstance(part, nn.Linear):
            return part.in_features
    raise TypeError(
        "the head has no linear layer, so the feature width is unknown: pass one picture through model.features and "
        "set model.head = nn.Linear(D, num_classes)."
    )


def wrapped_name(part: nn.Module) -> str | None:
    """The name under which a wrapper (`DataParallel`, `torch.compile`, averaged weights) keeps the network, or None."""
    if isinstance(part, _WRAPPERS):
        return "module"
    return "_orig_mod" if "_orig_mod" in part._modules else None


def unwrap(model: nn.Module) -> nn.Module:
    """The network itself, without the wrappers around it."""
    while (name := wrapped_name(model)) is not None:
        model = model.get_submodule(name)
    return model


def stages(model: nn.Module) -> tuple[dict[str, nn.Module], tuple[str, nn.Module]]:
    """The parts of an encoder that have parameters, from the input up, and the head: all by name.

    A `Classifier` names them itself: the children of `features`, and `head`. In any other network the head is `head`
    or, if there is none, the last child with parameters; the stages are the other children, or, where there is only
    one other (torchvision's VGG has one), its children.
    """
    net = unwrap(model)
    if not (children := _children_with_parameters(net)):
        return {}, ("network", net)
    head = "head" if "head" in children else list(children)[-1]
    top = (head, children.pop(head))
    if head == "head" and "features" in children:
        name = "features"
    elif len(children) == 1:
        (name,) = children
    else:
        return children, top
    inner = {f"{name}.{child}": part for child, part in _children_with_parameters(children[name]).items()}
    return inner or {name: children[name]}, top


def _children_with_parameters(module: nn.Module) -> dict[str, nn.Module]:
    return {name: part for name, part in module.named_children() if any(True for _ in part.parameters())}
