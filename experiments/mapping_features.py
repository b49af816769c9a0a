"""Which linear maps between the features of two drawing styles keep what the source knew, and what do they gain?

    python experiments/mapping_features.py               about 10 minutes on one core
    python experiments/mapping_features.py --validation  stops before any test label is read
    python experiments/mapping_features.py --smoke       seconds; keeps nothing

Frozen EfficientNet-Lite0 (stage6, averaged over the picture) reads EmojiStyles. A map is fitted from Noto to each of
four other styles on four fifths of the training and validation emoji, near twins together, and looked at on emoji that
it has never seen. What is asked of it: does the nearest mapped Noto picture show the same emoji; what does a probe that
learned from mapped Noto pictures recognise in the other style, and what still in Noto; how alike (linear CKA) are
Noto's features before and after. A search's setting is the one by which most held-out emoji find their partner: this
needs pairs, but no label. The probe's setting is the one with which it recognises most held-out pictures of the target,
whose class is that of their partner. Controls: centring and standardising each style, both whitened by Noto's axes, a
random rotation, random channels, pairs in a wrong order, pairs of the same class, the target's own pictures.

Result: mean ± deviation over 5 seeds: in ink the nearest Noto picture shows the same emoji for 32.9 ± 0.5 % (centred),
40.2 ± 0.7 % (whitened), 28.2 ± 1.8 % (ridge), 32.7 ± 0.5 % (CORAL) of the test emoji, and a probe learned from mapped
Noto pictures reaches a balanced accuracy of 44.8 ± 3.7 % (centred), 44.6 ± 0.9 % (whitened), 54.6 ± 2.1 % (ridge),
45.7 ± 2.1 % (CORAL).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from fine_tuning import as_letters, balanced, choose
from frozen_features import development, to_learn
from lab import Lab, Outcome, options, taste
from sklearn.linear_model import LogisticRegression
from torch import Tensor

import xferkit as xk
from xferkit.alignment import maps, subspaces
from xferkit.report import accuracy

QUESTION = (
    "Which linear maps between the features of two drawing styles keep what the source knew, and what do they gain?"
)
RULE = (
    "on average over seeds and styles: for a search the setting by which most held-out emoji have their own Noto "
    "picture nearest, ties by the mean of 1 - 1 / rank; for a probe that by which it recognises most held-out pictures "
    "of the target, ties by its loss"
)
PENALTY = 0.01  # of every probe, on features divided by one number
NEIGHBOURS = 5
RIDGES = (0.01, 0.1, 1.0, 10.0, 100.0)  # in units of the features' mean variance
SIZES = (16.0, 32.0, 64.0, 128.0)  # principal axes
CHANNELS = (48.0, 96.0, 144.0)
NONE = (0.0,)
METHODS: dict[str, tuple[float, ...]] = {
    # fitted on the two clouds alone
    "as they are": NONE, "centred": NONE, "standardised": NONE, "whitened": RIDGES, "CORAL": RIDGES,
    "CORAL, standardised first": RIDGES, "joint PCA": SIZES, "subspace alignment": SIZES, "geodesic flow": SIZES,
    # fitted on pairs
    "least squares": NONE, "ridge": RIDGES, "ridge from the identity": RIDGES, "Procrustes": NONE,
    "whitened, then Procrustes": RIDGES, "stable channels": CHANNELS,
    # fitted on pairs of Noto and styles other than the target
    "stable channels, other styles": CHANNELS,
    # controls
    "whitened, by Noto's axes": RIDGES, "random rotation": NONE, "random channels": CHANNELS,
    "ridge, shuffled pairs": RIDGES,
    "Procrustes, shuffled pairs": NONE, "ridge, pairs of a class": RIDGES, "Procrustes, pairs of a class": NONE,
    "target's own pictures": NONE,
}  # fmt: skip
BETWEEN = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Plan:
    """Everything that is fitted."""

    source: str = "noto"
    targets: tuple[str, ...] = ("fluent_flat", "twemoji", "openmoji", "ink")
    layer: str = "stage6"
    image_size: int = 128
    seeds: tuple[int, ...] = tuple(range(5))

    def jobs(self, methods: Sequence[str] = tuple(METHODS)) -> list[Fit]:
        """Setting n is the n-th value of a method."""
        of = [(method, value, n) for method in methods for n, value in enumerate(METHODS[method])]
        return [
            Fit(method, value, n, seed, self.source, self.targets, self.layer)
            for seed in self.seeds
            for method, value, n in of
        ]


SMOKE = Plan(targets=("twemoji", "ink"), image_size=32, seeds=(0,))
FEW = ("as they are", "CORAL, standardised first", "least squares", "stable channels, other styles")


@dataclass(frozen=True)
class Fit:
    """One way to map Noto's features to each target's. `ridge` or `size` is of a way between the two."""

    method: str
    value: float
    setting: int
    seed: int
    source: str
    targets: tuple[str, ...]
    layer: str
    of: float = 0.0


# -------------------------------------------------------------------------------------------------------- the maps


@functools.cache
def features(lab: Lab, style: str, layer: str, test: bool) -> Tensor:
    """(N, D) of a style's development or test pictures, in double precision."""
    domain = lab.data[style]
    x = domain.test.x if test else development(domain)[0]
    return xk.extract_features(lab.data["network"], x, layers=[layer], batch_size=32)[layer].double()


