"""Which parameters may move, and how fast.

The mistake this file exists to prevent: `requires_grad = False` stops the optimizer, but not BatchNorm's running mean
and variance, which change with every forward pass in training mode, and not an optimizer's momentum either.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch import nn

from xferkit._checks import check_number
from xferkit.models.classifier import stages, unwrap

M = TypeVar("M", bound=nn.Module)  #: the module that is given, of whatever class

# Where `freeze` notes, on each part, which of its own parameters it stopped.
_STOPPED = "stopped_by_freeze"


# Two forward-pre-hooks. PyTorch calls them before each forward pass, whatever mode `.train()` has set meanwhile. They
# are functions of this module and hold nothing, so a network that carries them can be copied, pickled and compiled.
def _frozen(part: nn.Module, inputs: Any) -> None:
    if part.training:
        part.training = False


def _statistics_held(part: nn.Module, inputs: Any) -> None:
    if part.training:
        part.training = False


def _hook(part: nn.Module, hook: Callable[[nn.Module, Any], None]) -> None:
    _unhook(part, hook)
    part.register_forward_pre_hook(hook)
    part.training = False


def _unhook(part: nn.Module, hook: Callable[[nn.Module, Any], None]) -> bool:
    mine = [key for key, other in part._forward_pre_hooks.items() if other is hook]
    for key in mine:
        del part._forward_pre_hooks[key]
    return bool(mine)


def _forget_compiled_code() -> None:
    # Code that torch.compile has made already knows no hook that came later, and does not look for one.
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()


def freeze(module: M, *, bn: str = "eval") -> M:
    """Stop every parameter and, with `bn="eval"`, every buffer of the module from changing; returns the module.

    The module and all its parts then run in evaluation mode even after a parent's `.train()`, so that BatchNorm keeps
    its running statistics and dropout stays off: parameters and buffers remain bit-identical. (The mode is set when a
    part is called; between `.train()` and the next forward pass its flag `training` may read True.)

    Args:
        bn: "eval" as above; "train" leaves modes alone, so that running statistics go on drifting (the usual mistake,
            kept for showing it). To let weights move and hold the statistics, use `hold_statistics` instead.
    Raises:
        ValueError: another word for `bn`.
    """
    if bn not in ("eval", "train"):
        raise ValueError(f"bn={bn!r} is not known. Choose 'eval' (statistics stay) or 'train' (statistics drift).")
    freeze_parts(module.modules(), bn=bn)
    return module


def freeze_parts(parts: Iterable[nn.Module], *, bn: str = "eval") -> None:
    """`freeze` for these parts alone, without the parts inside them."""
    parts = list(parts)
    # All are noted before any is stopped: a weight that two parts share belongs to both.
    learning = {id(p) for part in parts for p in part.parameters(recurse=False) if p.requires_grad}
    for part in parts:
        mine = {name for name, p in part._parameters.items() if id(p) in learning}
        setattr(part, _STOPPED, tuple(sorted(mine.union(getattr(part, _STOPPED, ())))))
        if bn == "eval":
            _hook(part, _frozen)
        elif _unhook(part, _frozen):
            part.training = True
    for part in parts:
        for parameter in part.parameters(recurse=False):
            parameter.requires_grad_(False)
            parameter.grad = None  # a stale gradient would still move the weight through momentum
    _forget_compiled_code()


def unfreeze(module: M) -> M:
    """Undo `freeze` for the module and every part inside it, and nothing else; returns the module.

    Parameters that `freeze` stopped learn again; those that did not learn before it still do not. Parts that it kept in
    evaluation mode follow `.train()` and `.eval()` again, and are in training mode now. What lies outside the module
    stays as it is, and so do running statistics that `hold_statistics` holds.
    """
    unfreeze_parts(module.modules())
    return module


def unfreeze_parts(parts: Iterable[nn.Module]) -> None:
    """`unfreeze` for these parts alone, without the parts inside them."""
    for part in parts:
        for name in part.__dict__.pop(_STOPPED, ()):
            if (parameter := part._parameters.get(name)) is not None:
                parameter.requires_grad_(True)
        if _unhook(part, _frozen):
            part.training = True
    _forget_compiled_code()


def is_frozen(part: nn.Module) -> bool:
    """Whether `freeze` was called on this part or on one around it, and `unfreeze` has not been since."""
    return hasattr(part, _STOPPED)


def hold_statistics(module: M, *, hold: bool = True) -> M:
    """Hold the running statistics of normalisation layers while their weights, and all others, may move.

    Each layer with a running mean (BatchNorm, and InstanceNorm that tracks one) runs in evaluation mode even after a
    parent's `.train()`: it normalises with the stored mean and variance and leaves them as they are. Dropout and all
    else follow `.train()`. Often wanted when a pretrained network is fine-tuned on few pictures or small batches.

    Args:
        hold: False lets go of the statistics again: they follow the data in training mode, which is on.
    Returns:
        The module.
    """
    for part in module.modules():
        if getattr(part, "running_mean", None) is not None:
            if hold:
                _hook(part, _statistics_held)
            elif _unhook(part, _statistics_held):
                part.training = True
    _forget_compiled_code()
    return module


def trainable_parameters(model: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters that an optimizer may move, each once."""
    return (p for p in model.parameters() if p.requires_grad)


def param_groups(
    model: nn.Module,
    lr: float,
    *,
    head_lr: float | None = None,
    layer_decay: float = 1.0,
    weight_decay: float = 0.0,
) -> list[dict[str, Any]]:
    """Parameter groups for discriminative learning rates (Howard and Ruder 2018, §3.2).

    The last stage of the encoder learns at `lr`, the one before at `lr · layer_decay`, and so on down; the head at
    `head_lr` (by default `lr`). Biases and normalisation parameters (one dimension) get no weight decay. Frozen
    parameters are left out; every other one is in exactly one group: a weight that two parts share goes with the first,
    and what lies outside the stages and the head (a class token, a temperature) forms the group "other", at `lr`.

    Args:
        model: a `Classifier`; in other networks the stages are the top-level parts and the head is the last of them.
    Returns:
        One dict a group with `name`, `params`, `lr` and `weight_decay`, from the input to the head.
    Raises:
        ValueError: nothing is trainable, a rate or `layer_decay` is not positive and finite, or `weight_decay` is
            negative.
    """
    check_number(lr, what="lr", positive=True)
    head_lr = lr if head_lr is None else check_number(head_lr, what="head_lr", positive=True)
    check_number(layer_decay, what="layer_decay", positive=True)
    check_number(weight_decay, what="weight_decay", least=0)
    body, (head_name, head) = stages(model)
    rated = [
        (name, part, lr * layer_decay ** (len(body) - 1 - depth)) for depth, (name, part) in enumerate(body.items())
    ]
    rated += [(head_name, head, head_lr), ("other", unwrap(model), lr)]
    groups: list[dict[str, Any]] = []
    taken: set[int] = set()
    for name, part, rate in rated:
        free = [p for p in part.parameters() if p.requires_grad and id(p) not in taken]
        taken.update(map(id, free))
        matrices, vectors = [p for p in free if p.ndim > 1], [p for p in free if p.ndim <= 1]
        if matrices:
            groups.append({"name": name, "params": matrices, "lr": rate, "weight_decay": weight_decay})
        if vectors:
            groups.append({"name": f"{name} (bias, norm)", "params": vectors, "lr": rate, "weight_decay": 0.0})
    if not groups:
        raise ValueError("every parameter is frozen: unfreeze the head or a stage first.")
    return groups
