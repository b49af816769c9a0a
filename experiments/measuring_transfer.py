"""How many points do the usual mistakes of a comparison give away, where nothing about the method has changed?

    python experiments/measuring_transfer.py            about ten minutes on one core, which others used too
    python experiments/measuring_transfer.py --smoke    seconds; keeps nothing

A linear classifier (least squares to one-hot targets with a ridge penalty) reads frozen features of EfficientNet-Lite0.
A cut parts Noto's training and validation pictures by group into three: to learn from, to choose by, to report on. The
last stands for a test part, so that no test label is needed. Each cut records every setting of a grid on both held-out
parts; ten draws of the labelled pictures with one setting; the same setting with mirrored copies of held-out pictures
among what is learned from, and, as a control, with copies of learned ones; and a classifier learned from pictures of
which half are faces. Beside it, as one honest study: Noto's labels used in ink, with every setting of a smaller grid
by every seed, between the two bounds. Its runs keep what is said of ink's test emoji, whose labels are read at the end.

Result: balanced accuracy on test emoji in ink, labels from Noto, mean ± deviation over 10 seeds: source only 35.3 ±
1.7 %, with ink's own statistics 39.8 ± 0.6 %, target only 54.8 ± 1.8 %.
"""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from fine_tuning import as_letters, balanced, choose
from frozen_features import development, to_learn
from lab import Lab, options, taste

import xferkit as xk

QUESTION = (
    "How many points do the usual mistakes of a comparison give away, where nothing about the method has changed?"
)
RULE = (
    "the best mean accuracy over the seeds on pictures not learned from, Noto's for what learns from Noto and ink's "
    "for target only; ties by the mean squared error"
)
LAYERS = ("stage2", "stage3", "stage4", "stage5", "stage6", "stage7", "pool")
PENALTIES = (1.0, 10.0, 100.0, 1000.0)
PARTS = (0.6, 0.8)  # learn from the first 60 % of the groups' pictures, choose by the next 20 %, report on the rest
USUAL = ("pool", 1.0)  # the last layer, and scikit-learn's own penalty: what is taken where nobody tunes
SEEDS = 10  # draws of labelled pictures within a cut, four fifths of those to learn from
COPIED = (0.05, 0.1, 0.2, 0.5)  # the share of reported pictures that have a mirrored copy among those learned from
RARE = 3  # labelled pictures of every class but faces, in the skewed draw
SMALL = [(layer, penalty) for layer in ("stage5", "stage6", "stage7", "pool") for penalty in PENALTIES]


@dataclass(frozen=True)
class Cut:
    """One cut of Noto's pictures, with everything that is recorded of it."""

    part: str
    seed: int


@dataclass(frozen=True)
class Way:
    """One classifier of the study on ink. `setting` counts the grid `SMALL`."""

    part: str
    method: str
    setting: int
    layer: str
    penalty: float
    seed: int


@dataclass(frozen=True)
class Plan:
    cuts: int = 100
    seeds: int = 10  # of the study on ink
    settings: int = len(SMALL)
    image_size: int = 128

    def jobs(self) -> list[Cut | Way]:
        ways = [
            Way("bounds", method, n, *SMALL[n], seed)
            for seed in range(self.seeds)
            for method in ("source only", "own statistics", "target only")
            for n in range(self.settings)
        ]
        return [*(Cut("cut", seed) for seed in range(self.cuts)), *ways]


# ----------------------------------------------------------------------------------------------------- the classifier


def ridge(x: np.ndarray, y: np.ndarray, penalties: Any, weights: np.ndarray | None = None) -> list[Any]:
    """RidgeClassifier of scikit-learn, x (N, D), y (N,): for each penalty a function from (M, D) to scores (M, C)."""
    w = np.ones(len(y)) if weights is None else weights
    targets = np.where(y[:, None] == np.arange(y.max() + 1), 1.0, -1.0)
    at, level = (np.average(v, axis=0, weights=w) for v in (x, targets))
    rows, wanted = (np.sqrt(w)[:, None] * v for v in (x - at, targets - level))
    eigen, vectors = np.linalg.eigh(rows @ rows.T)
    turned = vectors.T @ wanted

    def scorer(penalty: float) -> Any:
        matrix = rows.T @ (vectors @ (turned / (eigen.clip(0) + penalty)[:, None]))
        return lambda new: (new - at) @ matrix + level

    return [scorer(penalty) for penalty in penalties]


