"""What does a source give to a learner with few labels, and when does it take something away?

    python experiments/what_transfers.py             about a quarter of an hour on one core, which others used too
    python experiments/what_transfers.py --smoke     seconds; keeps nothing

The target is Noto, with 1 to 16 labelled emoji of each of EmojiStyles' 14 classes; a seed draws which. Without source:
a small network from scratch, and a logistic regression on pixels. With one: the same regression on stage 6 of
EfficientNet-Lite0, trained on ImageNet and frozen. Then a second source is pooled with the labels, every training
picture of another style: Twemoji (near), ink (far), and, as a control, ink with its labels shuffled. Last, ink with a
weight that is chosen, where no source at all is one of the choices.
For each method and number of labels the setting is chosen on Noto's validation pictures by the mean over seeds. Runs
keep what was said of Noto's test emoji; their labels are read after the last run.

Result: balanced accuracy on Noto's test emoji, mean ± deviation: with 4 labels a class from scratch 33.2 ± 5.7 % (5
seeds), on ImageNet features 57.0 ± 2.4 % (8 seeds); pooled with ink 58.5 ± 2.1 % against 37.4 ± 5.3 % alone with 1
label a class, 70.9 ± 1.9 % against 71.7 ± 2.0 % with 16.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from fine_tuning import as_letters, balanced, choose
from lab import Lab, options, taste
from torch import Tensor

import xferkit as xk

QUESTION = "What does a source give to a learner with few labels, and when does it take something away?"
RULE = (
    "for each method and number of labels the best mean accuracy over the seeds on Noto's validation pictures; ties by "
    "the mean loss"
)
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
LAYER = "stage6"  # frozen_features.py chose it without a test label
# How often a target picture counts for each time that a source picture does; 0: the source is left out.
TIMES = (0, 1, 4, 16)
BATCH, SIDE = 32, 32  # of the network from scratch, and the side of its pictures
SOURCES = {"with Twemoji": "twemoji", "with ink": "ink", "with ink, shuffled": "ink", "with ink, weighed": "ink"}
SCRATCH = "from scratch"
GRIDS: dict[str, list[tuple[Any, ...]]] = {
    SCRATCH: [(norm, rate) for norm in ("none", "batch") for rate in (1e-3, 3e-3)],
    "pixels": [(0, penalty) for penalty in PENALTIES],
    "ImageNet": [(0, penalty) for penalty in PENALTIES],
    "with Twemoji": [(1, penalty) for penalty in PENALTIES],
    "with ink": [(1, penalty) for penalty in PENALTIES],
    "with ink, shuffled": [(1, penalty) for penalty in PENALTIES],
    "with ink, weighed": [(times, penalty) for times in TIMES for penalty in PENALTIES],
}


@dataclass(frozen=True)
class Job:
    """One classifier. `setting` counts the method's grid in `GRIDS`; a regression takes no steps."""

    method: str
    labels: int
    setting: int
    seed: int
    steps: int = 0


@dataclass(frozen=True)
class Plan:
    labels: tuple[int, ...] = (1, 2, 4, 8, 16)  # a class
    seeds: int = 8
    scratch_seeds: int = 5
    steps: int = 150
    image_size: int = 128

    def jobs(self) -> list[Job]:
        """Seed by seed, the long trainings last."""
        ways = [(m, n) for m in GRIDS if m != SCRATCH for n in range(len(GRIDS[m]))]
        probes = [Job(m, k, n, seed) for seed in range(self.seeds) for k in self.labels for m, n in ways]
        trained = range(len(GRIDS[SCRATCH]))
        return probes + [
            Job(SCRATCH, k, n, seed, self.steps)
            for seed in range(self.scratch_seeds)
            for k in self.labels
            for n in trained
        ]


def pixels(x: Tensor) -> Tensor:
    """Pictures averaged down to 16 × 16."""
    return F.interpolate(xk.to_float(x), (16, 16), mode="area").flatten(1)


@functools.cache
def features(lab: Lab, style: str, part: str) -> Tensor:
    """(N, D) of a part of a style."""
    split = getattr(lab.data[style], part)
    return xk.extract_features(lab.data["network"], split, layers=[LAYER])[LAYER]


def drawn(split: xk.Split, labels: int, seed: int) -> xk.Split:
    return xk.few_labels(split, labels, torch.Generator().manual_seed(seed))


def run(job: Job, lab: Lab) -> dict[str, Any]:
    noto = lab.data["small" if job.method == SCRATCH else "noto"]
    score = (from_scratch if job.method == SCRATCH else regression)(job, lab)
    on_val = score("val")
    return {
        "val_accuracy": round(float((on_val.argmax(1) == noto.val.y).double().mean()), 5),
        "val_loss": round(float(F.cross_entropy(on_val, noto.val.y)), 5),
        "predictions": as_letters(score("test").argmax(1)),
    }


