"""Seven ways to give an ImageNet network a new task: what do they reach on the designer they were tuned for, and on
four they never saw?

    python experiments/fine_tuning.py             about an hour and a half on one core
    python experiments/fine_tuning.py --smoke     seconds; keeps nothing

EfficientNet-Lite0 learns the subgroups of EmojiStyles from one designer's pictures and is then shown the same test
emoji as drawn by that designer (in distribution) and by the others (out of distribution). Every method gets the same
grid of five settings, tried once on a seed of its own and judged on source pictures that this seed does not learn
from. The seeds that are reported differ in the labelled pictures drawn, in the order of batches and in the head's
first weights. A run keeps what the network said, not whether it was right: test labels are read after the last run.

Result: accuracy on test emoji, mean ± deviation over 5 seeds: head only, whole network and LP-FT reach 37.3 ± 2.2,
40.0 ± 2.8 and 39.3 ± 1.5 % on the designer they learned from, 32.4 ± 0.9, 33.1 ± 1.3 and 30.5 ± 2.3 % on the mean of
the others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from lab import Lab, options, taste
from torch import Tensor

import xferkit as xk

QUESTION = (
    "Seven ways to give an ImageNet network a new task: what do they reach on the designer they were tuned for, and on "
    "four they never saw?"
)
RULE = "the best accuracy on held-out source pictures, one seed; a tie goes to the lower loss"
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
LAYER_DECAY = 0.5
LAST_BLOCKS = ("stage7", "top")
SHARE = 0.8  # of the source's training pictures, drawn anew by each seed


@dataclass(frozen=True)
class Job:
    """One training: `setting` is the learning rate, or the probe's penalty; `labels` a class, None for the share.

    `penalty` is that of the probe before fine-tuning, None for methods without one.
    """

    part: str
    method: str
    source: str
    labels: int | None
    setting: float
    penalty: float | None
    steps: int
    seed: int

    @property
    def group(self) -> str:
        return f"{self.part}/{self.method}/{self.source}/{self.labels or 'all'}"


# ------------------------------------------------------------------------------------------------------- the methods
# Each takes (model, train, val, job) and leaves the model trained.


def whole(model: xk.Classifier, train: xk.Split, val: xk.Split, job: Job) -> None:
    xk.tuning.finetune(model, train, steps=job.steps, lr=job.setting, seed=job.seed)


def scratch(model: xk.Classifier, train: xk.Split, val: xk.Split, job: Job) -> None:
    """Fresh random weights everywhere first."""
    for part in model.modules():
        if callable(fresh := getattr(part, "reset_parameters", None)):
            fresh()
    whole(model, train, val, job)


def head_only(model: xk.Classifier, train: xk.Split, val: xk.Split, job: Job) -> None:
    xk.tuning.linear_probe(model, train, val, l2s=(job.setting,))


def last_blocks(model: xk.Classifier, train: xk.Split, val: xk.Split, job: Job) -> None:
    xk.tuning.freeze(model.features)
    for name in LAST_BLOCKS:
        xk.tuning.unfreeze(model.features.get_submodule(name))
    whole(model, train, val, job)


def discriminative(model: xk.Classifier, train: xk.Split, val: xk.Split, job: Job) -> None:
    xk.tuning.finetune(model, train, steps=job.steps, lr=job.setting, layer_decay=LAYER_DECAY, seed=job.seed)


def gradual(model: xk.Classifier, train: xk.Split, val: xk.Split, job: Job) -> None:
    xk.tuning.gradual_unfreeze(model, train, steps=job.steps, lr=job.setting, seed=job.seed)


def probe_then_tune(model: xk.Classifier, train: xk.Split, val: xk.Split, job: Job) -> None:
    assert job.penalty is not None
    xk.tuning.linear_probe(model, train, val, l2s=(job.penalty,))
    whole(model, train, val, job)


def whole_bn_held(model: xk.Classifier, train: xk.Split, val: xk.Split, job: Job) -> None:
    xk.tuning.hold_statistics(model.features)
    whole(model, train, val, job)


def probe_then_tune_bn_held(model: xk.Classifier, train: xk.Split, val: xk.Split, job: Job) -> None:
    assert job.penalty is not None
    xk.tuning.linear_probe(model, train, val, l2s=(job.penalty,))
    whole_bn_held(model, train, val, job)


METHODS: dict[str, Callable[[xk.Classifier, xk.Split, xk.Split, Job], None]] = {
    "scratch": scratch,
    "head only": head_only,
    "last blocks": last_blocks,
    "whole network": whole,
    "discriminative rates": discriminative,
    "gradual unfreezing": gradual,
    "LP-FT": probe_then_tune,
    "whole network, BN held": whole_bn_held,
    "LP-FT, BN held": probe_then_tune_bn_held,
    "scratch, longer": scratch,  # with the rate of the short one, and more steps
}
TUNED = tuple(m for m in METHODS if m != "scratch, longer")
KUMAR_METHODS = ("head only", "whole network", "LP-FT", "whole network, BN held", "LP-FT, BN held")
CURVE_METHODS = ("head only", "whole network", "LP-FT, BN held")


@dataclass(frozen=True)
class Plan:
    """Everything that is trained, and in which order."""

    source: str = "noto"
    second_source: str = "twemoji"
    styles: tuple[str, ...] = ("noto", "twemoji", "openmoji", "fluent", "fluent_flat")
    image_size: int = 96
    steps: int = 40
    rates: tuple[float, ...] = RATES
    penalties: tuple[float, ...] = PENALTIES
    tuning_seed: int = 100
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    curve_seeds: tuple[int, ...] = (0, 1, 2)
    curve_labels: tuple[int, ...] = (2, 5)
    curve_steps: tuple[int, ...] = (20, 30)
    longer: int = 3  # times the steps, for a network from scratch

    def job(
        self, part: str, method: str, setting: float, seed: int, penalty: float, *, source: str = "",
        labels: int | None = None,
    ) -> Job:  # fmt: skip
        steps = self.steps if labels is None else self.curve_steps[self.curve_labels.index(labels)]
        steps *= self.longer if method == "scratch, longer" else 1
        probed = penalty if method.startswith("LP-FT") else None
        return Job(part, method, source or self.source, labels, setting, probed, steps, seed)

    def tuning(self, method: str, penalty: float) -> list[Job]:
        grid = self.penalties if method == "head only" else self.rates
        return [self.job("tune", method, setting, self.tuning_seed, penalty) for setting in grid]

    def reported(self, chosen: dict[str, float]) -> list[Job]:
        """The runs that are reported, the most telling first."""

        def part(name: str, methods: Sequence[str], seeds: Sequence[int], **where: Any) -> list[Job]:
            return [
                self.job(name, method, chosen[method], seed, chosen["head only"], **where)
                for seed in seeds
                for method in methods
            ]

        others = [m for m in TUNED if m not in (*KUMAR_METHODS, "scratch")]
        first, rest = self.seeds[: len(self.curve_seeds)], self.seeds[len(self.curve_seeds) :]
        main = [part("main", KUMAR_METHODS, s) + part("main", others, s) for s in (first, rest)]
        curve = [job for n in self.curve_labels for job in part("curve", CURVE_METHODS, self.curve_seeds, labels=n)]
        longer = part("main", ["scratch, longer"], self.curve_seeds)
        second = part("second", KUMAR_METHODS, self.curve_seeds, source=self.second_source)
        return main[0] + curve + longer + main[1] + second


SMOKE = Plan(
    styles=("noto", "twemoji"), image_size=32, steps=1, rates=(1e-3,), penalties=(1.0,), seeds=(0,), curve_seeds=(0,),
    curve_labels=(2,), curve_steps=(1,), longer=2,
)  # fmt: skip


# -------------------------------------------------------------------------------------------------------- one run


def labelled(train: xk.Split, labels: int | None, seed: int) -> tuple[xk.Split, xk.Split]:
    """What this seed may learn from, a share of all or so many of each class, and what it leaves.

    The share is drawn by groups of variants, so that what is left shows no emoji that has been learned.
    """
    generator = torch.Generator().manual_seed(seed)
    if labels is not None:
        return xk.few_labels(train, labels, generator), train.subset([])
    assert train.groups is not None
    names, sizes = train.groups.unique(return_counts=True)
    order = torch.randperm(len(names), generator=generator)
    drawn = names[order[sizes[order].cumsum(0) <= SHARE * len(train)]]
    inside = torch.isin(train.groups, drawn)
    return train.subset(inside.nonzero()[:, 0]), train.subset((~inside).nonzero()[:, 0])


def moved(before: Tensor, after: Tensor) -> dict[str, float]:
    """How far (N, D) features of the same pictures went: mean distance over mean length, and linear CKA."""
    distance = (after - before).norm(dim=1).mean() / before.norm(dim=1).mean()
    return {"distance": round(distance.item(), 5), "cka": round(xk.metrics.linear_cka(before, after), 5)}


@functools.cache
def untuned(lab: Lab, style: str) -> Tensor:
    return xk.predict(lab.data["network"], lab.data[style].test.x).features


def run(job: Job, lab: Lab) -> dict[str, Any]:
    """One training: how well it fits, and for a run that is reported what it says of every style's test pictures."""
    domain = lab.data[job.source]
    xk.seed_everything(job.seed)
    model = xk.tuning.replace_head(xk.backbone(), len(domain.classes))
    train, left = labelled(domain.train, job.labels, job.seed)
    x, y = torch.cat([domain.val.x, left.x]), torch.cat([domain.val.y, left.y])
    val = replace(domain.val, x=x, y=y, names=None, groups=None)
    METHODS[job.method](model, train, val, job)
    on_train, on_val = xk.evaluate(model, train), xk.evaluate(model, val)
    result: dict[str, Any] = {
        "train_pictures": len(train), "val_pictures": len(val),
        "train_accuracy": round(on_train.accuracy, 5), "train_loss": round(on_train.loss, 5),
        "val_accuracy": round(on_val.accuracy, 5), "val_loss": round(on_val.loss, 5),
    }  # fmt: skip
    if job.part != "tune":
        styles = [name for name, part in lab.data.items() if isinstance(part, xk.Domain)]
        said = {style: xk.predict(model, lab.data[style].test.x) for style in styles}
        result["predictions"] = {s: as_letters(p.logits.argmax(1)) for s, p in said.items()}
        result["moved"] = {style: moved(untuned(lab, style), p.features) for style, p in said.items()}
    return result


