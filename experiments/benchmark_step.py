"""What does a training step cost through xferkit, beside the same step by hand and through two other packages?

    python experiments/benchmark_step.py                              xferkit and the loops by hand
    PEERS_PYTHON=ENV/bin/python python experiments/benchmark_step.py  also skada and pytorch-adapt
    python experiments/benchmark_step.py --smoke                      one round of two steps; keeps nothing

On a CPU, with the threads that torch takes (on a busy machine OMP_NUM_THREADS=1 is steadier). Tasks: one step of
domain-adversarial training with the paper's MNIST network on 64 + 64 pictures (SGD with momentum), and one supervised
step of that network and of mini_resnet on 64. **Each measurement is a process of its own, and the ways take turns**: in
one process the allocator's state that one loop leaves decides the other's speed. Time is taken by the clock, and as
processor time of the process, which other work on the machine disturbs less.

Result (7 rounds, two threads on two idle cores, 12 minutes; medians by the clock): 23.3 steps of domain-adversarial
training a second by hand, 31.7 through xferkit (1.39 times as fast, the median of the rounds' ratios), 39.4 with the
network's weights in channels-last order, as `models.lenet` has them (1.60), 24.3 through skada, 26.9 through
pytorch-adapt. Supervised: 1.20 times as fast for lenet, 0.97 for mini_resnet. The gain of the first is the allocator's:
`setup` asks glibc to keep freed memory, and system time falls from 14.8 to 0.1 ms a step.

An environment for the peers, in no lock; they get batches that are ready, so that steps are compared and not loaders:

    uv venv ENV && uv pip install --python ENV skada skorch pytorch-adapt "setuptools<81" torch==2.13.0 torchvision
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCH, LR, MOMENTUM, SEED = 64, 0.01, 0.9, 0
ROUNDS, WARM_UP = 7, 8
TASKS: dict[str, tuple[int, tuple[str, ...]]] = {  # steps a measurement; the ways, the one to compare with first
    "dann": (60, ("by hand", "xferkit", "xferkit, channels last", "skada", "pytorch-adapt")),
    "lenet": (60, ("by hand", "xferkit")),
    "mini_resnet": (30, ("by hand", "xferkit")),
}
PEERS = {"skada", "pytorch-adapt"}
Run = Callable[[int], object]  # takes so many steps

# ---------------------------------------------------------------- one measurement; nothing here imports xferkit first


def network() -> tuple[nn.Sequential, nn.Sequential, nn.Sequential]:
    """Features, head and discriminator of Ganin et al. (2016, Fig. 4a), in plain PyTorch."""
    features = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 32, 5), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(32, 48, 5), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
    )
    head = nn.Sequential(nn.Linear(768, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10))
    return features, head, nn.Sequential(nn.Linear(768, 100), nn.ReLU(), nn.Linear(100, 1), nn.Flatten(0))


def sgd(*parts: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD([w for part in parts for w in part.parameters()], LR, momentum=MOMENTUM)


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, lam: float) -> Tensor:
        ctx.lam = lam
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return -ctx.lam * grad, None


def positions(n: int) -> Iterator[Tensor]:
    while True:
        yield from torch.randperm(n)[: n - n % BATCH].split(BATCH)


def pairs(data: dict[str, Tensor]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Endless (x_s, y_s, x_t), made as one makes them by hand."""
    x_s, y_s, x_t = data["x_s"], data["y_s"], data["x_t"]
    for i, j in zip(positions(len(x_s)), positions(len(x_t)), strict=False):
        yield (x_s[i].float() - 127) / 128, y_s[i], (x_t[j].float() - 127) / 128


def dann_by_hand(data: dict[str, Tensor]) -> Run:
    features, head, disc = network()
    optimizer, batches = sgd(features, head, disc), pairs(data)

    def run(steps: int) -> None:
        losses = []
        for step in range(steps):
            x_s, y_s, x_t = next(batches)
            lam = 2 / (1 + math.exp(-10 * step / steps)) - 1
            z = features(torch.cat([x_s, x_t]))  # (128, 768)
            label = F.cross_entropy(head(z[:BATCH]), y_s)
            said = disc(Reverse.apply(z, lam))  # (128,)
            source = F.binary_cross_entropy_with_logits(said[:BATCH], torch.zeros(BATCH))
            target = F.binary_cross_entropy_with_logits(said[BATCH:], torch.ones(BATCH))
            loss = label + source + target
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())

    return run


