"""Ways to give a pretrained network a new task, each as short as its idea."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from xferkit.data import Split, TensorLoader
from xferkit.models import Classifier
from xferkit.schedules import cosine
from xferkit.session import device
from xferkit.train import History, fit, supervised_loss
from xferkit.tuning.freezing import freeze, param_groups, unfreeze
from xferkit.tuning.probe import linear_probe


def _to_device(model: Classifier) -> None:
    # Channels last: depthwise convolutions run about 1.6 times as fast on a CPU.
    model.to(device(), memory_format=torch.channels_last)  # type: ignore[call-overload]


def finetune(
    model: Classifier,
    train: Split,
    *,
    steps: int,
    lr: float,
    head_lr: float | None = None,
    layer_decay: float = 1.0,
    weight_decay: float = 1e-4,
    batch_size: int = 32,
    seed: int = 0,
    augment: Callable[[Tensor], Tensor] | None = None,
    progress: bool = False,
) -> History:
    """Train whatever is not frozen, by AdamW with a cosine schedule, starting from the head the network has.

    Args:
        head_lr, layer_decay, weight_decay: as in `param_groups`.
        augment: float (B, 3, H, W) ↦ the same shape, applied to each training batch.
    """
    _to_device(model)
    generator = torch.Generator().manual_seed(seed)
    batches = TensorLoader(train.x, train.y, min(batch_size, len(train)), shuffle=True, generator=generator)
    groups = param_groups(model, lr, head_lr=head_lr, layer_decay=layer_decay, weight_decay=weight_decay)

    def loss_fn(net: Classifier, batch: tuple[Tensor, Tensor], p: float) -> Tensor:
        x, y = batch
        return supervised_loss(net, (x if augment is None else augment(x), y), p)

    return fit(model, batches, loss_fn, torch.optim.AdamW(groups), steps, schedule=cosine, progress=progress)


def lp_ft(
    model: Classifier, train: Split, val: Split, *, steps: int, lr: float, seed: int = 0, progress: bool = False
) -> History:
    """Linear probe first, then fine-tune everything from that head (Kumar et al. 2022, §3.4).

    A random head sends large gradients into the features while it is still wrong; a probed head does not.
    """
    linear_probe(model, train, val)
    return finetune(model, train, steps=steps, lr=lr, seed=seed, progress=progress)


def gradual_unfreeze(
    model: Classifier,
    train: Split,
    *,
    steps: int,
    lr: float,
    head_lr: float | None = None,
    seed: int = 0,
    progress: bool = False,
) -> History:
    """Train the head, then unfreeze one more stage from the top each time (Howard and Ruder 2018, §3.3).

    The steps are shared equally among the rounds; each round has a fresh optimizer and a constant rate.

    Returns:
        One history over all rounds.
    """
    _to_device(model)
    generator = torch.Generator().manual_seed(seed)
    batches = TensorLoader(train.x, train.y, min(32, len(train)), shuffle=True, generator=generator)
    freeze(model.features)
    stages = [part for part in model.features.children() if any(True for _ in part.parameters())]
    history: History = {}
    rounds = len(stages) + 1
    for k in range(rounds):
        if k > 0:
            unfreeze(stages[-k])
        share = steps // rounds + (1 if k < steps % rounds else 0)
        if share:
            optimizer = torch.optim.AdamW(param_groups(model, lr, head_lr=head_lr, weight_decay=1e-4))
            for name, numbers in fit(model, batches, supervised_loss, optimizer, share, progress=progress).items():
                history.setdefault(name, []).extend(numbers)
    return history
