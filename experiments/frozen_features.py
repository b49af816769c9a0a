"""How much do an ImageNet network's frozen features know of drawings: at which depth, with how few labels, and what
spoils the answer?

    python experiments/frozen_features.py             about 20 minutes on one core, which others used too
    python experiments/frozen_features.py --smoke     seconds; keeps nothing

Logistic regressions on what stages of EfficientNet-Lite0 compute, averaged over the picture, learn EmojiStyles' classes
from Noto. Beside the ImageNet weights stand the same network with random weights (each seed another one, BatchNorm's
statistics measured on Noto) and pixels. A seed draws four fifths of the training and validation pictures to learn from,
near twins together, and judges itself on the rest; for each method layer and penalty are chosen by the mean over seeds.
Runs keep what a probe says of the test emoji in five styles; their labels are read after the last run.
Controls, on training and validation pictures alone: every layer at about the width of the last one (a grid in place of
the average) and at the width of the narrowest (principal components); several readers for few labels; resizing, one
factor at a time; leaks, with emoji that have no near twin beside those that have one.

Result: balanced accuracy on noto test emoji, mean ± deviation over 6 seeds: a probe on pixels 43.1 ± 2.3 %, on random
weights 41.4 ± 3.2 %, on ImageNet's last features 66.5 ± 2.6 %, on the chosen stage6 72.0 ± 2.5 %.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from fine_tuning import as_letters, balanced, choose
from lab import Lab, Outcome, options, taste
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

import xferkit as xk
from xferkit.report import accuracy, balanced_accuracy

QUESTION = (
    "How much do an ImageNet network's frozen features know of drawings: at which depth, with how few labels, and what "
    "spoils the answer?"
)
RULE = "layer and penalty with the best mean accuracy over seeds on Noto pictures not learned from; ties by mean loss"
SHARE = 0.8  # of the training and validation pictures, drawn anew by each seed
LAYERS = ("stem", *(f"stage{i}" for i in range(1, 8)), "pool", "logits")
RANDOM_LAYERS = ("stem", "stage2", "stage4", "stage6", "pool")
SIDES = {"stem": 6, "stage1": 9, "stage2": 7, "stage3": 6, "stage4": 4, "stage5": 3, "stage6": 3, "stage7": 2}
NARROW = 16  # the width of stage1, the narrowest layer
SHOTS = (1, 2, 4, 8, 16)
STATISTICS = 160  # training pictures for the BatchNorm statistics of random weights


@dataclass(frozen=True)
class Plan:
    """Everything that is fitted."""

    source: str = "noto"
    styles: tuple[str, ...] = ("noto", "twemoji", "openmoji", "fluent", "fluent_flat", "ink")
    image_size: int = 128
    penalties: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0)
    seeds: tuple[int, ...] = tuple(range(6))
    draws: tuple[int, ...] = tuple(range(24))  # of few labels; the penalty is chosen by the first third

    def probes(self) -> list[Probe]:
        """Setting n is the n-th pair of a layer and a penalty."""
        kinds = [
            ("ImageNet", "mean", LAYERS),
            ("random weights", "mean", RANDOM_LAYERS),
            ("pixels", "mean", ("pixels",)),
        ]
        kinds += [("ImageNet", "grid", tuple(SIDES)), ("ImageNet", "narrow", LAYERS)]
        return [
            Probe(method, shape, layer, penalty, n, seed)
            for seed in self.seeds
            for method, shape, layers in kinds
            for n, (layer, penalty) in enumerate((a, b) for a in layers for b in self.penalties)
        ]


SMOKE = Plan(
    styles=("noto", "fluent", "fluent_flat"), image_size=32, penalties=(0.1, 1.0), seeds=(0,), draws=(0,),
)  # fmt: skip


@dataclass(frozen=True)
class Probe:
    """One logistic regression. `shape`: "mean" over the picture, "grid" of about 1,200 numbers, "narrow" of 16."""

    method: str
    shape: str
    layer: str
    penalty: float
    setting: int
    seed: int


@dataclass(frozen=True)
class Part:
    """What is only looked at beside it, at one layer: few labels, one of the mistakes, or leaks."""

    part: str
    what: str
    layer: str
    penalty: float
    seed: int
    penalties: tuple[float, ...] = ()


# ----------------------------------------------------------------------------------------------------- the features


def development(domain: xk.Domain) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures, labels and groups of training and validation part."""
    assert domain.train.groups is not None and domain.val.groups is not None
    x, y = (torch.cat([getattr(part, name) for part in (domain.train, domain.val)]) for name in ("x", "y"))
    return x, y, torch.cat([domain.train.groups, domain.val.groups])


