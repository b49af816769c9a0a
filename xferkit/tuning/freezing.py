"""Which parameters may move, and how fast.

The mistake this file exists to prevent: `requires_grad = False` stops the optimizer, but not BatchNorm's running mean
and variance, which change with every forward pass in training mode, and not an optimizer's momentum either.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, TypeVar

from torch import nn

from xferkit.models import Classifier

M = TypeVar("M", bound=nn.Module)


def _stay_in_eval(self: nn.Module, mode: bool = True) -> nn.Module:
    # Asking each child, and not the module as a whole, lets a part that was unfrozen on its own train again.
    self.training = False
    for child in self.children():
        child.train(mode)
    return self


def freeze(module: M, *, bn: str = "eval") -> M:
    """Stop every parameter and, with `bn="eval"`, every buffer of the module from changing; returns the module.

    The module and all its parts stay in evaluation mode even when a parent's `.train()` is called, so that BatchNorm
    keeps its running statistics and dropout stays off: parameters and buffers remain bit-identical.

    Args:
        bn: "eval" as above; "train" leaves modes alone, so that running statistics go on drifting (the usual mistake,
            kept for showing it, and at times wanted: see `unfreeze`).
    Raises:
        ValueError: another word for `bn`.
    """
    if bn not in ("eval", "train"):
        raise ValueError(f"bn={bn!r} is not known. Choose 'eval' (statistics stay) or 'train' (statistics drift).")
    for parameter in module.parameters():
        parameter.requires_grad_(False)
        parameter.grad = None  # a stale gradient would still move the weight through momentum
    for part in module.modules():
        part.__dict__.pop("train", None)
        if bn == "eval":
            part.train = types.MethodType(_stay_in_eval, part)  # type: ignore[method-assign]
            part.training = False
    return module


def unfreeze(module: M) -> M:
    """Undo `freeze`: parameters learn again, `.train()` works again, and the module is in training mode."""
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    for part in module.modules():
        part.__dict__.pop("train", None)
    module.train()
    return module


def trainable_parameters(model: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters that an optimizer may move."""
    return (p for p in model.parameters() if p.requires_grad)


def param_groups(
    model: Classifier,
    lr: float,
    *,
    head_lr: float | None = None,
    layer_decay: float = 1.0,
    weight_decay: float = 0.0,
) -> list[dict[str, Any]]:
    """Parameter groups for discriminative learning rates (Howard and Ruder 2018, §3.2).

    The last stage of `model.features` learns at `lr`, the one before at `lr · layer_decay`, and so on down; the head at
    `head_lr` (by default `lr`). Biases and normalisation parameters (one dimension) get no weight decay. Frozen
    parameters are left out.

    Returns:
        One dict a group with `name`, `params`, `lr` and `weight_decay`, from the input to the head.
    Raises:
        ValueError: nothing is trainable, or a rate is not positive.
    """
    if lr <= 0 or (head_lr is not None and head_lr <= 0) or layer_decay <= 0:
        raise ValueError(f"lr={lr}, head_lr={head_lr}, layer_decay={layer_decay}: all must be positive.")
    stages = [(name, part) for name, part in model.features.named_children() if any(True for _ in part.parameters())]
    rated = [
        (f"features.{name}", part, lr * layer_decay ** (len(stages) - 1 - depth))
        for depth, (name, part) in enumerate(stages)
    ]
    rated.append(("head", model.head, lr if head_lr is None else head_lr))
    groups: list[dict[str, Any]] = []
    for name, part, rate in rated:
        matrices = [p for p in part.parameters() if p.requires_grad and p.ndim > 1]
        vectors = [p for p in part.parameters() if p.requires_grad and p.ndim <= 1]
        if matrices:
            groups.append({"name": name, "params": matrices, "lr": rate, "weight_decay": weight_decay})
        if vectors:
            groups.append({"name": f"{name} (bias, norm)", "params": vectors, "lr": rate, "weight_decay": 0.0})
    if not groups:
        raise ValueError("every parameter is frozen: unfreeze the head or a stage first.")
    return groups
