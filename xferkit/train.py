"""The training loop of the course, and what one reads off a trained network."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from xferkit.data import Split, to_float
from xferkit.models import Classifier

History = dict[str, list[float]]
LossFn = Callable[[Any, Any, float], Tensor | dict[str, Tensor]]

# Reading a loss off a GPU waits for it; on the CPU it costs nothing.
_READ_EVERY = 20


class NonFiniteLoss(FloatingPointError):
    """Training met a loss that is NaN or infinite."""


def supervised_loss(model: nn.Module, batch: tuple[Tensor, Tensor], p: float) -> Tensor:
    """Cross-entropy of `model(x)`, shape (B, C), against `y`, shape (B,)."""
    x, y = batch
    logits = model(x)
    # On a GPU reading the labels waits for it, so there only the first batch is checked.
    if (p == 0 or y.device.type == "cpu") and logits.shape[1] <= int(y.max()):
        raise ValueError(
            f"the network gives scores {tuple(logits.shape)}, but the labels go up to {int(y.max())}: "
            f"use replace_head(model, {int(y.max()) + 1})."
        )
    return F.cross_entropy(logits, y)


def _cycle(batches: Iterable[Any]) -> Iterator[Any]:
    while True:
        empty = True
        for batch in batches:
            empty = False
            yield batch
        if empty:
            raise ValueError("`batches` gave no batch: is the data empty, or an iterator already used up?")


def fit(
    model: nn.Module,
    batches: Iterable[Any],
    loss_fn: LossFn,
    optimizer: torch.optim.Optimizer,
    steps: int,
    *,
    schedule: Callable[[float], float] | None = None,
    progress: bool = True,
    history_path: str | Path | None = None,
) -> History:
    """Take `steps` optimizer steps and say how each went.

    Args:
        batches: gone through again and again until the steps are done.
        loss_fn: `loss_fn(model, batch, p)` gives the loss, or a dict with "loss" and other scalars to record; p is the
            progress over the whole run, from 0 to (steps − 1) / steps.
        schedule: p ↦ a factor on every group's own learning rate.
        history_path: where an interrupted run leaves its history (JSON; default "interrupted_fit.json").
    Returns:
        For "loss", "lr" (first group) and every other scalar, one number a step.
    Raises:
        NonFiniteLoss: a loss is NaN or infinite; names the step and its learning rate.
        ValueError: no batches, fewer than one step, or a network and data that do not fit.
        KeyboardInterrupt: let through, after the history was saved.
    """
    if steps < 1:
        raise ValueError(f"steps={steps}: need at least one.")
    base_lrs = [group["lr"] for group in optimizer.param_groups]
    history: History = {"loss": [], "lr": []}
    pending: list[dict[str, Tensor]] = []

    def read_pending(*, strict: bool = True) -> None:
        first = len(history["loss"])
        for scalars in pending:
            for name, value in scalars.items():
                history.setdefault(name, []).append(value.item())
        pending.clear()
        for step, loss in enumerate(history["loss"][first:], first):
            if strict and not math.isfinite(loss):
                raise NonFiniteLoss(
                    f"the loss became {loss} at step {step} of {steps} (learning rate {history['lr'][step]:.3g}). "
                    "Try a lower learning rate, and check the input for NaN."
                )

    model.train()
    stream = _cycle(batches)
    bar = tqdm(range(steps), desc="fit", unit="step", disable=not progress, mininterval=0.5)
    try:
        for step in bar:
            p = step / steps
            if schedule is not None:
                for group, base in zip(optimizer.param_groups, base_lrs, strict=True):
                    group["lr"] = base * schedule(p)
            batch = next(stream)
            try:
                out = loss_fn(model, batch, p)
            except RuntimeError as error:
                raise _explain(error, model, batch) from error
            scalars = {"loss": out} if isinstance(out, Tensor) else out
            optimizer.zero_grad(set_to_none=True)
            scalars["loss"].backward()
            history["lr"].append(optimizer.param_groups[0]["lr"])
            pending.append({name: value.detach() for name, value in scalars.items()})
            if scalars["loss"].device.type == "cpu" or step % _READ_EVERY == 0:
                read_pending()  # before the step, so that on a CPU a bad loss leaves the weights as they were
            optimizer.step()
        read_pending()
    except KeyboardInterrupt:
        read_pending(strict=False)
        path = Path(history_path or "interrupted_fit.json")
        path.write_text(json.dumps(history))
        print(f"interrupted after {len(history['loss'])} of {steps} steps; the history is in {path}")
        raise
    finally:
        bar.close()
        for group, base in zip(optimizer.param_groups, base_lrs, strict=True):
            group["lr"] = base
    return history


def _explain(error: RuntimeError, model: nn.Module, batch: Any) -> RuntimeError | ValueError:
    """Turn torch's shape errors into one that names both sides."""
    if "size" not in str(error) and "shape" not in str(error) and "channels" not in str(error):
        return error
    shapes = [tuple(t.shape) for t in batch if isinstance(t, Tensor)] if isinstance(batch, tuple | list) else []
    first = next((p for p in model.parameters() if p.ndim > 1), None)
    weight = None if first is None else tuple(first.shape)
    return ValueError(
        f"network and data do not fit: the batch has shapes {shapes}, the first weight {weight}. torch said: {error}"
    )


class Prediction(NamedTuple):
    """What a network says of N pictures: `logits` (N, C) and `features` (N, D), both float32 on the CPU."""

    logits: Tensor
    features: Tensor


@torch.no_grad()  # not inference_mode: its tensors cannot be trained on afterwards
def predict(model: Classifier, x: Tensor | Split, *, batch_size: int = 256) -> Prediction:
    """Class scores and features in evaluation mode; the mode of every part is put back afterwards.

    Args:
        x: uint8 (N, 3, H, W), or a split, whose labels are not read.
    """
    pictures = x.x if isinstance(x, Split) else x
    where = next(model.parameters()).device
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    logits, features = [], []
    try:
        for chunk in pictures.split(batch_size):
            z = model.features(to_float(chunk.to(where)))
            features.append(z.float().cpu())
            logits.append(model.head(z).float().cpu())
    finally:
        for part, mode in modes:
            part.training = mode
    return Prediction(torch.cat(logits), torch.cat(features))


class Score(NamedTuple):
    """Accuracy in [0, 1] and mean cross-entropy in nats."""

    accuracy: float
    loss: float


def evaluate(model: Classifier, split: Split, *, batch_size: int = 256) -> Score:
    """Accuracy and cross-entropy on a split, in evaluation mode. For a target's test part use `final_test`.

    Raises:
        ValueError: the network has fewer classes than the labels.
    """
    logits = predict(model, split, batch_size=batch_size).logits
    if logits.shape[1] <= int(split.y.max()):
        raise ValueError(
            f"the network gives scores {tuple(logits.shape)}, but the labels go up to {int(split.y.max())}."
        )
    accuracy = (logits.argmax(1) == split.y).float().mean().item()
    return Score(accuracy, F.cross_entropy(logits, split.y).item())
