"""Nine ways to give an ImageNet network a new task: what do they reach on the style they were tuned for, on styles of
other designers, and in black ink?

    python experiments/fine_tuning.py             about two hours on one core, which others used too
    python experiments/fine_tuning.py --smoke     seconds; keeps nothing

EfficientNet-Lite0 learns the 14 classes of EmojiStyles from one style's pictures and is then shown the same test emoji
as drawn in that style (in distribution) and in others (out of distribution, ink farthest). Every method is trained
with every setting of its grid by every seed. A seed draws the labelled pictures, the order of batches and the head's
first weights, and judges itself on the source pictures that it has not learned from; the setting is chosen by the mean
over seeds, so that an interval can redraw the seeds and, with them, the choice. A run keeps what the network said, not
whether it was right: test labels are read after the last run.
One part came later: LP-FT from the softer probe is a control that was added when the others' test accuracies had
been read; fine_tuning_repeated.py asks again with other seeds.

Result: balanced accuracy on test emoji, mean ± deviation over 5 seeds: head only, whole network and LP-FT reach 59.2
± 0.7, 63.6 ± 2.4 and 59.2 ± 1.9 % on noto, 45.9 ± 1.3, 49.9 ± 2.5 and 45.8 ± 2.4 % on the mean of three near styles,
30.4 ± 1.3, 34.8 ± 2.9 and 30.8 ± 1.2 % in ink.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from lab import Lab, options, taste
from torch import Tensor, nn

import xferkit as xk

QUESTION = (
    "Nine ways to give an ImageNet network a new task: what do they reach on the style they were tuned for, on styles "
    "of other designers, and in black ink?"
)
RULE = "the best mean accuracy over the seeds on source pictures that they did not learn from; ties by the mean loss"
RATES = (1e-4, 3e-4, 1e-3, 3e-3)
HIGHER = (3e-4, 1e-3, 3e-3, 1e-2)  # for those whose best rate lay at the upper edge of the others' grid
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
SOFTER = 1.0  # the penalty of a probe that does not fit its pictures to the end, for LP-FT to begin at
LAYER_DECAY = 0.5
LAST_BLOCKS = ("stage7", "top")
SHARE = 0.8  # of the source's training and validation pictures, drawn anew by each seed


@dataclass(frozen=True)
class Job:
    """One training: `setting` is the learning rate, or the probe's penalty.

    `penalty` is that of the probe before fine-tuning, None for methods without one. `pixels` says how pictures are
    scaled before they reach the network: "right" is as in its pretraining.
    """

    method: str
    source: str
    setting: float
    penalty: float | None
    steps: int
    seed: int
    pixels: str = "right"


# ------------------------------------------------------------------------------------------------------- the methods
# Each takes (model, train, job) and leaves the model trained. Statistics of BatchNorm are held unless the name says
# that they move.


def whole(model: xk.Classifier, train: xk.Split, job: Job) -> None:
    xk.tuning.hold_statistics(model.features)
    whole_moving(model, train, job)


def whole_moving(model: xk.Classifier, train: xk.Split, job: Job) -> None:
    xk.tuning.finetune(model, train, steps=job.steps, lr=job.setting, seed=job.seed)


def scratch(model: xk.Classifier, train: xk.Split, job: Job) -> None:
    """Fresh random weights everywhere first; there are no statistics to hold."""
    for part in model.modules():
        if callable(fresh := getattr(part, "reset_parameters", None)):
            fresh()
    whole_moving(model, train, job)


def probe(model: xk.Classifier, train: xk.Split, job: Job) -> None:
    penalty = job.setting if job.penalty is None else job.penalty
    features = xk.predict(model, train).features
    model.head = xk.tuning.fit_logistic(features, train.y, len(train.classes or ()), l2=penalty)


def last_blocks(model: xk.Classifier, train: xk.Split, job: Job) -> None:
    xk.tuning.freeze(model.features)
    for name in LAST_BLOCKS:
        xk.tuning.unfreeze(model.features.get_submodule(name))
    whole(model, train, job)


def discriminative(model: xk.Classifier, train: xk.Split, job: Job) -> None:
    xk.tuning.hold_statistics(model.features)
    xk.tuning.finetune(model, train, steps=job.steps, lr=job.setting, layer_decay=LAYER_DECAY, seed=job.seed)


def gradual(model: xk.Classifier, train: xk.Split, job: Job) -> None:
    xk.tuning.hold_statistics(model.features)
    xk.tuning.gradual_unfreeze(model, train, steps=job.steps, lr=job.setting, seed=job.seed)


def lp_ft(model: xk.Classifier, train: xk.Split, job: Job) -> None:
    probe(model, train, job)
    whole(model, train, job)


def lp_ft_moving(model: xk.Classifier, train: xk.Split, job: Job) -> None:
    probe(model, train, job)
    whole_moving(model, train, job)


def augmented(model: xk.Classifier, train: xk.Split, job: Job) -> None:
    xk.tuning.hold_statistics(model.features)
    xk.tuning.finetune(model, train, steps=job.steps, lr=job.setting, seed=job.seed, augment=varied)


def varied(x: Tensor) -> Tensor:
    """Each picture cut, mirrored and recoloured by chance, a fifth of them to grey; x as `to_float` gives it."""
    from torchvision.transforms import v2

    size = x.shape[-1]
    change = v2.Compose([
        v2.RandomResizedCrop(size, scale=(0.6, 1.0), ratio=(0.8, 1.25), antialias=True),
        v2.RandomHorizontalFlip(),
        v2.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.5, hue=0.1),
        v2.RandomGrayscale(0.2),
    ])  # fmt: skip
    pixels = (x * 128 + 127) / 255
    return (torch.stack([change(picture) for picture in pixels]) * 255 - 127) / 128


METHODS: dict[str, Callable[[xk.Classifier, xk.Split, Job], None]] = {
    "head only": probe,
    "whole network": whole,
    "LP-FT": lp_ft,
    "whole network, statistics move": whole_moving,
    "LP-FT, statistics move": lp_ft_moving,
    "last blocks": last_blocks,
    "discriminative rates": discriminative,
    "gradual unfreezing": gradual,
    "whole network, augmented": augmented,
    "scratch": scratch,
    "scratch, longer": scratch,  # with the rate of the short one, and more steps
}
TUNED = tuple(m for m in METHODS if m != "scratch, longer")
KUMAR_METHODS = TUNED[:5]
WITH_HIGHER_RATES = (*TUNED[3:5], "last blocks", "discriminative rates", "scratch")


class Pixels(nn.Module):
    """Pictures as another scale, channel order or size than the network's own would give them to it."""

    CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
        "scaled to 0…1": lambda x: (x * 128 + 127) / 255,
        "left at 0…255": lambda x: x * 128 + 127,
        "channels swapped": lambda x: x.flip(1),
        "half the size": lambda x: nn.functional.avg_pool2d(x, 2),
    }

    def __init__(self, change: str) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        return self.CHANGES[self.change](x)


