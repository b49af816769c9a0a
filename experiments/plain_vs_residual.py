"""Does a deeper net fit its own training set better, with and without shortcuts?

    python experiments/plain_vs_residual.py             about 50 minutes on one core, which others used too
    python experiments/plain_vs_residual.py --smoke     seconds; keeps nothing

Plain and residual nets of He et al. (2016a, §4.2) with equal parameters, depths 20 and 56, width 8, on MNIST's 3,500
training digits at 12×12 pixels, 2,000 steps; three seeds. Each net is trained at two learning rates, since one that
suits one net may be wrong for another; it is shown at the rate at which its training loss ends lowest. What is asked is
the error on the *training* set; the validation error stands beside it. No test label is read.

`control_rates` would train the plain nets with AdamW, too, whose steps do not grow with the gradient: a control for the
explanation by exploding gradients, which has not been run.

Result: training error, mean ± deviation over 3 seeds: the plain net ends at 0.7 ± 0.1 % with 20 layers and at 37.4 ±
3.8 % with 56, with shortcuts at 0.1 ± 0.0 and 0.1 ± 0.0 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import torch
from lab import Lab, options, taste

import xferkit as xk

QUESTION = "Does a deeper net fit its own training set better, with and without shortcuts?"
RULE = "the rate with the lowest mean training loss over the last steps, one point of the curve, and over the seeds"
MOMENTUM, WEIGHT_DECAY = 0.9, 1e-4
EVERY = 40  # steps averaged into one point of the loss curve


@dataclass(frozen=True)
class Job:
    depth: int
    residual: bool
    optimizer: str
    lr: float
    seed: int
    width: int
    steps: int
    batch: int


@dataclass(frozen=True)
class Plan:
    """What is compared."""

    depths: tuple[int, ...] = (20, 56)
    rates: tuple[float, ...] = (0.01, 0.05)
    control_rates: tuple[float, ...] = ()  # such as 0.001
    seeds: tuple[int, ...] = (0, 1, 2)
    domain: str = "mnist"
    image_size: int = 12
    width: int = 8
    steps: int = 2000
    batch: int = 16

    def jobs(self) -> list[Job]:
        """Seed by seed, the control last, so that an early stop leaves something whole."""
        parts = [("SGD", (False, True), self.rates), ("AdamW", (False,), self.control_rates)]
        return [
            Job(depth, residual, optimizer, lr, seed, self.width, self.steps, self.batch)
            for optimizer, kinds, rates in parts
            for seed in self.seeds
            for lr in rates
            for residual in kinds
            for depth in self.depths
        ]


SMOKE = Plan(depths=(8, 14), rates=(0.03,), control_rates=(1e-3,), seeds=(0,), steps=3, batch=8)


def optimizer_of(net: xk.Classifier, job: Job) -> torch.optim.Optimizer:
    if job.optimizer == "AdamW":
        return torch.optim.AdamW(net.parameters(), lr=job.lr, weight_decay=WEIGHT_DECAY)
    return torch.optim.SGD(net.parameters(), lr=job.lr, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)


def run(job: Job, lab: Lab) -> dict[str, Any]:
    """Train one net; its errors in [0, 1] on the training and validation set, and its loss curve."""
    (domain,) = lab.data.values()
    xk.seed_everything(job.seed)
    net = xk.models.mini_resnet(depth=job.depth, width=job.width, residual=job.residual)
    net = net.to(xk.device(), memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(job.seed)
    batches = xk.TensorLoader(domain.train.x, domain.train.y, job.batch, shuffle=True, generator=generator)
    optimizer, schedule = optimizer_of(net, job), xk.schedules.cosine
    history = xk.fit(net, batches, xk.supervised_loss, optimizer, job.steps, schedule=schedule, progress=False)
    loss = history["loss"]
    return {
        "parameters": sum(p.numel() for p in net.parameters()),
        "train_error": 1 - xk.evaluate(net, domain.train).accuracy,
        "val_error": 1 - xk.evaluate(net, domain.val).accuracy,
        "loss": [round(fmean(loss[i : i + EVERY]), 4) for i in range(0, job.steps, EVERY)],
    }


DEPENDS = (
    xk.models.mini_resnet, xk.fit, xk.evaluate, xk.schedules.cosine, optimizer_of, MOMENTUM, WEIGHT_DECAY, EVERY,
)  # fmt: skip


def name_of(record: dict[str, Any]) -> str:
    net = f"{'residual' if record['residual'] else 'plain'}, {record['depth']} layers"
    return net + (", AdamW" if record["optimizer"] == "AdamW" else "")


def choose(records: Sequence[dict[str, Any]]) -> dict[str, float]:
    """For each net the rate that `RULE` takes."""
    ends: dict[str, dict[float, list[float]]] = {}
    for record in records:
        ends.setdefault(name_of(record), {}).setdefault(record["lr"], []).append(record["loss"][-1])
    return {name: min(of, key=lambda lr: fmean(of[lr])) for name, of in ends.items()}


def settings(plan: Plan) -> dict[str, Any]:
    schedule = "linear rise over a tenth, then half a cosine"
    return asdict(plan) | {
        "momentum": MOMENTUM, "weight_decay": WEIGHT_DECAY, "schedule": schedule, "every": EVERY
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    given = options(__doc__ or "", arguments)
    plan = SMOKE if given.smoke else Plan()
    xk.setup(0)
    data = {plan.domain: xk.load_domain(plan.domain, image_size=plan.image_size)}
    if given.smoke:
        data = {name: taste(domain) for name, domain in data.items()}
    lab = Lab(__file__, run, depends=DEPENDS, data=data, smoke=given.smoke)
    records = lab.run(plan.jobs())
    lab.publish(question=QUESTION, settings=settings(plan), selection={"rule": RULE, "rate": choose(records)})


if __name__ == "__main__":
    main()
