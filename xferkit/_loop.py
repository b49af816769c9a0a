"""The parts of `fit`: what it keeps, what it checks, and how a batch comes to the network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from inspect import Parameter, signature
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

History = dict[str, list[float]]

# Buffers up to this size are copied before each step: a BatchNorm's fit, a memory bank does not.
_SMALL = 2**16


class NonFiniteLoss(FloatingPointError):
    """Training met a loss that is NaN or infinite."""


class Log:
    """The numbers of each step. Those on a GPU are read later, several steps at once."""

    def __init__(self, steps: int) -> None:
        self.history: History = {"loss": [], "lr": []}
        self.steps, self.pending = steps, list[dict[str, Tensor | float]]()
        self.names: set[str] = set()

    @property
    def taken(self) -> int:
        return len(self.history["loss"])

    def add(self, scalars: dict[str, Tensor | float], lr: float) -> None:
        row = scalars | {"lr": lr}
        self.names = self.names or set(row)
        if self.names != set(row):
            raise ValueError(
                f"the loss function gave {sorted(self.names)} before, but {sorted(row)} now: it must give the same "
                "names at every step (NaN stands for what is not known)."
            )
        self.pending.append(row)

    def read(self, *, strict: bool = True) -> None:
        while self.pending:
            for name, value in self.pending.pop(0).items():
                self.history.setdefault(name, []).append(float(value))
            loss, lr = self.history["loss"][-1], self.history["lr"][-1]
            if strict and not math.isfinite(loss):
                raise NonFiniteLoss(
                    f"the loss became {loss} at step {self.taken - 1} of {self.steps} (learning rate {lr:.3g}). "
                    "Try a lower learning rate, and check the input for NaN."
                )


class Statistics:
    """What a forward pass in training mode changes: BatchNorm's running statistics and the like."""

    def __init__(self, model: nn.Module | None) -> None:
        self.owners = [] if model is None else [part._buffers for part in model.modules() if part._buffers]
        self.kept: list[tuple[dict[str, Tensor | None], str, Tensor, Tensor]] = []

    def keep(self) -> None:
        self.kept = [
            (owner, name, buffer, buffer.clone())
            for owner in self.owners
            for name, buffer in owner.items()
            if buffer is not None and buffer.numel() <= _SMALL
        ]

    @torch.no_grad()
    def put_back(self) -> None:
        for owner, name, buffer, copy in self.kept:
            owner[name] = buffer.copy_(copy)


def read_scalars(out: Any) -> tuple[Tensor, dict[str, Tensor | float]]:
    """The loss to learn from, and all numbers to record, detached."""
    named = out if isinstance(out, Mapping) else {"loss": out}
    loss = named.get("loss")
    if not isinstance(loss, Tensor):
        raise TypeError(f"the loss function must give a tensor, or a dict with one under 'loss', not {out!r}.")
    if "lr" in named:
        raise ValueError("'lr' stands for the learning rate in the history: give your number another name.")
    for name, value in named.items():
        if isinstance(value, Tensor) and value.numel() != 1:
            raise ValueError(f"{name!r} has the shape {tuple(value.shape)}: reduce it to one number, by its mean say.")
    if not loss.requires_grad:
        raise ValueError("the loss depends on no parameter that learns: is everything frozen, or detached?")
    return loss, {name: v.detach() if isinstance(v, Tensor) else float(v) for name, v in named.items()}


def refuse_closure(optimizer: torch.optim.Optimizer) -> None:
    closure = signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is Parameter.empty:
        raise TypeError(f"{type(optimizer).__name__} asks for the loss again within a step: write its loop by hand.")


def checked_factor(schedule: Callable[[float], float], p: float) -> float:
    factor = float(schedule(p))
    if not 0 <= factor < math.inf:
        raise ValueError(f"the schedule gives {factor} at p={p:.3g}, but must give a finite factor ≥ 0 on the rate.")
    return factor


def set_rates(groups: list[dict[str, Any]], rates: list[float], factor: float) -> None:
    for group, rate in zip(groups, rates, strict=True):
        if isinstance(group.get("lr"), Tensor):
            group["lr"].fill_(rate * factor)
        elif "lr" in group:
            group["lr"] = rate * factor


def cycle(batches: Iterable[Any]) -> Iterator[Any]:
    while True:
        empty = True
        for batch in batches:
            empty = False
            yield batch
        if empty:
            raise ValueError("`batches` gave no batch: is the data empty, or an iterator already used up?")


def to_device(batch: Any, where: torch.device | None) -> Any:
    if isinstance(batch, Tensor):
        return batch if where is None else batch.to(where)
    if isinstance(batch, dict):
        return {key: to_device(value, where) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        parts = [to_device(value, where) for value in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch


def where_is(model: nn.Module) -> torch.device | None:
    """The device of the network's first parameter; None if it has no tensor at all."""
    first = next(chain(model.parameters(), model.buffers()), None)
    if first is not None and first.is_meta:
        raise ValueError("the network is on the meta device, which holds no numbers: call to_empty, then load weights.")
    return None if first is None else first.device


@contextmanager
def one_picture_explained() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            "a batch holds one picture, and BatchNorm in training mode needs two: choose a batch size that leaves no "
            "single picture over, drop the last batch, or hold the statistics (tuning.hold_statistics)."
        ) from error


@contextmanager
def shapes_noted(model: nn.Module, x: Any) -> Iterator[None]:
    """Torch's own error, with a note of what the network was given and what its first layer is made for."""
    try:
        yield
    except RuntimeError as error:
        first = next((w for w in model.parameters() if w.ndim > 1), None)
        error.add_note(f"The network was given {_described(x)}; its first weight is {_described(first)}.")
        raise


def _described(x: Any) -> str:
    return f"{tuple(x.shape)} of {x.dtype} on {x.device}" if isinstance(x, Tensor) else type(x).__name__
