"""What do the running statistics of BatchNorm do to a network whose weights stand still, by accident and on purpose?

    python experiments/running_statistics.py             about 50 minutes on one core, which many others used
    python experiments/running_statistics.py --smoke     seconds; keeps nothing

EfficientNet-Lite0 with ImageNet weights learns EmojiStyles' classes from Noto's labelled pictures, and is asked about
the same test emoji in four styles. No weight below the head moves, but in one fine-tuned network; only statistics do.
By accident: a head is trained with `requires_grad = False` alone or with evaluation mode as well; a fitted probe waits
while batches of Noto or of ink pass through in training mode. On purpose (AdaBN): the statistics are measured anew on
unlabelled pictures of the target, and as controls on Noto's, on few pictures, or on pictures of few classes.
A seed draws four fifths of Noto's pictures to learn from and of each target's training pictures to measure on, and
judges itself on the rest of Noto's. Penalties and rates are chosen by that, by the mean over seeds; the fine-tuned
network has the rate that fine_tuning.py chose. Runs keep what a network says; labels are read after the last one.
The margins of the chapter's claims stand in MARGINS and were written before that.

Result: balanced accuracy on test emoji, mean ± deviation over 5 seeds: a frozen network's probe on noto falls from
59.2 ± 0.7 to 22.7 ± 2.2 % while 10 batches of ink pass; a probe with noto's statistics reaches 22.3 ± 0.6 % in ink,
with ink's 25.2 ± 2.1 %.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from fine_tuning import as_letters, balanced, choose, labelled
from lab import Lab, Outcome, options, taste
from torch import Tensor, nn

import xferkit as xk
from xferkit.alignment.batchnorm import adapt_statistics

QUESTION = (
    "What do the running statistics of BatchNorm do to a network whose weights stand still, by accident and on purpose?"
)
RULE = "the best mean accuracy over the seeds on Noto pictures that they did not learn from; ties by the mean loss"
FINE_TUNED = "fine-tuned, statistics move"
PROBES = {"probe, photographs": False, "probe, noto": True}  # whether statistics are measured on Noto before the fit
HEADS = ("head, requires_grad = False alone", "head, evaluation mode as well")
SHARE = 0.8  # of a style's training pictures, drawn anew by each seed to measure statistics on
BATCH = 32
AFTER = (0, 1, 3, 10, 30)  # batches that a waiting probe lets pass
COSTS = {  # which stages move, and what stands between features and head
    "everything moves": ("all", ""), "upper half moves": ("upper", ""), "lower half moves": ("lower", ""),
    "requires_grad = False": ("none", ""), "torch.no_grad": ("all", "no_grad"), "detach": ("all", "detach"),
}  # fmt: skip
HALF = 5  # stages of the lower half: stem to stage4
# Of the chapter's claims, in points, for the end of an interval; 0 asks whether it is clear of zero.
MARGINS = {"drift": 10.0, "head": 0.0, "adabn": 0.0, "two pictures": 5.0, "one class": 0.0}


@dataclass(frozen=True)
class Plan:
    """Everything that is done."""

    source: str = "noto"
    target: str = "ink"
    styles: tuple[str, ...] = ("noto", "twemoji", "openmoji", "ink")
    image_size: int = 64
    steps: int = 60  # of a head
    tuning_steps: int = 60  # of the fine-tuned network, as in fine_tuning.py
    tuning_rate: float = 0.003  # which fine_tuning.py chose for the whole network with moving statistics
    penalties: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0)
    rates: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)
    head_seeds: tuple[int, ...] = tuple(range(6))
    seeds: tuple[int, ...] = tuple(range(5))  # of the probes
    tuning_seeds: tuple[int, ...] = tuple(range(3))  # of the fine-tuned network
    few: tuple[int, ...] = (2, 8, 15, 60, 240)
    draws: tuple[int, ...] = tuple(range(10))  # of few pictures; draw n has class n where it has one
    rounds: int = 3  # of timing

    def tuned(self) -> list[Job]:
        heads = [Job(m, s, seed, 0, self.steps) for m in HEADS for seed in self.head_seeds for s in self.rates]
        probes = [f"drift, {self.target}", "probe, noto", "drift, noto", "probe, photographs"]
        whole = [Job(FINE_TUNED, self.tuning_rate, seed, 0, self.tuning_steps) for seed in self.tuning_seeds]
        fitted = [Job(m, s, seed, 0, self.steps) for m in probes for seed in self.seeds for s in self.penalties]
        return heads + whole + fitted

    def beside(self, penalty: float) -> list[Job]:
        """With the chosen penalty: statistics of few pictures, mixed or of few classes; and what a step costs."""
        sizes = [("few, mixed", n) for n in self.few] + [("few, one class", 15), ("few, four classes", 60)]
        jobs = [Job(method, penalty, draw, n, 0) for draw in self.draws for method, n in sizes]
        return jobs + [Job(f"cost, {way}", 0.0, 0, self.rounds, 0) for way in COSTS]


SMOKE = Plan(
    styles=("noto", "ink"), image_size=32, steps=2, tuning_steps=1, penalties=(1.0,), rates=(1e-3,), head_seeds=(0,),
    seeds=(0,), tuning_seeds=(0,), few=(2,), draws=(0,), rounds=1,
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """`setting` is a penalty or a rate; `pictures` says how many statistics are measured on (or rounds of timing)."""

    method: str
    setting: float
    seed: int
    pictures: int
    steps: int


Features = dict[str, Tensor]  # by what the pictures are; a style's name stands for its test pictures


def pixels(x: Tensor) -> Tensor:
    return xk.to_float(x).contiguous(memory_format=torch.channels_last)


def drawn(x: Tensor, seed: int) -> Tensor:
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    return x[order[: max(2, round(SHARE * len(x)))]]


def batches(n: int, seed: int, steps: int) -> Iterator[Tensor]:
    """Places of pictures, each picture once before any comes again."""
    generator, left = torch.Generator().manual_seed(seed), torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(left) < BATCH:
            left = torch.randperm(n, generator=generator)
        now, left = left[:BATCH], left[BATCH:]
        yield now


def styles(lab: Lab) -> list[str]:
    return [name for name, part in lab.data.items() if isinstance(part, xk.Domain)]


def seen(net: xk.Classifier, lab: Lab, only: list[str] | None = None) -> Features:
    """(N, D) features of the styles' test pictures, in evaluation mode."""
    return {style: xk.predict(net, lab.data[style].test.x).features for style in only or styles(lab)}