def dann_by_xferkit(data: dict[str, Tensor], channels_last: bool = False) -> Run:
    import xferkit as xk
    from xferkit.alignment import dann

    xk.setup(SEED)
    model, (_, _, disc) = xk.models.lenet(), network()
    if not channels_last:  # as the loops by hand have it; the network of the package comes in that order
        model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    source, target = xk.Split(data["x_s"], data["y_s"]), xk.Split(data["x_t"], torch.zeros(len(data["x_t"])).long())
    batches = xk.paired_batches(source, target, BATCH, generator=torch.Generator().manual_seed(SEED))

    def loss_fn(net: Any, batch: Any, p: float) -> dict[str, Tensor]:
        x_s, y_s, x_t = batch
        z_s, z_t = net.features(torch.cat([x_s, x_t])).split([len(x_s), len(x_t)])
        label = F.cross_entropy(net.head(z_s), y_s)
        domain = dann.loss(disc, z_s, z_t, dann.lambda_ramp(p))
        return {"loss": label + domain, "label": label, "domain": domain}

    optimizer = sgd(model, disc)
    return lambda steps: xk.fit(model, batches, loss_fn, optimizer, steps)


def dann_by_skada(data: dict[str, Tensor]) -> Run:
    from skada.deep import DANN
    from skada.deep.modules import GradientReversalLayer

    features, head, disc = network()

    class Reversed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.disc = disc

        def forward(self, x: Tensor, sample_weight: Tensor | None = None) -> Tensor:
            return self.disc(GradientReversalLayer.apply(x, 0.5))

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features, self.head = features, head

        def forward(self, x: Tensor, sample_weight: Tensor | None = None) -> Tensor:
            return self.head(self.features(x))

    net = DANN(
        Whole(), "features", domain_classifier=Reversed(), domain_criterion=nn.BCEWithLogitsLoss(), train_split=None,
        optimizer=torch.optim.SGD, optimizer__momentum=MOMENTUM, lr=LR, batch_size=BATCH, verbose=0,
    ).initialize()  # fmt: skip
    domains, unknown = torch.tensor([1] * BATCH + [-2] * BATCH), torch.full((BATCH,), -1)
    batches = pairs(data)

    def run(steps: int) -> None:
        for _ in range(steps):
            x_s, y_s, x_t = next(batches)
            x = {"X": torch.cat([x_s, x_t]), "sample_domain": domains}
            net.train_step((x, torch.cat([y_s, unknown])))["loss"].item()

    return run


def dann_by_pytorch_adapt(data: dict[str, Tensor]) -> Run:
    from pytorch_adapt.hooks import DANNHook

    features, head, disc = network()
    hook = DANNHook(opts=[sgd(features, head, disc)], gradient_reversal_weight=0.5)
    models = {"G": features, "C": head, "D": disc}
    domains = {"src_domain": torch.zeros(BATCH), "target_domain": torch.ones(BATCH)}
    batches = pairs(data)

    def run(steps: int) -> None:
        for _ in range(steps):
            x_s, y_s, x_t = next(batches)
            hook({**models, **domains, "src_imgs": x_s, "src_labels": y_s, "target_imgs": x_t})

    return run


def supervised_by_hand(data: dict[str, Tensor], model: nn.Module) -> Run:
    optimizer, order = sgd(model), positions(len(data["x_s"]))

    def run(steps: int) -> None:
        losses = []
        model.train()
        for _ in range(steps):
            i = next(order)
            loss = F.cross_entropy(model((data["x_s"][i].float() - 127) / 128), data["y_s"][i])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())

    return run


def supervised_by_xferkit(data: dict[str, Tensor], model: nn.Module) -> Run:
    import xferkit as xk

    xk.setup(SEED)
    generator = torch.Generator().manual_seed(SEED)
    batches = xk.TensorLoader(data["x_s"], data["y_s"], BATCH, shuffle=True, generator=generator)
    optimizer = sgd(model)
    return lambda steps: xk.fit(model, batches, xk.supervised_loss, optimizer, steps)


def prepared(task: str, way: str, data: dict[str, Tensor]) -> Run:
    if task == "dann":
        return {
            "by hand": dann_by_hand, "xferkit": dann_by_xferkit, "skada": dann_by_skada,
            "xferkit, channels last": lambda d: dann_by_xferkit(d, channels_last=True),
            "pytorch-adapt": dann_by_pytorch_adapt,
        }[way](data)  # fmt: skip
    if task == "lenet":
        features, head, _ = network()
        model: nn.Module = nn.Sequential(OrderedDict(features=features, head=head))
    else:  # the same object in both ways: the package's import alone changes no setting
        from xferkit.models import mini_resnet

        model = mini_resnet()
    return (supervised_by_xferkit if way == "xferkit" else supervised_by_hand)(data, model)


def measure(task: str, way: str, steps: int, data_file: str) -> dict[str, float]:
    torch.manual_seed(SEED)
    run = prepared(task, way, torch.load(data_file))
    run(WARM_UP)
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    run(steps)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    return {
        "steps_per_second": steps / seconds,
        "clock_ms": 1000 * seconds / steps,
        "user_ms": 1000 * (after.ru_utime - before.ru_utime) / steps,
        "system_ms": 1000 * (after.ru_stime - before.ru_stime) / steps,
        "largest_mb": after.ru_maxrss / 1024,
        "threads": torch.get_num_threads(),
    }