@dataclass(frozen=True)
class Plan:
    """Everything that is trained, and in which order."""

    source: str = "noto"
    second_source: str = "twemoji"
    styles: tuple[str, ...] = ("noto", "twemoji", "openmoji", "fluent_flat", "ink")
    image_size: int = 64
    steps: int = 60
    rates: tuple[float, ...] = RATES
    higher_rates: tuple[float, ...] = HIGHER
    penalties: tuple[float, ...] = PENALTIES
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    few_seeds: tuple[int, ...] = (0, 1, 2)  # for what is only looked at beside the comparison
    longer: int = 4  # times the steps, for a network from scratch

    def job(self, method: str, setting: float, seed: int, penalty: float | None, **where: Any) -> Job:
        steps = self.steps * (self.longer if method == "scratch, longer" else 1)
        probed = penalty if method.startswith("LP-FT") else None
        return Job(method, where.pop("source", self.source), setting, probed, steps, seed, **where)

    def grid(self, methods: Sequence[str], penalty: float | None = None) -> list[Job]:
        """Seed by seed, so that an early stop leaves whole seeds."""
        grids = {"head only": self.penalties} | dict.fromkeys(WITH_HIGHER_RATES, self.higher_rates)
        return [
            self.job(method, setting, seed, penalty)
            for seed in self.seeds
            for method in methods
            for setting in grids.get(method, self.rates)
        ]

    def softer(self) -> list[Job]:
        """LP-FT from a probe that leaves something to learn, tuned as all others."""
        return [self.job("LP-FT", rate, seed, SOFTER) for seed in self.seeds for rate in self.rates]

    def beside(self, chosen: dict[str, float]) -> list[Job]:
        """With the chosen settings: longer runs, a second source, pixels that are not the network's."""
        penalty = chosen["head only"]
        jobs = [self.job("scratch, longer", chosen["scratch"], seed, penalty) for seed in self.few_seeds]
        for method in ("whole network", "whole network, augmented"):
            for seed in self.few_seeds:
                job = self.job(method, chosen[method], seed, penalty)
                jobs.append(replace(job, steps=self.longer * job.steps))
        for method in KUMAR_METHODS:
            for seed in self.few_seeds:
                jobs.append(self.job(method, chosen[method], seed, penalty, source=self.second_source))
                if method in ("head only", "whole network"):
                    jobs += [self.job(method, chosen[method], seed, penalty, pixels=p) for p in Pixels.CHANGES]
        return jobs


