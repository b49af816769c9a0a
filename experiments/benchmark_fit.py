"""What does `fit` cost over the same training step written by hand in plain PyTorch?

Both take the same steps on the same digits (MNIST, batch 64, SGD with momentum) with two networks, in blocks that
alternate within one run, so that both see the same machine. The figure is the ratio of the medians of the blocks'
times per step, by the clock and by the processor time of the process (which other work on the machine disturbs less;
on a GPU it is the host's time alone). Run `python experiments/benchmark_fit.py`; it writes results/benchmark_fit.json.
"""

from __future__ import annotations

import contextlib
import io
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import xferkit as xk

OUT = Path(__file__).resolve().parent.parent / "results" / "benchmark_fit.json"
BATCH, LR, MOMENTUM, SEED = 64, 0.01, 0.9, 0
# Blocks are long enough to hold fit's start (training mode, bar) in the proportion of a short run.
PLAN: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "lenet": (xk.models.lenet, 20, 15),  # steps a block, pairs of blocks
    "mini_resnet": (xk.models.mini_resnet, 6, 9),
}


def synchronise() -> None:
    if xk.device().type == "cuda":
        torch.cuda.synchronize()


def by_hand(model: nn.Module, train: xk.Split, optimizer: torch.optim.Optimizer, steps: int) -> None:
    """The loop one writes without xferkit, losses kept as `fit` keeps them."""
    x, y = train.x.to(xk.device()), train.y.to(xk.device())
    generator = torch.Generator().manual_seed(SEED)
    losses: list[float] = []
    model.train()
    step = 0
    while step < steps:
        for index in torch.randperm(len(x), generator=generator).split(BATCH):
            index = index.to(xk.device())
            loss = F.cross_entropy(model((x[index].float() - 127) / 128), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            step += 1
            if step == steps:
                return


def with_fit(model: nn.Module, train: xk.Split, optimizer: torch.optim.Optimizer, steps: int) -> None:
    batches = xk.TensorLoader(train.x, train.y, BATCH, shuffle=True, generator=torch.Generator().manual_seed(SEED))
    with contextlib.redirect_stderr(io.StringIO()):  # the bar is drawn, but not on the reader's screen
        xk.fit(model, batches, xk.supervised_loss, optimizer, steps)


def seconds_a_step(run: Callable[..., None], model: nn.Module, train: xk.Split, steps: int) -> tuple[float, float]:
    """By the clock, and of processor time."""
    optimizer = torch.optim.SGD(model.parameters(), LR, momentum=MOMENTUM)
    synchronise()
    start, start_cpu = time.perf_counter(), time.process_time()
    run(model, train, optimizer, steps)
    synchronise()
    return (time.perf_counter() - start) / steps, (time.process_time() - start_cpu) / steps


def compare(make: Callable[[], nn.Module], train: xk.Split, steps: int, pairs: int) -> dict[str, object]:
    model = make().to(xk.device())
    ways = {"by_hand": by_hand, "fit": with_fit}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for run in ways.values():  # warm up
        seconds_a_step(run, model, train, steps)
    for pair in range(pairs):
        # Which goes first alternates too, so that neither profits from a warm cache.
        for name in list(ways) if pair % 2 == 0 else list(ways)[::-1]:
            times[name].append(seconds_a_step(ways[name], model, train, steps))
    report: dict[str, object] = {"steps_a_block": steps, "pairs_of_blocks": pairs}
    for kind, which in (("clock", 0), ("processor", 1)):
        fit_times, hand_times = ([t[which] for t in times[name]] for name in ("fit", "by_hand"))
        ratios = sorted(f / h for f, h in zip(fit_times, hand_times, strict=True))
        report[kind] = {
            "median_ms_by_hand": round(1000 * statistics.median(hand_times), 3),
            "median_ms_fit": round(1000 * statistics.median(fit_times), 3),
            "ratio_of_medians": round(statistics.median(fit_times) / statistics.median(hand_times), 4),
            "quartiles_of_the_pairs_ratios": [round(ratios[len(ratios) * q // 4], 4) for q in (1, 2, 3)],
        }
    return report


def main() -> None:
    session = xk.setup(SEED)
    train = xk.load_domain("mnist").train
    results = {}
    for name, (make, steps, pairs) in PLAN.items():
        results[name] = compare(make, train, steps, pairs)
        print(name, results[name])
    where = torch.cuda.get_device_name() if session.device.type == "cuda" else platform.machine()
    report = {
        "question": "What does a training step of fit cost over the same step by hand?",
        "settings": {
            "data": "mnist", "batch_size": BATCH, "optimizer": "SGD", "lr": LR, "momentum": MOMENTUM, "seed": SEED,
        },
        "environment": {
            "device": session.device.type, "hardware": where, "threads": torch.get_num_threads(), **session.versions,
        },
        "results": results,
    }  # fmt: skip
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