def regression(job: Job, lab: Lab) -> Callable[[str], Tensor]:
    """A logistic regression; from a part's name to its scores."""
    noto, (times, penalty) = lab.data["noto"], GRIDS[job.method][job.setting]
    # What is drawn are rows of the features: their numbers travel as `groups`.
    rows = torch.arange(len(noto.train))
    some = drawn(xk.Split(noto.train.x, noto.train.y, groups=rows), job.labels, job.seed)
    assert some.groups is not None
    read = (lambda part: pixels(getattr(noto, part).x)) if job.method == "pixels" else (
        lambda part: features(lab, "noto", part)
    )  # fmt: skip
    z, y = read("train")[some.groups], some.y
    if times:
        style = SOURCES[job.method]
        z_s, y_s = features(lab, style, "train"), lab.data[style].train.y
        if job.method.endswith("shuffled"):
            y_s = y_s[torch.randperm(len(y_s), generator=torch.Generator().manual_seed(job.seed))]
        # Repeating the target's rows is the same as counting the source's less.
        z, y = torch.cat([z.repeat(times, 1), z_s]), torch.cat([y.repeat(times), y_s])
    head = xk.tuning.fit_logistic(z, y, len(noto.classes), l2=penalty).requires_grad_(False)
    return lambda part: head(read(part))


def from_scratch(job: Job, lab: Lab) -> Callable[[str], Tensor]:
    """A small network; from a part's name to its scores."""
    small, (norm, rate) = lab.data["small"], GRIDS[job.method][job.setting]
    xk.seed_everything(job.seed)
    net = xk.models.lenet(len(small.classes), image_size=small.train.x.shape[-1], norm=norm)
    some = drawn(small.train, job.labels, job.seed)
    xk.tuning.finetune(net, some, steps=job.steps, lr=rate, batch_size=BATCH, seed=job.seed)
    return lambda part: xk.predict(net, getattr(small, part)).logits


DEPENDS = (
    regression, from_scratch, features, drawn, pixels, as_letters, xk.extract_features, xk.few_labels,
    xk.tuning.fit_logistic, xk.tuning.finetune, xk.fit, xk.predict, xk.models.lenet, GRIDS, SOURCES, SCRATCH, LAYER,
    BATCH,
)  # fmt: skip


def chosen(records: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Method ↦ labels a class ↦ the setting that `RULE` takes."""
    by = {k: choose([r for r in records if r["labels"] == k]) for k in sorted({r["labels"] for r in records})}
    return {method: {str(k): by[k][method] for k in by} for method in GRIDS}


def settings(plan: Plan) -> dict[str, Any]:
    return asdict(plan) | {
        "grids": GRIDS, "times": TIMES, "penalties": PENALTIES, "layer": LAYER, "batch": BATCH,
        "side": SIDE, "network": "efficientnet_lite0, ImageNet weights, frozen; from scratch: the network lenet",
    }  # fmt: skip


def read_test(records: list[dict[str, Any]], y: Tensor) -> dict[str, list[float]]:
    """Method and labels ↦ balanced test accuracies of the chosen setting, by seed."""
    taken, test = chosen(records), {}
    for r in sorted(records, key=lambda r: r["seed"]):
        if r["setting"] == taken[r["method"]][str(r["labels"])]:
            test.setdefault(f"{r['method']}|{r['labels']}", []).append(balanced(r["predictions"], y))
    return test


def main(arguments: list[str] | None = None) -> None:
    given = options(__doc__ or "", arguments)
    plan = Plan(labels=(1,), seeds=1, scratch_seeds=1, steps=2, image_size=32) if given.smoke else Plan()
    xk.setup(0)
    torch.set_num_threads(1)
    data = {style: xk.load_domain(f"emoji_{style}", image_size=plan.image_size) for style in ("noto", "twemoji", "ink")}
    data["small"] = xk.load_domain("emoji_noto", image_size=SIDE)
    if given.smoke:
        data = {style: taste(domain, 8) for style, domain in data.items()}
    lab = Lab(__file__, run, depends=DEPENDS, data=data | {"network": xk.backbone()}, smoke=given.smoke)
    records = lab.run(plan.jobs())
    # Everything is settled: now, and only now, the test labels.
    test = read_test(records, data["noto"].test.y)
    lab.publish(
        question=QUESTION, settings=settings(plan), selection={"rule": RULE, "chosen": chosen(records)},
        test={"noto": test},
    )  # fmt: skip


if __name__ == "__main__":
    main()