def in_each_way(net: xk.Classifier, lab: Lab, train: xk.Split, seed: int) -> dict[str, Features]:
    """Test features with the statistics as they are, with Noto's measured anew, and with each style's own."""
    found = {"kept": seen(net, lab)}
    adapt_statistics(net, train.x)
    found["source"] = seen(net, lab)
    found["target"] = {}
    for style in styles(lab):
        adapt_statistics(net, drawn(lab.data[style].train.x, seed))
        found["target"] |= seen(net, lab, [style])
    return found


@functools.lru_cache(maxsize=2)
def probed(lab: Lab, method: str, seed: int) -> tuple[Features, dict[str, Features]]:
    net, (train, left) = xk.backbone(), labelled(lab.data["noto"], seed)
    if PROBES[method]:
        adapt_statistics(net, train.x)
    own = {"train": xk.predict(net, train).features, "left": xk.predict(net, left).features}
    return own, in_each_way(net, lab, train, seed)


@functools.lru_cache(maxsize=2)
def drifted(lab: Lab, fed: str, seed: int) -> tuple[Features, dict[str, Features]]:
    """What a probe is fitted to, and features after so many batches of one style in training mode."""
    net, (train, left) = xk.backbone().requires_grad_(False), labelled(lab.data["noto"], seed)
    own = {"train": xk.predict(net, train).features, "left": xk.predict(net, left).features}
    pictures, found = lab.data[fed].train.x, {"0": seen(net, lab, ["noto", "ink"])}
    for step, places in enumerate(batches(len(pictures), seed, AFTER[-1]), start=1):
        net.train()
        with torch.no_grad():
            net(pixels(pictures[places]))
        if step in AFTER:
            found[str(step)] = seen(net, lab, ["noto", "ink"])
    return own, found