def to_learn(groups: Tensor, seed: int) -> Tensor:
    """(N,) which pictures this seed learns from: whole groups, up to `SHARE` of the pictures."""
    names, index, sizes = groups.unique(return_inverse=True, return_counts=True)
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    chosen = torch.zeros(len(names), dtype=torch.bool)
    chosen[order[sizes[order].cumsum(0) <= SHARE * len(groups)]] = True
    return chosen[index]


@functools.cache
def network(lab: Lab, seed: int | None) -> xk.Classifier:
    """The ImageNet network, or for a seed the same with random weights and statistics of Noto's training pictures."""
    if seed is None:
        return xk.tuning.freeze(lab.data["network"])
    xk.seed_everything(seed)
    net = copy.deepcopy(lab.data["network"])
    for part in net.modules():
        if callable(fresh := getattr(part, "reset_parameters", None)):
            fresh()
    pictures = lab.data["noto"].train.x
    mixed = pictures[torch.randperm(len(pictures))[:STATISTICS]]
    return xk.tuning.freeze(xk.alignment.batchnorm.adapt_statistics(net, mixed, batch_size=min(32, len(mixed) // 2)))


@torch.inference_mode()
def through(net: xk.Classifier, layer: str, x: Tensor, scale: Callable[[Tensor], Tensor], side: int = 1) -> Tensor:
    """(N, C · side²): a layer averaged over side × side fields, of pictures that `scale` makes ready."""
    stages = net.features[: LAYERS.index(layer) + 1]
    maps = (stages(scale(chunk)) for chunk in x.split(32))
    return torch.cat([(F.adaptive_avg_pool2d(h, side).flatten(1) if h.ndim == 4 else h) for h in maps])


@functools.cache
def means(lab: Lab, style: str, test: bool, seed: int | None) -> dict[str, Tensor]:
    """{layer: (N, D)} of one style's development or test pictures."""
    net, domain = network(lab, seed), lab.data[style]
    x = domain.test.x if test else development(domain)[0]
    layers = LAYERS[:-1] if seed is None else RANDOM_LAYERS
    z = xk.extract_features(net, x, layers=list(layers), batch_size=32)
    with torch.no_grad():
        z["logits"] = net.head(z["pool"])
    return z | {"pixels": F.interpolate(xk.to_float(x), (16, 16), mode="area").flatten(1)}


@functools.cache
def grid(lab: Lab, layer: str) -> Tensor:
    x = development(lab.data["noto"])[0]
    return through(network(lab, None), layer, x, xk.to_float, SIDES[layer]).clone()


def narrow(z: Tensor, inside: Tensor) -> Tensor:
    """The first principal components of standardised features, fitted on what may be learned from."""
    x = (z - z[inside].mean(0)) / z[inside].std(0).clamp_min(1e-6)
    return x @ torch.linalg.svd(x[inside], full_matrices=False).Vh[:NARROW].T


# -------------------------------------------------------------------------------------------------------- the jobs


def run(job: Probe | Part, lab: Lab) -> Outcome:
    return probe(job, lab) if isinstance(job, Probe) else PARTS[job.part](job, lab)


def fitted(z: Tensor, y: Tensor, inside: Tensor, penalty: float) -> nn.Linear:
    return xk.tuning.fit_logistic(z[inside], y[inside], int(y.max()) + 1, l2=penalty).requires_grad_(False)


def probe(job: Probe, lab: Lab) -> Outcome:
    _, y, groups = development(lab.data["noto"])
    inside, twin = to_learn(groups, job.seed), job.seed if job.method == "random weights" else None
    z = grid(lab, job.layer) if job.shape == "grid" else means(lab, "noto", False, twin)[job.layer]
    z = narrow(z, inside) if job.shape == "narrow" else z
    head = fitted(z, y, inside, job.penalty)
    logits, truth = head(z[~inside]), y[~inside]
    result: dict[str, Any] = {
        "width": z.shape[1],
        "train_accuracy": round(accuracy(head(z[inside]), y[inside]), 5),
        "val_accuracy": round(accuracy(logits, truth), 5), "val_loss": round(F.cross_entropy(logits, truth).item(), 5),
        "val_balanced": round(balanced_accuracy(logits, truth), 5),
    }  # fmt: skip
    if job.shape == "mean":
        styles = [name for name, part in lab.data.items() if isinstance(part, xk.Domain)]
        styles = styles[:1] if job.method == "random weights" else styles
        said = {style: head(means(lab, style, True, twin)[job.layer]).argmax(1) for style in styles}
        result["predictions"] = {style: as_letters(classes) for style, classes in said.items()}
    return result


def with_few(z: Tensor, y: Tensor, picked: Tensor, out: Tensor, penalties: Sequence[float]) -> dict[str, list[float]]:
    """Balanced accuracy of each reader, one number a penalty; class means have none."""
    centred = z - z[picked].mean(0)
    ways = {"unit length": F.normalize(centred, dim=1), "one scale": centred / centred[picked].square().mean().sqrt()}
    found = {"by dimension": [balanced_accuracy(fitted(z, y, picked, p)(z[out]), y[out]) for p in penalties]}
    for name, x in ways.items():
        found[name] = []
        for penalty in penalties:
            softness = penalty / (x.shape[1] if name == "unit length" else 1)  # unit vectors are √D times shorter
            head = LogisticRegression(C=1 / (len(picked) * softness), max_iter=2000)
            said = head.fit(x[picked].numpy(), y[picked].numpy()).predict(x[out].numpy())
            found[name].append(balanced_accuracy(torch.from_numpy(said), y[out]))
    for name, x in {"means, Euclidean": z, "means, cosine": F.normalize(z, dim=1)}.items():
        centres = torch.stack([x[picked][y[picked] == c].mean(0) for c in y.unique()])
        distance = -F.normalize(x[out], dim=1) @ F.normalize(centres, dim=1).T
        distance = distance if name.endswith("cosine") else torch.cdist(x[out], centres)
        found[name] = [balanced_accuracy(distance.argmin(1), y[out])]
    return {name: [round(v, 5) for v in values] for name, values in found.items()}


def few(job: Part, lab: Lab) -> Outcome:
    """What `with_few` finds for every number of labels a class; each draw has its own split as well."""
    _, y, groups = development(lab.data["noto"])
    inside = to_learn(groups, job.seed)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(job.seed))
    order = order[inside[order]]
    z, out = means(lab, "noto", False, None)[job.layer], ~inside
    result = {}
    for shots in SHOTS:
        picked = torch.cat([order[y[order] == c][:shots] for c in y.unique()])
        result[str(shots)] = with_few(z, y, picked, out, job.penalties)
    return result


SCALES = (
    "pixels in 0…1", "pixels in 0…255", "blue and red exchanged",
    "averaged, enlarged bilinearly", "averaged, enlarged by repeating",
    "every fourth pixel, enlarged bilinearly", "every fourth pixel, enlarged by repeating",
)  # fmt: skip
ORDERS = {"training mode, mixed batches": False, "training mode, batches sorted by class": True}


def scaled(x: Tensor, mistake: str) -> Tensor:
    """Pictures as the network should not get them; the last four come by way of 32 × 32 pixels."""
    if mistake == SCALES[0]:
        return x.float() / 255
    if mistake == SCALES[1]:
        return x.float()
    if mistake == SCALES[2]:
        return xk.to_float(x.flip(1))
    x = xk.to_float(x)
    small = F.avg_pool2d(x, 4) if mistake.startswith("averaged") else x[:, :, ::4, ::4]
    return F.interpolate(small, scale_factor=4, mode="nearest" if mistake.endswith("repeating") else "bilinear")


@functools.cache
def wrong(lab: Lab, mistake: str, layer: str) -> Tensor:
    """(N, D) features of Noto's development pictures, taken with a mistake."""
    x, y, _ = development(lab.data["noto"])
    if mistake in SCALES:
        return through(network(lab, None), layer, x, functools.partial(scaled, mistake=mistake)).clone()
    careless = copy.deepcopy(xk.backbone()).requires_grad_(False).train()
    mixed = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    order = torch.argsort(y, stable=True) if ORDERS[mistake] else mixed
    return through(careless, layer, x[order], xk.to_float)[torch.argsort(order)].clone()


def mistaken(job: Part, lab: Lab) -> Outcome:
    """Balanced accuracy with the mistake made everywhere, and made only after the probe was fitted."""
    _, y, groups = development(lab.data["noto"])
    inside, right, z = (
        to_learn(groups, job.seed),
        means(lab, "noto", False, None)[job.layer],
        wrong(lab, job.what, job.layer),
    )
    out, ways = ~inside, {"none": (right, right), "everywhere": (z, z), "in use": (right, z)}
    return {
        name: round(balanced_accuracy(fitted(a, y, inside, job.penalty)(b[out]), y[out]), 5)
        for name, (a, b) in ways.items()
    }


def leaks(job: Part, lab: Lab) -> Outcome:
    """Balanced accuracy without and with each leak, and accuracy for near twins apart from emoji that have none."""
    _, y, groups = development(lab.data["noto"])
    z, each = means(lab, "noto", False, None)[job.layer], torch.arange(len(y))
    honest, leaky = to_learn(groups, job.seed), to_learn(each, job.seed)
    names, sizes = groups.unique(return_counts=True)
    twins = torch.isin(groups, names[sizes > 1])
    found: dict[str, float] = {}
    for name, inside in (("by group", honest), ("by picture", leaky)):
        said = fitted(z, y, inside, job.penalty)(z).argmax(1)
        found[name] = balanced_accuracy(said[~inside], y[~inside])
        for kind, mask in (("with twins", twins & ~inside), ("without twins", ~twins & ~inside)):
            found[f"{name}, {kind}"] = accuracy(said[mask], y[mask])
    # Two styles of one designer.
    pair = torch.cat([means(lab, style, False, None)[job.layer] for style in ("fluent", "fluent_flat")])
    cuts = {"by group": to_learn(groups.repeat(2), job.seed), "by picture": to_learn(torch.arange(len(pair)), job.seed)}
    for name, inside in cuts.items():
        said = fitted(pair, y.repeat(2), inside, job.penalty)(pair).argmax(1)
        found[f"pooled, {name}"] = balanced_accuracy(said[~inside], y.repeat(2)[~inside])
    # Layer and penalty chosen on half of the held-out pictures, and reported on the same half or on the other.
    half, other = each[~honest][::2], each[~honest][1::2]
    layers = [v for name, v in means(lab, "noto", False, None).items() if name != "pixels"]
    tried = [fitted(v, y, honest, penalty)(v).argmax(1) for v in layers for penalty in job.penalties]
    best = max(tried, key=lambda said: balanced_accuracy(said[half], y[half]))
    found["chosen elsewhere"], found["chosen there"] = (balanced_accuracy(best[h], y[h]) for h in (other, half))
    return {name: round(value, 5) for name, value in found.items()}


PARTS = {"few labels": few, "mistake": mistaken, "leaks": leaks}
DEPENDS = (
    PARTS, probe, few, mistaken, leaks, with_few, fitted, narrow, grid, means, through, network, wrong, scaled, SCALES,
    ORDERS, to_learn, development, as_letters, xk.extract_features, xk.tuning.fit_logistic, accuracy,
    balanced_accuracy, xk.alignment.batchnorm.adapt_statistics, SHARE, LAYERS, RANDOM_LAYERS, SIDES, NARROW, SHOTS,
    STATISTICS,
)  # fmt: skip


def settings(plan: Plan) -> dict[str, Any]:
    return asdict(plan) | {
        "network": "efficientnet_lite0, frozen: ImageNet weights, or random ones with measured BatchNorm statistics",
        "share": SHARE, "layers": LAYERS, "random_layers": RANDOM_LAYERS, "sides": SIDES, "narrow": NARROW,
        "shots": SHOTS, "statistics": STATISTICS, "mistakes": [*SCALES, *ORDERS],
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    given = options(__doc__ or "", arguments)
    plan = SMOKE if given.smoke else Plan()
    xk.setup(0)
    torch.set_num_threads(1)  # so little work that threads would mostly wait for each other
    domains = {style: xk.load_domain(f"emoji_{style}", image_size=plan.image_size) for style in plan.styles}
    if given.smoke:
        domains = {style: taste(domain) for style, domain in domains.items()}
    lab = Lab(__file__, run, depends=DEPENDS, data=domains | {"network": xk.backbone()}, smoke=given.smoke)
    jobs = plan.probes()
    records = lab.run(jobs)
    usual = [record for record in records if record["shape"] == "mean"]
    chosen = choose(usual)
    at_pool = choose([r for r in usual if r["method"] == "ImageNet" and r["layer"] == "pool"])["ImageNet"]
    best = next(job for job in jobs if job.method == "ImageNet" and job.setting == chosen["ImageNet"])
    print(
        {
            m: next((r["layer"], r["penalty"]) for r in usual if (r["method"], r["setting"]) == (m, n))
            for m, n in chosen.items()
        }
    )

    def beside(part: str, seeds: Sequence[int], what: str = "", layer: str = best.layer) -> list[Part]:
        penalties = () if part == "mistake" else plan.penalties
        return [Part(part, what, layer, best.penalty, seed, penalties) for seed in seeds]

    looked_at = beside("leaks", plan.seeds) + beside("few labels", plan.draws)
    looked_at += beside("few labels", plan.draws, layer="pool") if best.layer != "pool" else []
    for mistake in (*SCALES, *ORDERS):
        looked_at += beside("mistake", plan.seeds, mistake)
    lab.run(looked_at)

    # Everything is settled: now, and only now, the test labels.
    groups = {"ImageNet, pool": ("ImageNet", at_pool)} | {method: (method, n) for method, n in chosen.items()}
    test: dict[str, dict[str, list[float]]] = {style: {} for style in plan.styles}
    for job, record in zip(jobs, records, strict=True):
        for name, of in groups.items():
            if job.shape == "mean" and (job.method, job.setting) == of:
                for style, said in record["predictions"].items():
                    right = balanced(said, domains[style].test.y)
                    test[style].setdefault(name, []).append(right)
    selection = {"rule": RULE, "chosen": chosen, "at_pool": at_pool, "layer": best.layer, "penalty": best.penalty}
    lab.publish(question=QUESTION, settings=settings(plan), selection=selection, test=test)


if __name__ == "__main__":
    main()