def then(first: Tensor, second: Tensor) -> Tensor:
    """One map after another, as one map."""
    return torch.cat([first[:-1] @ second[:-1], (first[-1] @ second[:-1] + second[-1])[None]])


def centred(z: Tensor, matrix: Tensor | None = None) -> Tensor:
    matrix = torch.eye(z.shape[1], dtype=z.dtype) if matrix is None else matrix
    return torch.cat([matrix, -(z.mean(0) @ matrix)[None]])


def standardised(z: Tensor) -> Tensor:
    return centred(z, torch.diag(1 / z.std(0).clamp_min(1e-6)))


def partner(method: str, y: Tensor, draw: torch.Generator) -> Tensor:
    """Which target row is taken for each source row's partner."""
    if method.endswith("shuffled pairs"):
        return torch.randperm(len(y), generator=draw)
    order = torch.arange(len(y))
    if method.endswith("pairs of a class"):
        for c in y.unique():
            mine = (y == c).nonzero().flatten()
            order[mine] = mine[torch.randperm(len(mine), generator=draw)]
    return order


def stability(z_s: Tensor, z_t: Tensor) -> Tensor:
    """(D,) how each channel of a picture correlates with itself in the partner's."""
    a, b = z_s - z_s.mean(0), z_t - z_t.mean(0)
    return (a * b).sum(0) / (a.norm(dim=0) * b.norm(dim=0)).clamp_min(1e-12)


def fitted(job: Fit, z_s: Tensor, z_t: Tensor, others: Sequence[Tensor], y: Tensor) -> tuple[Tensor, Tensor]:
    """The maps of source and target, each (D + 1, r), from rows that show the same emoji; all but one use z − mean."""
    name, value = job.method.partition(",")[0], job.value
    draw = torch.Generator().manual_seed(job.seed)
    d, base = z_s.shape[1], centred(z_t)
    variance = (z_s.var(0).mean() + z_t.var(0).mean()).item() / 2
    if job.method == "as they are":
        raw = torch.cat([torch.eye(d, dtype=z_s.dtype), torch.zeros(1, d, dtype=z_s.dtype)])
        return raw, raw
    if name in ("centred", "target's own pictures"):
        return centred(z_s), base
    if name == "standardised":
        return standardised(z_s), standardised(z_t)
    if name == "whitened":
        t_s, t_t = (maps.fit_whitening(z, ridge=value * variance) for z in (z_s, z_t))
        if job.method.endswith("by Noto's axes"):
            return t_s, centred(z_t, t_s[:-1])
        if job.method.endswith("then Procrustes"):
            return then(t_s, maps.fit_rotation(maps.apply_map(z_s, t_s), maps.apply_map(z_t, t_t))), t_t
        return t_s, t_t
    if job.method == "CORAL, standardised first":
        t_s, t_t = standardised(z_s), standardised(z_t)
        return then(t_s, maps.fit_coral(maps.apply_map(z_s, t_s), maps.apply_map(z_t, t_t), ridge=value)), t_t
    if name == "CORAL":
        return then(maps.fit_coral(z_s, z_t, ridge=value * variance), base), base
    if name == "joint PCA":
        pooled = torch.cat([z_s - z_s.mean(0), z_t - z_t.mean(0)])
        axes = torch.linalg.svd(pooled, full_matrices=False).Vh[: int(value)].T
        return centred(z_s, axes), centred(z_t, axes)
    if name == "subspace alignment":
        return subspaces.fit_subspaces(z_s, z_t, int(value))
    if name == "geodesic flow":
        return subspaces.fit_geodesic_flow(z_s, z_t, int(value))
    if name == "between subspaces":
        sides = (torch.linalg.svd(z - z.mean(0), full_matrices=False).Vh[: int(job.of)].T for z in (z_s, z_t))
        axes = subspaces.geodesic(*sides, value)
        return centred(z_s, axes), centred(z_t, axes)
    if name == "random rotation":
        turn = torch.linalg.qr(torch.randn(d, d, generator=draw, dtype=z_s.dtype)).Q
        return centred(z_s, turn), base
    if name.endswith("channels"):
        ranked = torch.rand(d, generator=draw)
        if name == "stable channels":
            against = others if job.method.endswith("other styles") else [z_t]
            ranked = torch.stack([stability(z_s, z) for z in against]).mean(0)
        keep = torch.eye(d, dtype=z_s.dtype)[:, ranked.argsort(descending=True)[: int(value)]]
        return centred(z_s, keep), centred(z_t, keep)
    beside = z_t[partner(job.method, y, draw)]
    if name == "Procrustes":
        return then(maps.fit_rotation(z_s, beside), base), base
    if name == "ridge from the identity":
        rest = maps.fit_linear_map(z_s, (z_t - z_t.mean(0)) - (z_s - z_s.mean(0)), ridge=value * variance)
        return centred(z_s) + rest, base
    strength = {"least squares": 1e-8, "ridge": value, "between features": job.of}[name]
    found = then(maps.fit_linear_map(z_s, beside, ridge=strength * variance), base)
    return (value * found + (1 - value) * centred(z_s) if name == "between features" else found), base