@functools.lru_cache(maxsize=2)
def streamed(lab: Lab, method: str, seed: int, steps: int) -> tuple[list[tuple[Tensor, Tensor]], Features]:
    """Each step's features and labels, as a head gets them, and what the network computes when all is over."""
    net, (train, left) = xk.backbone().requires_grad_(False), labelled(lab.data["noto"], seed)
    net.train(method == HEADS[0])
    steady = None if net.training else xk.predict(net, train).features
    seen_by_head = []
    with torch.no_grad():
        for places in batches(len(train), seed, steps):
            z = net.features(pixels(train.x[places])) if steady is None else steady[places]
            seen_by_head.append((z, train.y[places]))
    after = {"train": xk.predict(net, train).features, "left": xk.predict(net, left).features}
    return seen_by_head, after | seen(net, lab)


# --------------------------------------------------------------------------------------------------------- the jobs


def judged(head: nn.Module, own: Features, job: Job, lab: Lab) -> dict[str, float]:
    train, left = labelled(lab.data["noto"], job.seed)
    with torch.no_grad():
        on_train, on_left = head(own["train"]), head(own["left"])
    return {
        "train_accuracy": round(xk.report.accuracy(on_train, train.y), 5),
        "val_accuracy": round(xk.report.accuracy(on_left, left.y), 5),
        "val_loss": round(F.cross_entropy(on_left, left.y).item(), 5),
    }


def said(head: nn.Module, found: Features) -> dict[str, str]:
    with torch.no_grad():
        return {style: as_letters(head(z).argmax(1)) for style, z in found.items()}


def fitted(own: Features, job: Job, lab: Lab) -> nn.Linear:
    train, _ = labelled(lab.data["noto"], job.seed)
    return xk.tuning.fit_logistic(own["train"], train.y, len(train.classes or ()), l2=job.setting)


def probe(job: Job, lab: Lab) -> Outcome:
    own, ways = drifted(lab, job.method[7:], job.seed) if "drift" in job.method else probed(lab, job.method, job.seed)
    head = fitted(own, job, lab)
    return judged(head, own, job, lab) | {"predictions": {way: said(head, z) for way, z in ways.items()}}


def trained_head(job: Job, lab: Lab) -> Outcome:
    stream, after = streamed(lab, job.method, job.seed, job.steps)
    torch.manual_seed(job.seed)
    head = nn.Linear(stream[0][0].shape[1], len(lab.data["noto"].classes))
    optimizer = torch.optim.AdamW(head.parameters(), job.setting, weight_decay=0.0)
    for z, y in stream:
        optimizer.zero_grad()
        F.cross_entropy(head(z), y).backward()
        optimizer.step()
    tests = {style: after[style] for style in styles(lab)}
    return judged(head, after, job, lab) | {"predictions": {"kept": said(head, tests)}}


def fine_tuned(job: Job, lab: Lab) -> Outcome:
    xk.seed_everything(job.seed)
    net, (train, left) = xk.tuning.replace_head(xk.backbone(), 14), labelled(lab.data["noto"], job.seed)
    xk.tuning.finetune(net, train, steps=job.steps, lr=job.setting, seed=job.seed)
    own = {"train": xk.predict(net, train).features, "left": xk.predict(net, left).features}
    ways = in_each_way(net, lab, train, job.seed)
    return judged(net.head, own, job, lab) | {"predictions": {way: said(net.head, z) for way, z in ways.items()}}


@functools.lru_cache(maxsize=1)
def ready(lab: Lab, seed: int) -> tuple[xk.Classifier, Features, Features]:
    """The network with Noto's statistics, what a probe is fitted to, and what it then computes of ink."""
    net, (train, left) = xk.backbone(), labelled(lab.data["noto"], seed)
    adapt_statistics(net, train.x)
    own = {"train": xk.predict(net, train).features, "left": xk.predict(net, left).features}
    return net, own, seen(net, lab, ["ink"])


def few(job: Job, lab: Lab) -> Outcome:
    """A probe fitted with Noto's statistics, asked with those of few pictures of ink."""
    net, own, kept = ready(lab, job.seed)
    target, g = lab.data["ink"].train, torch.Generator().manual_seed(job.seed)
    classes = {"few, one class": [job.seed], "few, four classes": torch.randperm(14, generator=g)[:4].tolist()}
    allowed = torch.isin(target.y, torch.tensor(classes.get(job.method, range(14))))
    places = allowed.nonzero().flatten()
    places = places[torch.randperm(len(places), generator=g)[: job.pictures]]
    adapt_statistics(net, target.x[places])
    head = fitted(own, job, lab)
    found = {"kept": said(head, kept), "target": said(head, seen(net, lab, ["ink"]))}
    return judged(head, own, job, lab) | {"predictions": found, "measured_on": len(places)}