# --------------------------------------------------------------------------------------------------- all measurements


@dataclass(frozen=True)
class Job:
    """One measurement."""

    task: str
    way: str
    round: int
    steps: int


def run(job: Job, lab: Any) -> dict[str, float]:
    """Measure in a process of its own."""
    if not (data_file := lab.kept / "data.pt").is_file():
        source, target = lab.data["mnist"].train, lab.data["mnist_m"].train
        torch.save({"x_s": source.x, "y_s": source.y, "x_t": target.x}, data_file)
    python = os.environ["PEERS_PYTHON"] if job.way in PEERS else sys.executable
    command = [python, "-W", "ignore", __file__, "--measure", job.task, job.way, str(job.steps), str(data_file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    if done.returncode:
        raise RuntimeError(f"{job}: {done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1]) | {"load": os.getloadavg()[0]}
    return {name: round(value, 3) for name, value in found.items()}


def peers() -> dict[str, str]:
    """The peers' versions, where there is an environment with them."""
    if not (python := os.environ.get("PEERS_PYTHON")):
        return {}
    ask = f"from importlib.metadata import version as v; print(*(f'{{n}}={{v(n)}}' for n in {sorted(PEERS)}))"
    done = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    return {name.replace("-", "_"): number for name, number in (pair.split("=") for pair in done.stdout.split())}


def table(runs: list[dict[str, Any]]) -> str:
    """Medians over the rounds. Ratios are to the loop by hand in the same round: above 1 is faster."""
    head = ("task", "way", "steps/s", "ratio", "processor ms", "ratio", "system ms", "MB")
    lines = ["{:<12} {:<23} {:>8} {:>6} {:>13} {:>6} {:>10} {:>5}".format(*head)]
    for task, (_, ways) in TASKS.items():
        for way in ways:
            mine, hand = (
                {run["round"]: run for run in runs if (run["task"], run["way"]) == (task, name)}
                for name in (way, ways[0])
            )
            if not mine:
                continue
            work, work_by_hand = ({k: r["user_ms"] + r["system_ms"] for k, r in each.items()} for each in (mine, hand))
            columns = (
                statistics.median(r["steps_per_second"] for r in mine.values()),
                statistics.median(mine[k]["steps_per_second"] / hand[k]["steps_per_second"] for k in mine),
                statistics.median(work.values()),
                statistics.median(work_by_hand[k] / work[k] for k in mine),
                statistics.median(r["system_ms"] for r in mine.values()),
                statistics.median(r["largest_mb"] for r in mine.values()),
            )
            lines.append("{:<12} {:<23} {:8.1f} {:6.2f} {:13.1f} {:6.2f} {:10.2f} {:5.0f}".format(task, way, *columns))
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one round of two steps of everything; keeps nothing")
    parser.add_argument("--measure", nargs=4, metavar=("TASK", "WAY", "STEPS", "DATA"), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.measure:
        task, way, steps, data_file = given.measure
        print(json.dumps(measure(task, way, int(steps), data_file)))
        return
    from lab import Lab  # here, because a measurement must not import xferkit before its loop does

    import xferkit as xk

    data = {name: xk.load_domain(name) for name in ("mnist", "mnist_m")}
    depends = (measure, prepared, network, dann_by_hand, dann_by_xferkit, dann_by_skada, dann_by_pytorch_adapt,
               supervised_by_hand, supervised_by_xferkit, pairs, positions, BATCH, LR, MOMENTUM, WARM_UP)  # fmt: skip
    lab = Lab(__file__, run, depends=depends, data=data, smoke=given.smoke)
    jobs = []
    for number in range(1 if given.smoke else ROUNDS):
        for task, (steps, ways) in TASKS.items():
            # Who goes first alternates, so that a change of the machine's load favours neither.
            turn = [way for way in ways if way not in PEERS or os.environ.get("PEERS_PYTHON")]
            steps = 2 if given.smoke else steps
            jobs += [Job(task, way, number, steps) for way in (turn if number % 2 == 0 else turn[::-1])]
    print(table(lab.run(jobs)))
    settings = {"batch_size": BATCH, "optimizer": "SGD", "lr": LR, "momentum": MOMENTUM, "warm_up": WARM_UP}
    libc = " ".join(platform.libc_ver()).strip() or "not recorded"
    lab.publish(
        question="What does a training step cost through xferkit, by hand, and through two other packages?",
        settings=settings, environment={"libc": libc, "cores": os.cpu_count() or 1} | peers(),
    )  # fmt: skip


if __name__ == "__main__":
    main()