# -------------------------------------------------------------------------------------------------------- the jobs


def ranks(query: Tensor, gallery: Tensor) -> Tensor:
    """(N,) how many gallery rows are nearer to a query, by the cosine, than the row of its own number."""
    alike = F.normalize(query, dim=1) @ F.normalize(gallery, dim=1).T
    return (alike > alike.diagonal()[:, None]).sum(1)


def run(job: Fit, lab: Lab) -> Outcome:
    _, y, groups = development(lab.data[job.source])
    inside = to_learn(groups, job.seed)
    held: dict[str, list[float]] = {"val_accuracy": [], "val_loss": [], "val_probe": [], "val_probe_loss": []}
    texts: dict[str, dict[str, str]] = {"predictions": {}, "partners": {}}
    alike: dict[str, dict[str, float]] = {"cka": {}, "cka_biased": {}}
    tensors: dict[str, Tensor] = {}
    for target in job.targets:
        own = job.method == "target's own pictures"
        z_s, test_s = (features(lab, target if own else job.source, job.layer, part) for part in (False, True))
        before = features(lab, job.source, job.layer, True)
        z_t, test_t = (features(lab, target, job.layer, part) for part in (False, True))
        others = [features(lab, each, job.layer, False)[inside] for each in job.targets if each != target]
        t_s, t_t = fitted(job, z_s[inside], z_t[inside], others, y[inside])
        a, b, test_a, test_b = (maps.apply_map(z, t) for z, t in ((z_s, t_s), (z_t, t_t), (test_s, t_s), (test_t, t_t)))
        middle, scale = a[inside].mean(0), (a[inside] - a[inside].mean(0)).square().mean().sqrt()
        head = LogisticRegression(C=1 / (int(inside.sum()) * PENALTY), max_iter=5000)
        head.fit(((a[inside] - middle) / scale).numpy(), y[inside].numpy())
        said = lambda z: torch.from_numpy(head.predict(((z - middle) / scale).numpy()))  # noqa: B023, E731
        behind = ranks(b[~inside], a[~inside])
        held["val_accuracy"].append((behind == 0).double().mean().item())
        held["val_loss"].append((1 - 1 / (1 + behind.double())).mean().item())
        chances = torch.from_numpy(head.predict_proba(((b[~inside] - middle) / scale).numpy()))
        held["val_probe"].append(accuracy(chances, y[~inside]))
        held["val_probe_loss"].append(F.nll_loss(chances.clamp_min(1e-12).log(), y[~inside]).item())
        texts["predictions"][target] = as_letters(said(test_b))
        texts["partners"][target] = "".join("1" if rank == 0 else "0" for rank in ranks(test_b, test_a).tolist())
        for name, debiased in (("cka", True), ("cka_biased", False)):
            alike[name][target] = round(xk.metrics.linear_cka(test_a, before, debiased=debiased), 5)
        tensors[f"still.{target}"] = said(test_a).to(torch.uint8)
        near = F.normalize(test_b, dim=1) @ F.normalize(a, dim=1).T
        tensors[f"near.{target}"] = near.topk(min(NEIGHBOURS, len(a)), dim=1).indices.to(torch.int16)
    means = {name: round(sum(values) / len(values), 6) for name, values in held.items()}
    each = dict(zip(job.targets, (round(v, 5) for v in held["val_accuracy"]), strict=True))
    return means | {"val_partners": each} | texts | alike, tensors