def standardised(z: np.ndarray, by: np.ndarray) -> np.ndarray:
    """With the mean and deviation of `by`."""
    return (z - by.mean(0)) / by.std(0).clip(1e-9)


def squared_error(scores: np.ndarray, y: np.ndarray) -> float:
    return float(((scores - np.where(y[:, None] == np.arange(scores.shape[1]), 1, -1)) ** 2).mean())


@functools.cache
def features(lab: Lab, style: str, kind: str) -> dict[str, np.ndarray]:
    """{layer: (N, D)} of one style: its "development" pictures, these "mirrored", or its "test" pictures."""
    domain = lab.data[style]
    x = domain.test.x if kind == "test" else development(domain)[0]
    x = x.flip(3) if kind == "mirrored" else x
    seen = xk.extract_features(lab.data["network"], x, layers=list(LAYERS), batch_size=32)
    return {layer: z.double().numpy() for layer, z in seen.items()}


# ---------------------------------------------------------------------------------------------------------- one job


def run(job: Cut | Way, lab: Lab) -> dict[str, Any]:
    return cut(job, lab) if isinstance(job, Cut) else way(job, lab)


def cut(job: Cut, lab: Lab) -> dict[str, Any]:
    _, y, groups = (v.numpy() for v in development(lab.data["noto"]))
    z = features(lab, "noto", "development")
    draw = np.random.default_rng(job.seed)
    names, sizes = np.unique(groups, return_counts=True)
    order = draw.permutation(len(names))
    edges = sizes[order].cumsum() / len(groups)
    learn, choose_by, report = (
        np.isin(groups, names[order[(a < edges) & (edges <= b)]]) for a, b in ((0, PARTS[0]), PARTS, (PARTS[1], 1))
    )
    held = {"choose": choose_by, "report": report}
    found: dict[str, Any] = {"pictures": {"learn": int(learn.sum())} | {n: int(m.sum()) for n, m in held.items()}}

    # Every setting.
    found |= {"choose": [], "report": [], "choose_error": []}
    for layer in LAYERS:
        x = standardised(z[layer], z[layer][learn])
        for score in ridge(x[learn], y[learn], PENALTIES):
            scores = score(x)
            for name, part in held.items():
                found[name].append(int((scores.argmax(1) == y)[part].sum()))
            found["choose_error"].append(round(squared_error(scores[choose_by], y[choose_by]), 5))

    # One setting from here on.
    layer, penalty = USUAL

    def said(x: np.ndarray, labels: np.ndarray, new: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        (score,) = ridge(standardised(x, x), labels, [penalty], weights)
        return score(standardised(new, x)).argmax(1)

    found["seeds"] = {name: [] for name in held}
    for _ in range(SEEDS):
        some = np.flatnonzero(learn)[draw.random(int(learn.sum())) < 0.8]
        right = said(z[layer][some], y[some], z[layer]) == y
        for name, part in held.items():
            found["seeds"][name].append(int(right[part].sum()))

    found["copies"] = {}
    reported, learned = draw.permutation(np.flatnonzero(report)), draw.permutation(np.flatnonzero(learn))
    mirrored = features(lab, "noto", "mirrored")[layer]
    for share in COPIED:
        n = round(share * len(reported))
        for name, copied in (("of reported", reported[:n]), ("of learned", learned[len(learned) - n :])):
            x, labels = z[layer].copy(), y.copy()
            x[learned[:n]], labels[learned[:n]] = mirrored[copied], y[copied]  # so as many as before are learned from
            right = said(x[learn], labels[learn], z[layer][report]) == y[report]
            found["copies"][f"{name}, {share}"] = int(right.sum())

    # Faces are half of what is labelled.
    face = list(lab.data["noto"].classes).index("face") if "face" in lab.data["noto"].classes else 0
    few = [i for c in np.unique(y) if c != face for i in np.flatnonzero(learn & (y == c))[:RARE]]
    skewed = np.sort([*np.flatnonzero(learn & (y == face)), *few])
    counts = np.bincount(y[skewed], minlength=y.max() + 1)
    even = 1 / counts[y[skewed]]
    found["recalls"] = {}
    for name, weights in (("as they are", None), ("classes weighed alike", even * len(even) / even.sum())):
        right = said(z[layer][skewed], y[skewed], z[layer], weights) == y
        out = choose_by | report
        found["recalls"][name] = {str(c): [int(right[out & (y == c)].sum()), int((out & (y == c)).sum())]
                                  for c in np.unique(y)}  # fmt: skip
    found["recalls"]["face"] = int(face)
    return found


def way(job: Way, lab: Lab) -> dict[str, Any]:
    """A classifier for ink's test emoji, and how it does on pictures that it did not learn from."""
    home = "ink" if job.method == "target only" else "noto"
    _, y, groups = development(lab.data[home])
    inside, labels = to_learn(groups, job.seed).numpy(), y.numpy()
    z, new = features(lab, home, "development")[job.layer], features(lab, "ink", "test")[job.layer]
    # Without a label: ink's training and validation pictures say what is usual in ink.
    by = features(lab, "ink", "development")[job.layer] if job.method == "own statistics" else z[inside]
    x = standardised(z, z[inside])
    (score,) = ridge(x[inside], labels[inside], [job.penalty])
    scores = score(x[~inside])
    return {
        "val_accuracy": round(float((scores.argmax(1) == labels[~inside]).mean()), 5),
        "val_loss": round(squared_error(scores, labels[~inside]), 5),
        "predictions": as_letters(torch.from_numpy(score(standardised(new, by)).argmax(1))),
    }


DEPENDS = (
    cut, way, ridge, standardised, squared_error, features, development, to_learn, as_letters, xk.extract_features,
    LAYERS, PENALTIES, PARTS, USUAL, SEEDS, COPIED, RARE,
)  # fmt: skip


def settings(plan: Plan) -> dict[str, Any]:
    return asdict(plan) | {
        "layers": LAYERS, "penalties": PENALTIES, "parts": PARTS, "usual": USUAL, "draws": SEEDS, "copied": COPIED,
        "rare": RARE, "grid": SMALL, "classes": xk.load_domain("emoji_noto", image_size=8).classes,
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    given = options(__doc__ or "", arguments)
    plan = Plan(cuts=1, seeds=1, settings=1, image_size=32) if given.smoke else Plan()
    xk.setup(0)
    torch.set_num_threads(1)
    domains = {style: xk.load_domain(f"emoji_{style}", image_size=plan.image_size) for style in ("noto", "ink")}
    if given.smoke:
        domains = {style: taste(domain, 8) for style, domain in domains.items()}
    lab = Lab(__file__, run, depends=DEPENDS, data=domains | {"network": xk.backbone()}, smoke=given.smoke)
    jobs = plan.jobs()
    records = [record for record in lab.run(jobs) if record["part"] == "bounds"]
    chosen = choose(records)
    # Everything is settled: now, and only now, the test labels.
    test: dict[str, list[float]] = {}
    for record in records:
        if record["setting"] == chosen[record["method"]]:
            test.setdefault(record["method"], []).append(balanced(record["predictions"], domains["ink"].test.y))
    selection = {"rule": RULE, "chosen": chosen}
    lab.publish(question=QUESTION, settings=settings(plan), selection=selection, test={"ink": test})


if __name__ == "__main__":
    main()
