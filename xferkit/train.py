"""The training loop of the course, and what one reads off a trained network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xferkit._checks import check_count, check_labels, check_pixels, check_same_classes
from xferkit._loop import (
    History,
    Log,
    NonFiniteLoss,
    Statistics,
    checked_factor,
    cycle,
    one_picture_explained,
    read_scalars,
    refuse_closure,
    set_rates,
    shapes_noted,
    to_device,
    where_is,
)
from xferkit.data import Split, to_float
from xferkit.models.classifier import Classifier, unwrap

__all__ = [
    "History", "LossFn", "NonFiniteLoss", "Prediction", "Score", "evaluate", "evaluation_mode", "fit", "predict",
    "supervised_loss",
]  # fmt: skip

LossFn = Callable[[Any, Any, float], Tensor | Mapping[str, Tensor | float]]

# Reading a loss off a GPU waits for it; on the CPU it costs nothing.
_READ_EVERY = 20
# Larger batches no longer fit into a processor's caches: with 256 pictures of 96 pixels half as many pass a second.
EVALUATION_BATCH = 64


def supervised_loss(model: nn.Module, batch: tuple[Tensor, Tensor], p: float) -> Tensor:
    """Mean cross-entropy in nats of `model(x)`, shape (B, C), against the class indices `y`, shape (B,).

    Raises:
        ValueError: scores that are not (B, C); labels that are negative (unlabelled pictures) or beyond the head.
        TypeError: labels that are no integers.
    """
    x, y = batch
    with shapes_noted(model, x):
        logits = model(x)
    if logits.ndim != 2 or len(logits) != len(x):
        raise ValueError(f"the network must give scores ({len(x)}, C), not {tuple(logits.shape)}.")
    # On a GPU reading the labels waits for it, so there only the first batch is checked.
    if p == 0 or y.device.type == "cpu":
        check_labels(y, len(x))
        if len(y) and logits.shape[1] <= int(y.max()):
            raise ValueError(
                f"the network gives scores {tuple(logits.shape)}, but the labels go up to {int(y.max())}: "
                f"use replace_head(model, {int(y.max()) + 1})."
            )
    return F.cross_entropy(logits, y.long())


def fit(
    model: nn.Module,
    batches: Iterable[Any],
    loss_fn: LossFn,
    optimizer: torch.optim.Optimizer,
    steps: int,
    *,
    schedule: Callable[[float], float] | None = None,
    progress: bool = True,
) -> History:
    """Take `steps` optimizer steps in training mode and say how each went.

    On a CPU a loss that is not finite leaves weights, momentum and BatchNorm's statistics as they were before that
    step. A GPU is asked for its losses every 20 steps only, so up to 19 steps more may have been taken by then: keep a
    copy of the weights where that matters.

    Args:
        batches: gone through again and again until the steps are done. The tensors of a batch, in tuples, lists and
            dicts, are moved to the device of the network's first parameter.
        loss_fn: `loss_fn(model, batch, p)` gives the loss, or a dict with "loss" and other numbers to record, the same
            ones at every step; p is the progress over the whole run, from 0 to (steps − 1) / steps.
        optimizer: any whose `step()` needs no closure. Its rates are put back at the end.
        schedule: p ↦ a factor ≥ 0 on every group's own learning rate.
    Returns:
        For "loss", "lr" (first group) and every other number, one number a step. Whatever ends the run early, an
        interrupt too, carries what there is as its attribute `history`.
    Raises:
        NonFiniteLoss: a loss is NaN or infinite; names the step and its learning rate.
        ValueError: no batches, fewer than one step, a factor that is none, a loss that nothing can learn from, a batch
            that BatchNorm cannot normalise, or a network on the `meta` device.
        TypeError: an optimizer that needs a closure, or a loss that is no tensor.
    """
    from tqdm import tqdm

    steps, where = check_count(steps, what="steps"), where_is(model)
    refuse_closure(optimizer)
    groups = optimizer.param_groups
    rates = [float(group.get("lr", math.nan)) for group in groups]
    log, statistics = Log(steps), Statistics(model if where is None or where.type == "cpu" else None)
    model.train()
    stream = cycle(batches)
    bar = tqdm(range(steps), desc="fit", unit="step", disable=not progress, mininterval=0.5)
    try:
        for step in bar:
            p = step / steps
            if schedule is not None:
                set_rates(groups, rates, checked_factor(schedule, p))
            batch = to_device(next(stream), where)
            statistics.keep()
            with one_picture_explained():
                loss, scalars = read_scalars(loss_fn(model, batch, p))
            log.add(scalars, float(groups[0].get("lr", math.nan)))
            if loss.device.type == "cpu" or step % _READ_EVERY == 0:
                log.read()  # before the step, so that on a CPU a bad loss moves nothing
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        log.read()
    except BaseException as error:
        if isinstance(error, NonFiniteLoss):
            statistics.put_back()
        with suppress(Exception):  # a broken GPU must not hide what broke it
            log.read(strict=False)
        error.history = log.history  # type: ignore[attr-defined]
        error.add_note(f"fit took {log.taken} of {steps} steps; their numbers are this error's attribute `history`.")
        raise
    finally:
        bar.close()
        set_rates(groups, rates, 1.0)
    return log.history


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """The network in evaluation mode; afterwards, after an error too, every part is in the mode that it was in."""
    modes = [(part, part.training) for part in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def network_and_pictures(model: nn.Module, x: Tensor | Split) -> tuple[Classifier, Tensor, torch.device, torch.dtype]:
    """The `Classifier` inside any wrapper, the pictures, and the device and dtype that they must come to.

    Raises:
        TypeError: no `Classifier`, or pictures that are not uint8.
        ValueError: pictures of another shape, none at all, or a network or pictures on the `meta` device.
    """
    net: Any = unwrap(model)
    if not all(isinstance(getattr(net, part, None), nn.Module) for part in ("features", "head")):
        raise TypeError(f"{type(net).__name__} must be a Classifier(features, head): it lacks one of the two parts.")
    pictures = x.x if isinstance(x, Split) else x
    check_pixels(pictures)
    if len(pictures) == 0:
        raise ValueError("there are no pictures: x has the length 0.")
    like = next((w for w in net.parameters() if w.is_floating_point()), torch.empty(0))
    return net, pictures, where_is(net) or torch.device("cpu"), like.dtype


def pixels_for(chunk: Tensor, where: torch.device, dtype: torch.dtype) -> Tensor:
    """uint8 (B, 3, H, W) as a network reads them: scaled, on its device, in its dtype."""
    x = to_float(chunk.to(where)).to(dtype)
    # On a CPU convolutions follow the pictures' order in memory, and run up to twice as fast in this one.
    return x.contiguous(memory_format=torch.channels_last) if where.type == "cpu" else x


class Prediction(NamedTuple):
    """What a network says of N pictures: `logits` (N, C) and `features` (N, D), both float32 on the CPU."""

    logits: Tensor
    features: Tensor


@torch.no_grad()  # not inference_mode: its tensors cannot be trained on afterwards
def predict(model: nn.Module, x: Tensor | Split, *, batch_size: int = EVALUATION_BATCH) -> Prediction:
    """Class scores and features in evaluation mode; the mode of every part is put back afterwards.

    The pictures go to the network's device and dtype, batch by batch.

    Args:
        model: a `Classifier`, also inside `DataParallel` or `torch.compile` (the network inside is asked).
        x: uint8 (N, 3, H, W) with N ≥ 1, or a split, whose labels are not read.
    Raises:
        TypeError: no `Classifier`, or pictures that are not uint8.
        ValueError: pictures of another shape, none at all, or on the `meta` device.
        RuntimeError: pictures that do not fit the network; a note gives both shapes.
    """
    net, pictures, where, dtype = network_and_pictures(model, x)
    logits, features = [], []
    with evaluation_mode(net), shapes_noted(net, pictures):
        for chunk in pictures.split(check_count(batch_size, what="batch_size")):
            z = net.features(pixels_for(chunk, where, dtype))
            features.append(z.float().cpu())
            logits.append(net.head(z).float().cpu())
    return Prediction(torch.cat(logits), torch.cat(features))


class Score(NamedTuple):
    """Accuracy in [0, 1] and mean cross-entropy in nats."""

    accuracy: float
    loss: float


def evaluate(model: nn.Module, split: Split, *, batch_size: int = EVALUATION_BATCH) -> Score:
    """Accuracy and cross-entropy on a split, in evaluation mode. For a target's test part use `final_test`.

    Raises:
        ValueError: labels that are negative (unlabelled pictures) or beyond the head; other class names than the
            network's; scores that are NaN or infinite; or as in `predict`.
        TypeError: labels that are no integers, or as in `predict`.
    """
    check_labels(split.y, len(split.x))
    check_same_classes(unwrap(model), split, what="the network's scores and the split")
    logits = predict(model, split, batch_size=batch_size).logits
    y = split.y.cpu().long()
    if logits.ndim != 2 or logits.shape[1] <= int(y.max()):
        raise ValueError(f"the network gives scores {tuple(logits.shape)}, but the labels go up to {int(y.max())}.")
    if bad := int((~logits.isfinite()).any(1).sum()):
        raise ValueError(f"{bad} of {len(y)} pictures get scores that are NaN or infinite: check the weights first.")
    return Score((logits.argmax(1) == y).float().mean().item(), F.cross_entropy(logits, y).item())