def cost(job: Job, lab: Lab) -> Outcome:
    """Milliseconds of processor time that a step takes, forward and backward: the least of some rounds."""
    which, between = COSTS[job.method.removeprefix("cost, ")]
    net = xk.tuning.hold_statistics(xk.tuning.replace_head(xk.backbone(), 14))
    for depth, stage in enumerate(net.features.children()):
        moves = which == "all" or (which == "lower" and depth < HALF) or (which == "upper" and depth >= HALF)
        stage.requires_grad_(moves)
    x, y = pixels(lab.data["noto"].train.x[:BATCH]), lab.data["noto"].train.y[:BATCH]
    times = []
    for _ in range(job.pictures):
        began = time.process_time()
        with torch.set_grad_enabled(between != "no_grad"):
            z = net.features(x)
        F.cross_entropy(net.head(z.detach() if between == "detach" else z), y).backward()
        times.append(time.process_time() - began)
        net.zero_grad()
    return {"milliseconds": round(1000 * min(times), 1)}


KINDS = {"probe": probe, "drift": probe, "head": trained_head, "fine-tuned": fine_tuned, "few": few, "cost": cost}


def run(job: Job, lab: Lab) -> Outcome:
    return KINDS[job.method.partition(",")[0]](job, lab)


DEPENDS = (
    KINDS, probe, trained_head, fine_tuned, few, cost, judged, said, fitted, streamed, drifted, probed, in_each_way,
    seen, ready, styles, batches, drawn, pixels, labelled, as_letters, adapt_statistics, xk.predict,
    xk.tuning.fit_logistic, xk.tuning.finetune, xk.tuning.hold_statistics, xk.report.accuracy, PROBES, HEADS, SHARE,
    BATCH, AFTER, COSTS, HALF,
)  # fmt: skip


def settings(plan: Plan) -> dict[str, Any]:
    return asdict(plan) | {
        "network": "efficientnet_lite0, ImageNet weights", "share": SHARE, "batch_size": BATCH, "after": AFTER,
        "margins": MARGINS, "half": HALF,
    }  # fmt: skip


def read_test(found: list[tuple[Job, dict[str, Any]]], chosen: dict[str, float], y: Tensor) -> dict[str, Any]:
    """Style ↦ method, pictures and statistics ↦ balanced test accuracies, with the settings chosen."""
    test: dict[str, dict[str, list[float]]] = {}
    for job, record in found:
        if job.setting == chosen.get(job.method, job.setting):
            for way, by_style in record.get("predictions", {}).items():
                name = ", ".join([job.method, *([f"{job.pictures} pictures"] if job.pictures else []), way])
                for style, letters in by_style.items():
                    test.setdefault(style, {}).setdefault(name, []).append(balanced(letters, y))
    return test


def main(arguments: list[str] | None = None) -> None:
    given = options(__doc__ or "", arguments)
    plan = SMOKE if given.smoke else Plan()
    xk.setup(0)
    torch.set_num_threads(1)
    domains = {style: xk.load_domain(f"emoji_{style}", image_size=plan.image_size) for style in plan.styles}
    if given.smoke:
        domains = {style: taste(domain, 2) for style, domain in domains.items()}
    lab = Lab(__file__, run, depends=DEPENDS, data=domains | {"network": xk.backbone()}, smoke=given.smoke)
    jobs = plan.tuned()
    chosen = choose(lab.run(jobs))
    jobs += plan.beside(chosen["probe, noto"])
    found = list(zip(jobs, lab.run(jobs), strict=True))

    # Everything is settled: now, and only now, the test labels.
    test = read_test(found, chosen, domains[plan.source].test.y)
    selection = {"rule": RULE, "chosen": chosen}
    lab.publish(question=QUESTION, settings=settings(plan), selection=selection, test=test)


if __name__ == "__main__":
    main()