SMOKE = Plan(
    styles=("noto", "twemoji"), image_size=32, steps=1, rates=(1e-3,), higher_rates=(1e-3,), penalties=(1.0,),
    seeds=(0,), few_seeds=(0,), longer=2,
)  # fmt: skip


# -------------------------------------------------------------------------------------------------------- one run


def labelled(domain: xk.Domain, seed: int) -> tuple[xk.Split, xk.Split]:
    """What this seed may learn from, and what it leaves to choose with; near twins stay together."""
    train, val = domain.train, domain.val
    assert train.groups is not None and val.groups is not None
    groups = torch.cat([train.groups, val.groups])
    both = replace(train, x=torch.cat([train.x, val.x]), y=torch.cat([train.y, val.y]), names=None, groups=groups)
    names, sizes = groups.unique(return_counts=True)
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    inside = torch.isin(groups, names[order[sizes[order].cumsum(0) <= SHARE * len(both)]])
    return both.subset(inside), both.subset(~inside)


def moved(before: Tensor, after: Tensor) -> dict[str, float | None]:
    """How far (N, D) features of the same pictures went: mean distance over mean length, and linear CKA.

    A rate that is far too large can leave a network that says the same of every picture; then there is no CKA.
    """
    distance = (after - before).norm(dim=1).mean() / before.norm(dim=1).mean()
    collapsed = bool((after == after[0]).all())
    cka = None if collapsed else round(xk.metrics.linear_cka(before, after), 5)
    return {"distance": round(distance.item(), 5), "cka": cka}


@functools.cache
def untuned(lab: Lab, style: str) -> Tensor:
    return xk.predict(lab.data["network"], lab.data[style].test.x).features


def run(job: Job, lab: Lab) -> dict[str, Any]:
    """One training: how well it fits, and what it says of every style's test pictures."""
    domain = lab.data[job.source]
    xk.seed_everything(job.seed)
    model = xk.tuning.replace_head(xk.backbone(), len(domain.classes))
    if job.pixels != "right":
        parts = dict(model.features.named_children())
        model.features = nn.Sequential(OrderedDict(pixels=Pixels(job.pixels), **parts))
    train, left = labelled(domain, job.seed)
    METHODS[job.method](model, train, job)
    on_train, on_val = xk.evaluate(model, train), xk.evaluate(model, left)
    result: dict[str, Any] = {
        "train_pictures": len(train), "val_pictures": len(left),
        "train_accuracy": round(on_train.accuracy, 5), "train_loss": round(on_train.loss, 5),
        "val_accuracy": round(on_val.accuracy, 5), "val_loss": round(on_val.loss, 5),
    }  # fmt: skip
    styles = [name for name, part in lab.data.items() if isinstance(part, xk.Domain)]
    said = {style: xk.predict(model, lab.data[style].test.x) for style in styles}
    result["predictions"] = {s: as_letters(p.logits.argmax(1)) for s, p in said.items()}
    if job.pixels == "right":
        result["moved"] = {style: moved(untuned(lab, style), p.features) for style, p in said.items()}
    return result


def as_letters(classes: Tensor) -> str:
    """Class c as the c-th letter."""
    return "".join(chr(ord("a") + c) for c in classes.tolist())


