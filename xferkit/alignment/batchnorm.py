"""Adapting the running statistics of BatchNorm to a new domain."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from xferkit._checks import check_count, check_pixels
from xferkit.data import to_float
from xferkit.train import evaluation_mode

M = TypeVar("M", bound=nn.Module)  #: the module that is given, of whatever class


def _measure(part: nn.Module, inputs: Any) -> None:
    part.training = True


@torch.no_grad()
def adapt_statistics(model: M, x: Tensor, *, batch_size: int = 250) -> M:
    """AdaBN: BatchNorm's running statistics measured anew on unlabelled pictures, in place (Li et al. 2016, 2018).

    Each layer's mean and variance become the plain average over the batches of one pass, each normalised by its own
    statistics on the way up. All else stays: no weight moves, dropout is off meanwhile, every part's mode is put back.
    Layers that `freeze` or `hold_statistics` hold are measured as well, and are held at the new values afterwards.

    Args:
        model: any network from (B, 3, H, W).
        x: uint8 (N, 3, H, W), N ≥ 2, unlabelled pictures of the new domain, from its training part.
        batch_size: pictures a batch, at least 2; all batches are of one size, give or take a picture.
    Returns:
        The network.
    Raises:
        ValueError: no BatchNorm with running statistics, too few pictures, or statistics that come out as NaN or
            infinite. Whatever fails, the old statistics are put back, as they are for layers that no picture reaches.
        TypeError: pictures that are not uint8.
    """
    check_pixels(x)
    batch_size = check_count(batch_size, what="batch_size", least=2)
    if len(x) < 2:
        raise ValueError(f"{len(x)} pictures: a variance needs at least two, and a good one hundreds.")
    norms: list[_BatchNorm] = [
        part for part in model.modules() if isinstance(part, _BatchNorm) and part.running_mean is not None
    ]
    if not norms:
        raise ValueError("the network has no BatchNorm with running statistics: there is nothing to adapt.")
    where = norms[0].running_mean.device  # type: ignore[union-attr]
    before = [(norm, norm.momentum, {name: b.clone() for name, b in norm.named_buffers()}) for norm in norms]
    # After the hooks of `freeze` and `hold_statistics`, which come first because they were there first.
    hooks = [norm.register_forward_pre_hook(_measure) for norm in norms]
    # Code that torch.compile has made already would not see these hooks.
    eager = torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
    measured: set[_BatchNorm] = set()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over all batches
        with evaluation_mode(model), eager:
            for batch in x.tensor_split(min(-(-len(x) // batch_size), len(x) // 2)):
                model(to_float(batch.to(where)))
        reached = {norm for norm in norms if int(norm.num_batches_tracked or 0)}
        if not reached:
            raise ValueError("no BatchNorm of the network was reached by the pictures: nothing was measured.")
        if not all(bool(torch.isfinite(b).all()) for norm in reached for b in norm.buffers()):
            raise ValueError("the statistics came out as NaN or infinite: look at the network's weights first.")
        measured = reached
    finally:
        for hook in hooks:
            hook.remove()
        for norm, momentum, buffers in before:
            norm.momentum = momentum
            for name, buffer in norm.named_buffers() if norm not in measured else ():
                buffer.copy_(buffers[name])
    return model
