"""A network taken apart: shape, parameters, multiply-adds and receptive field of every layer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from xferkit._checks import check_count

_WEIGHTED = (nn.Conv2d, nn.Linear)
_ADAPTIVE = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
_SLIDING = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)  # windows of one size, one step apart


class Layer(NamedTuple):
    """One layer of a network, as `anatomy` finds it.

    `name` says where it is ("features.conv1.0") and `kind` of what class ("Conv2d"); `shape` is that of what it gives
    for one picture, such as (64, 55, 55). `parameters` counts its own numbers that are learned, each where it is first
    used. `multiply_adds` counts the products that it sums up for one picture, those of convolutions and linear
    layers; biases, normalisation, pooling and activations do not count. `receptive_field` is the side, in pixels, of
    the square of the picture that one of its outputs sees; where that is larger than the picture, it sees padding.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    receptive_field: int


class _Field(NamedTuple):
    """What a position of a tensor sees: a square of `side` pixels; its neighbour's lies `step` pixels farther on."""

    side: int
    step: int


def anatomy(model: nn.Module, size: Sequence[int] = (3, 224, 224)) -> list[Layer]:
    """Every layer of a network, in the order in which a picture passes them in evaluation mode.

    A copy of the network without numbers, on torch's `meta` device, is walked with a hook on every layer: nothing is
    computed, so that a network of any size takes neither time nor memory, and the network itself is left alone. A layer
    that is not asked, such as an auxiliary head in evaluation mode, is missing.

    With a kernel of side k, fields of side r grow to r + (k − 1)·s, where s is the step from one to the next, and s is
    multiplied by the stride (Araujo, Norris and Sim 2019). Where paths meet, the larger field counts. A vector made of
    all positions sees what they see together.

    Args:
        size: (C, H, W) of the picture.
    Raises:
        ValueError: a size that is not three positive numbers, pictures that do not fit the network, or a network that
            uses weights or pools otherwise than by `Conv2d`, `Linear` and torch's pooling layers for pictures.
        TypeError: a size that is no whole number.
    """
    shape = [check_count(n, what="size") for n in size]
    if len(shape) != 3:
        raise ValueError(f"size={tuple(size)} must be (C, H, W), the shape of one picture.")
    # deepcopy takes what it finds in its second argument for copies that are made already: here, empty ones.
    empty: dict[int, Any] = {id(t): t.to("meta") for t in model.buffers()}
    empty |= {id(p): nn.Parameter(p.detach().to("meta"), requires_grad=False) for p in model.parameters()}
    net = copy.deepcopy(model, empty).eval()
    watch, layers, seen = _Watch(), list[Layer](), set[int]()

    def enter(part: nn.Module, given: tuple[Any, ...]) -> None:
        watch.inside = part

    def leave(name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        def hook(part: nn.Module, given: tuple[Any, ...], y: Tensor) -> None:
            watch.inside = None
            if isinstance(part, _SLIDING + _ADAPTIVE):
                _mark(y, _through(part, given[0], y))
            own = [p for p in part.parameters(recurse=False) if id(p) not in seen]
            seen.update(map(id, own))
            # Each output is a sum of as many products as one filter, or one row of the matrix, has weights.
            products = y.numel() * part.weight[0].numel() if isinstance(part, _WEIGHTED) else 0
            kind, shape, numbers = type(part).__name__, tuple(y.shape[1:]), sum(p.numel() for p in own)
            layers.append(Layer(name, kind, shape, numbers, products, _field(y).side))

        return hook

    for name, part in net.named_modules():
        if not [*part.children()] or [*part.parameters(recurse=False)]:
            part.register_forward_pre_hook(enter)
            part.register_forward_hook(leave(name))
    picture = _mark(torch.zeros(1, *shape, device="meta"), _Field(1, 1))
    try:
        with torch.no_grad(), watch:
            net(picture)
    except RuntimeError as error:
        raise ValueError(f"the network does not take pictures of the size {tuple(shape)}: {error}") from error
    return layers


class _Watch(TorchFunctionMode):
    """Hands fields on from tensor to tensor through whatever is not a layer: sums, concatenations, views."""

    inside: nn.Module | None = None  # the layer that is being asked

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        y = func(*args, **(kwargs or {}))
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        marked = [t for t in given if hasattr(t, "xferkit_field")]
        made = [t for t in tree_leaves(y) if isinstance(t, Tensor)] if marked else []
        name = getattr(func, "__name__", "")
        if made and not isinstance(self.inside, _WEIGHTED + _SLIDING + _ADAPTIVE):
            weights = any(isinstance(t, nn.Parameter) and t.ndim > 1 for t in given)
            if weights or ("pool" in name and made[0].shape[-2:] != (1, 1)):
                where = f" in {type(self.inside).__name__}" if self.inside is not None else ""
                raise ValueError(f"{name}{where} cannot be counted: only torch's own layers for pictures can.")
        for t in made:
            fields = [_whole(x) if _gathers(name, x, t) else _field(x) for x in marked]
            _mark(t, _Field(max(field.side for field in fields), max(field.step for field in fields)))
        return y


def _mark(t: Tensor, field: _Field) -> Tensor:
    t.xferkit_field = field  # type: ignore[attr-defined]
    return t


def _field(t: Tensor) -> _Field:
    return t.xferkit_field  # type: ignore[attr-defined]


def _gathers(name: str, x: Tensor, y: Tensor) -> bool:
    """Whether y, which this operation made of x, has no grid of positions any more, or only one of all of them."""
    if y.ndim < 4:
        return y.shape[-2:] != x.shape[-2:]  # a single channel taken out still has its grid
    return y.shape[-2:] == (1, 1) and ("pool" in name or name == "mean")


def _whole(x: Tensor) -> _Field:
    """What all positions of a tensor see together."""
    side, step = _field(x)
    return _Field(side + (max(x.shape[-2:]) - 1) * step, step) if x.ndim == 4 else _field(x)


def _through(part: Any, x: Tensor, y: Tensor) -> _Field:
    """The field of what a convolution or a pooling gives."""
    side, step = _field(x)
    if isinstance(part, _ADAPTIVE):  # output i is made of the inputs from ⌊i·n/m⌋ to ⌈(i + 1)·n/m⌉
        n, m = max(x.shape[-2:]), max(y.shape[-2:])
        kernel, dilation = max(-(-(i + 1) * n // m) - i * n // m for i in range(m)), 1
        stride = max(n // m, 1) if m > 1 else 1  # a single output has no neighbour
    else:
        sizes = [getattr(part, setting, 1) for setting in ("kernel_size", "stride", "dilation")]
        kernel, stride, dilation = (size if isinstance(size, int) else max(size) for size in sizes)
    return _Field(side + (kernel - 1) * dilation * step, step * stride)