DEPENDS = (
    METHODS, probe, whole, whole_moving, varied, labelled, moved, untuned, as_letters, Pixels, xk.fit, xk.predict,
    xk.evaluate, xk.tuning.finetune, xk.tuning.gradual_unfreeze, xk.tuning.fit_logistic, xk.tuning.param_groups,
    xk.tuning.freeze, xk.tuning.unfreeze, xk.tuning.hold_statistics, xk.metrics.linear_cka, LAYER_DECAY, LAST_BLOCKS,
    SHARE,
)  # fmt: skip


# ------------------------------------------------------------------------------------------- what is made of the runs


def choose(records: Sequence[dict[str, Any]]) -> dict[str, float]:
    """For each method the setting that `RULE` takes."""
    chosen = {}
    for method in dict.fromkeys(r["method"] for r in records):
        tried: dict[float, list[tuple[float, float]]] = {}
        for r in records:
            if r["method"] == method:
                tried.setdefault(r["setting"], []).append((r["val_accuracy"], -r["val_loss"]))
        means = {setting: tuple(sum(v) / len(v) for v in zip(*pairs, strict=True)) for setting, pairs in tried.items()}
        chosen[method] = max(means, key=lambda setting: means[setting])
    return chosen


def group(job: Job, plan: Plan) -> str:
    """The name of what is compared: the method, and what was not as usual."""
    notes = [f"from {job.source}"] * (job.source != plan.source) + [job.pixels] * (job.pixels != "right")
    notes += ["softer probe"] * (job.method.startswith("LP-FT") and job.penalty == SOFTER)
    notes += ["longer"] * (job.steps != plan.steps and not job.method.endswith("longer"))
    return ", ".join([job.method, *notes])


def balanced(said: str, y: Tensor) -> float:
    right = torch.tensor([a == b for a, b in zip(said, as_letters(y), strict=True)], dtype=torch.double)
    return round(float(torch.stack([right[y == c].mean() for c in y.unique()]).mean()), 5)


def read_test(lab: Lab, jobs: Sequence[Job], domains: dict[str, xk.Domain], plan: Plan) -> dict[str, Any]:
    """Style ↦ what is compared ↦ balanced test accuracies; each run gets its own noted."""
    test: dict[str, dict[str, list[float]]] = {style: {} for style in plan.styles}
    for job, record in zip(jobs, lab.run(jobs), strict=True):
        right = {style: balanced(said, domains[style].test.y) for style, said in record["predictions"].items()}
        lab.note(job, balanced_accuracy=right)
        for style in plan.styles:
            test[style].setdefault(group(job, plan), []).append(right[style])
    return test


def settings(plan: Plan) -> dict[str, Any]:
    return asdict(plan) | {
        "network": "efficientnet_lite0, ImageNet weights (scratch: the same network, fresh weights)",
        "optimizer": "AdamW, weight decay 1e-4", "batch_size": 32,
        "schedule": "cosine with 10 % warm-up; gradual unfreezing: constant within each round",
        "layer_decay": LAYER_DECAY, "last_blocks": LAST_BLOCKS, "share": SHARE, "softer_penalty": SOFTER,
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    given = options(__doc__ or "", arguments, backwards="for a second process beside the first: begins at the end")
    plan = SMOKE if given.smoke else Plan()
    xk.setup(0)
    domains = {style: xk.load_domain(f"emoji_{style}", image_size=plan.image_size) for style in plan.styles}
    if given.smoke:
        domains = {style: taste(domain, 2) for style, domain in domains.items()}
    lab = Lab(__file__, run, depends=DEPENDS, data=domains | {"network": xk.backbone()}, smoke=given.smoke)

    probes = plan.grid(["head only"])
    penalty = choose(lab.run(probes))["head only"]  # LP-FT begins at this probe
    grid = probes + plan.grid(TUNED[1:], penalty)
    order = -1 if given.backwards else 1
    lab.run(grid[::order])
    chosen = choose(lab.run(grid))
    beside, softer = plan.beside(chosen), plan.softer()
    lab.run((beside + softer)[::order])
    rate = choose(lab.run(softer))["LP-FT"]
    beside += [job for job in softer if job.setting == rate]

    # Everything is settled: now, and only now, the test labels.
    jobs = [job for job in grid if job.setting == chosen[job.method]] + beside
    test = read_test(lab, jobs, domains, plan)
    selection = {"rule": RULE, "chosen": chosen | {"LP-FT, softer probe": rate}}
    lab.publish(question=QUESTION, settings=settings(plan), selection=selection, test=test)


if __name__ == "__main__":
    main()