DEPENDS = (
    fitted, partner, stability, then, centred, standardised, features, ranks, development, to_learn, as_letters,
    xk.extract_features, maps.fit_whitening, maps.fit_coral, maps.fit_linear_map, maps.fit_rotation, maps.apply_map,
    subspaces.fit_subspaces, subspaces.fit_geodesic_flow, subspaces.geodesic, xk.metrics.linear_cka, accuracy, PENALTY,
    NEIGHBOURS,
)  # fmt: skip


def written(found: dict[str, Tensor]) -> dict[str, str]:
    """A digit for each test emoji."""
    return {style: "".join(map(str, digits.int().tolist())) for style, digits in found.items()}


def settings(plan: Plan) -> dict[str, Any]:
    return asdict(plan) | {
        "network": "efficientnet_lite0, frozen, ImageNet weights", "methods": METHODS, "penalty": PENALTY,
        "neighbours": NEIGHBOURS, "between": BETWEEN, "share": 0.8,
    }  # fmt: skip


def show(records: Sequence[dict[str, Any]]) -> None:
    """What is known without test labels, mean over seeds."""
    for method, n in dict.fromkeys((r["method"], r["setting"]) for r in records):
        rows = [r for r in records if (r["method"], r["setting"]) == (method, n)]
        mean = lambda name: 100 * sum(r[name] for r in rows) / len(rows)  # noqa: B023, E731
        each = {t: sum(r["val_partners"][t] for r in rows) / len(rows) for t in rows[0]["targets"]}
        print(f"{method:32} {rows[0]['value']:7g}  partners {mean('val_accuracy'):5.1f}  "
              f"probe {mean('val_probe'):5.1f}  " + "  ".join(f"{100 * v:5.1f}" for v in each.values()))  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    given = options(__doc__ or "", arguments, validation="print what validation shows, and read no test label")
    plan = SMOKE if given.smoke else Plan()
    xk.setup(0)
    torch.set_num_threads(1)
    styles = (plan.source, *plan.targets)
    domains = {style: xk.load_domain(f"emoji_{style}", image_size=plan.image_size) for style in styles}
    if given.smoke:
        domains = {style: taste(domain) for style, domain in domains.items()}
    network = xk.tuning.freeze(xk.backbone())
    lab = Lab(__file__, run, depends=DEPENDS, data=domains | {"network": network}, smoke=given.smoke)
    jobs = plan.jobs(FEW) if given.smoke else plan.jobs()
    records = lab.run(jobs)
    chosen = choose(records)
    as_probe = [{**r, "val_accuracy": r["val_probe"], "val_loss": r["val_probe_loss"]} for r in records]
    by_probe = choose(as_probe)
    ways = [] if given.smoke else [("between features", "ridge"), ("between subspaces", "geodesic flow")]
    between = []
    for name, by in ways:
        of = METHODS[by][int(chosen[by])]
        between += [
            Fit(name, at, n, seed, plan.source, plan.targets, plan.layer, of)
            for seed in plan.seeds
            for n, at in enumerate(BETWEEN)
        ]
    also = lab.run(between)
    if given.validation:
        show([*records, *also])
        print(
            {method: (METHODS[method][int(n)], METHODS[method][int(by_probe[method])]) for method, n in chosen.items()}
        )
        return

    # Everything is settled: now, and only now, the test labels.
    y = domains[plan.source].test.y
    known = development(domains[plan.source])[1]
    test: dict[str, dict[str, list[float]]] = {style: {} for style in plan.targets}
    for job, record in zip(jobs, records, strict=True):
        if job.setting not in (chosen[job.method], by_probe[job.method]):
            continue
        kept = lab.weights(job)
        right = {style: kept[f"still.{style}"].long() == y for style in plan.targets}
        hits = {style: (known[kept[f"near.{style}"].long()] == y[:, None]).sum(1) for style in plan.targets}
        lab.note(job, still=written(right), hits=written(hits))
        for style in plan.targets if job.setting == by_probe[job.method] else ():
            test[style].setdefault(job.method, []).append(balanced(record["predictions"][style], y))
    lab.publish(
        question=QUESTION,
        settings=settings(plan),
        selection={"rule": RULE, "search": chosen, "probe": by_probe},
        test=test,
    )


if __name__ == "__main__":
    main()