def as_letters(classes: Tensor) -> str:
    """Class c as the c-th letter."""
    return "".join(chr(ord("a") + c) for c in classes.tolist())


def share_right(said: str, y: Tensor) -> float:
    return round(float(sum(a == b for a, b in zip(said, as_letters(y), strict=True)) / len(y)), 5)


DEPENDS = (
    METHODS, whole, whole_bn_held, labelled, moved, untuned, as_letters, xk.few_labels, xk.fit, xk.predict,
    xk.evaluate, xk.tuning.finetune, xk.tuning.gradual_unfreeze, xk.tuning.linear_probe, xk.tuning.fit_logistic,
    xk.tuning.param_groups, xk.tuning.freeze, xk.tuning.unfreeze, xk.tuning.hold_statistics, xk.metrics.linear_cka,
    LAYER_DECAY, LAST_BLOCKS, SHARE,
)  # fmt: skip


def choose(tried: list[dict[str, Any]]) -> float:
    """By `RULE`."""
    return float(max(tried, key=lambda r: (r["val_accuracy"], -r["val_loss"]))["setting"])


def settings(plan: Plan) -> dict[str, Any]:
    return asdict(plan) | {
        "network": "efficientnet_lite0, ImageNet weights (scratch: the same network, fresh weights)",
        "optimizer": "AdamW, weight decay 1e-4, cosine with 10 % warm-up", "batch_size": 32,
        "layer_decay": LAYER_DECAY, "last_blocks": LAST_BLOCKS, "share": SHARE,
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    given = options(__doc__ or "", arguments)
    plan = SMOKE if given.smoke else Plan()
    xk.setup(0)
    domains = {style: xk.load_domain(f"emoji1_{style}", image_size=plan.image_size) for style in plan.styles}
    if given.smoke:
        domains = {style: taste(domain, 2) for style, domain in domains.items()}
    lab = Lab(__file__, run, depends=DEPENDS, data=domains | {"network": xk.backbone()}, smoke=given.smoke)

    chosen: dict[str, float] = {}
    for method in sorted(TUNED, key=lambda m: m != "head only"):  # LP-FT needs the probe's penalty
        chosen[method] = choose(lab.run(plan.tuning(method, chosen.get("head only", 0.0))))
    chosen["scratch, longer"] = chosen["scratch"]
    jobs = plan.reported(chosen)
    records = lab.run(jobs)

    # Everything is settled: now, and only now, the test labels.
    test: dict[str, dict[str, list[float]]] = {style: {} for style in plan.styles}
    for job, record in zip(jobs, records, strict=True):
        right = {style: share_right(said, domains[style].test.y) for style, said in record["predictions"].items()}
        lab.note(job, accuracy=right)
        for style in plan.styles:
            test[style].setdefault(job.group, []).append(right[style])
    selection = {"rule": RULE, "chosen": chosen}
    lab.publish(question=QUESTION, settings=settings(plan), selection=selection, test=test)


if __name__ == "__main__":
    main()
