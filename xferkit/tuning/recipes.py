"""Ways to give a pretrained network a new task, each as short as its idea.

Each changes the network in place, on the device where it lies, and returns a History. All take the same settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from xferkit._checks import check_count, check_same_classes
from xferkit._loop import where_is
from xferkit.data import Split, TensorLoader
from xferkit.models.classifier import Classifier, stages, unwrap
from xferkit.schedules import cosine
from xferkit.train import History, LossFn, fit, supervised_loss
from xferkit.tuning.freezing import freeze_parts, is_frozen, param_groups, unfreeze_parts
from xferkit.tuning.probe import linear_probe

Augment = Callable[[Tensor], Tensor]
Schedule = Callable[[float], float]


def finetune(
    model: nn.Module,
    train: Split,
    *,
    steps: int,
    lr: float,
    head_lr: float | None = None,
    layer_decay: float = 1.0,
    weight_decay: float = 1e-4,
    batch_size: int = 32,
    seed: int = 0,
    augment: Augment | None = None,
    schedule: Schedule | None = cosine,
    progress: bool = False,
) -> History:
    """Train whatever is not frozen, by AdamW on the cross-entropy, starting from the head the network has.

    Args:
        model: a `Classifier` or any network from (B, 3, H, W) to (B, C), in float32.
        steps: optimizer steps in all.
        lr, head_lr, layer_decay, weight_decay: as in `param_groups`.
        batch_size: pictures a step, at most all of them; some more where otherwise a single picture would be left at
            the end of a pass, which BatchNorm cannot normalise.
        seed: of the order of the pictures. What else is random (dropout, `augment`) follows `seed_everything`.
        augment: float (B, 3, H, W) ↦ the same shape, applied to each training batch.
        schedule: progress from 0 to 1 ↦ a factor on every rate; None keeps the rates constant.
        progress: show a progress bar.
    Returns:
        `loss` (nats) and `lr`, one number a step.
    Raises:
        ValueError: everything is frozen, settings out of range, labels or class names that do not fit the network.
        TypeError: weights that are not float32.
        NonFiniteLoss: the loss became NaN or infinite.
    """
    batches, loss_fn = _prepare(model, train, batch_size=batch_size, seed=seed, augment=augment)
    groups = param_groups(model, lr, head_lr=head_lr, layer_decay=layer_decay, weight_decay=weight_decay)
    return fit(model, batches, loss_fn, torch.optim.AdamW(groups), steps, schedule=schedule, progress=progress)


def lp_ft(
    model: Classifier,
    train: Split,
    val: Split,
    *,
    l2s: Sequence[float] = (1e-3, 1e-2, 1e-1, 1.0),
    steps: int,
    lr: float,
    head_lr: float | None = None,
    layer_decay: float = 1.0,
    weight_decay: float = 1e-4,
    batch_size: int = 32,
    seed: int = 0,
    augment: Augment | None = None,
    schedule: Schedule | None = cosine,
    progress: bool = False,
) -> History:
    """Linear probe first, then fine-tune everything from that head (Kumar et al. 2022, §3.4).

    A random head sends large gradients into the features while it is still wrong; a probed head does not.

    Args:
        val: chooses the probe's penalty, and nothing else.
        l2s: as in `linear_probe`; all other settings as in `finetune`.
    Returns:
        What `linear_probe` and `finetune` return, in one History.
    Raises:
        ValueError, TypeError, NonFiniteLoss: as in `linear_probe` and `finetune`.
    """
    probe = linear_probe(model, train, val, l2s=l2s)
    return probe | finetune(
        model, train, steps=steps, lr=lr, head_lr=head_lr, layer_decay=layer_decay, weight_decay=weight_decay,
        batch_size=batch_size, seed=seed, augment=augment, schedule=schedule, progress=progress,
    )  # fmt: skip


def gradual_unfreeze(
    model: nn.Module,
    train: Split,
    *,
    steps: int,
    lr: float,
    head_lr: float | None = None,
    layer_decay: float = 1.0,
    weight_decay: float = 1e-4,
    batch_size: int = 32,
    seed: int = 0,
    augment: Augment | None = None,
    schedule: Schedule | None = None,
    progress: bool = False,
) -> History:
    """Train the head, then unfreeze one more stage from the top each time (Howard and Ruder 2018, §3.3).

    The steps are shared equally among the rounds, one for the head and one for each stage; each round has a fresh
    optimizer. With fewer steps than rounds the lowest stages do not move. What was frozen before stays frozen, and
    afterwards, or after an error, everything else is free again.

    Args:
        schedule: a factor on every rate over the progress of each round; None (the paper's) keeps them constant. All
            other settings as in `finetune`.
    Returns:
        `loss` (nats) and `lr`, one number a step over all rounds.
    Raises:
        ValueError, TypeError, NonFiniteLoss: as in `finetune`.
    """
    steps = check_count(steps, what="steps")
    batches, loss_fn = _prepare(model, train, batch_size=batch_size, seed=seed, augment=augment)
    rounds = _rounds(model)
    history: History = {}
    try:
        for parts in rounds:
            freeze_parts(parts)
        for k in range(len(rounds)):
            unfreeze_parts(rounds[k])
            share = steps // len(rounds) + (1 if k < steps % len(rounds) else 0)
            if share:
                groups = param_groups(model, lr, head_lr=head_lr, layer_decay=layer_decay, weight_decay=weight_decay)
                optimizer = torch.optim.AdamW(groups)
                tuned = fit(model, batches, loss_fn, optimizer, share, schedule=schedule, progress=progress)
                for name, numbers in tuned.items():
                    history.setdefault(name, []).extend(numbers)
    finally:
        for parts in rounds:
            unfreeze_parts(parts)
    return history


def _rounds(model: nn.Module) -> list[list[nn.Module]]:
    """The parts that each round sets free: the head's, then stage after stage; the last one frees all the rest too.

    What is frozen already is no part of any round.
    """
    body, (_, head) = stages(model)
    tops = [top for top in (head, *reversed(body.values())) if any(p.requires_grad for p in top.parameters())]
    if not tops:
        raise ValueError("every stage and the head are frozen: unfreeze what is to learn first.")
    waiting = [part for part in unwrap(model).modules() if not is_frozen(part)]
    rounds = []
    for top in tops:
        inside = set(top.modules())
        rounds.append([part for part in waiting if part in inside])
        waiting = [part for part in waiting if part not in inside]
    rounds[-1] += waiting
    return rounds


def _prepare(
    model: nn.Module, train: Split, *, batch_size: int, seed: int, augment: Augment | None
) -> tuple[TensorLoader, LossFn]:
    """Batches on the network's device and the loss on them, after a look at whether the two fit."""
    net: Any = unwrap(model)
    check_same_classes(net, train, what="the network's scores and the training part")
    parameters = list(net.parameters())
    if not parameters:
        raise ValueError("the network has no parameters: there is nothing to train.")
    if odd := {str(p.dtype) for p in parameters if p.dtype != torch.float32}:
        raise TypeError(
            f"the network has weights in {', '.join(sorted(odd))}: recipes train in float32, model.float()."
        )
    where = where_is(net)
    # Channels last: depthwise convolutions run about 1.6 times as fast on a CPU.
    net.to(memory_format=torch.channels_last)
    if train.classes is not None:
        net.classes = train.classes
    size = min(check_count(batch_size, what="batch_size"), len(train))
    while size > 1 and len(train) % size == 1:
        size += 1
    generator = torch.Generator().manual_seed(seed)
    batches = TensorLoader(train.x, train.y, size, shuffle=True, generator=generator, device=where)

    def loss_fn(net: nn.Module, batch: tuple[Tensor, Tensor], p: float) -> Tensor:
        x, y = batch
        return supervised_loss(net, (x if augment is None else augment(x), y), p)

    return batches, loss_fn
