"""How often does a 95 % interval hold the true difference of two methods, and what is found where there is none?

    python experiments/simulated_studies.py            about seven minutes on one core, which others used too
    python experiments/simulated_studies.py --smoke    seconds; keeps nothing

Two methods answer the same pictures, by several seeds. Whether an answer is right comes from a sum of normal numbers:
how easy the picture is, how easy it is for this method, how lucky the seed was, and chance. So the true difference over
all seeds and pictures is known, and each way to make an interval can be judged by how often it holds the truth. The
bootstrap is that of `xferkit.report`, with its draws. Three more questions have jobs of their own: seeds that share one
pool of labelled examples, many rivals that are no better than a baseline, and pictures that come in groups.

Result: of 600 simulated studies with usual seeds, an interval over seeds alone holds the truth in 72 % with 10 seeds,
one over seeds and pictures in 97 %; with 2 wild seeds the latter holds it in 80 %.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from lab import Lab, options
from scipy.stats import norm, t

import xferkit as xk

QUESTION = (
    "How often does a 95 % interval hold the true difference of two methods, and what is found where there is none?"
)
EASE, TASTE, CHANCE = 1.0, 0.5, 0.5  # deviations: of pictures, of pictures for one method, of single answers
ACCURACY = 0.65  # of the second method
WORLDS = {"usual": 0.07, "wild": 0.20}  # how much seeds differ
LEVEL = 0.95
DIMENSIONS, USED, DISTANCE = 20, 5, 0.25  # of the pool's examples; the second method looks at a quarter of them
POOL, SHARE = 60, 0.8


@dataclass(frozen=True)
class Job:
    """Many studies of one kind. `gap` is the true difference in accuracy."""

    part: str
    world: str
    seeds: int
    pictures: int
    gap: float
    studies: int
    draws: int
    rivals: int = 1
    group: int = 1  # pictures that are as easy as one another


@dataclass(frozen=True)
class Plan:
    studies: int = 600
    draws: int = 500
    seeds: tuple[int, ...] = (2, 3, 5, 10, 20)

    def jobs(self) -> list[Job]:
        size = {"studies": self.studies, "draws": self.draws}
        jobs = [Job("coverage", world, s, 250, 0.05, **size) for world in WORLDS for s in self.seeds]
        jobs += [Job("pool", pool, 10, 250, 0.0, **size) for pool in ("one pool", "a pool for each seed")]
        jobs += [Job("rivals", "usual", 10, 250, 0.0, self.studies, 2 * self.draws, rivals=20)]
        return jobs + [Job("groups", "usual", 10, 250, 0.05, **size, group=5)]


# ------------------------------------------------------------------------------------------------------ the intervals


@functools.cache
def times(n: int, draws: int, stream: int) -> np.ndarray:
    """(draws, n) how often each of n is drawn."""
    return np.random.default_rng(stream).multinomial(n, np.full(n, 1 / n), size=draws).astype(float)


@functools.cache
def both(seeds: int, pictures: int, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """The draws of `xferkit.report.interval`: of seeds first, then of pictures."""
    rng = np.random.default_rng(0)
    counts = [rng.multinomial(n, np.full(n, 1 / n), size=draws).astype(float) for n in (seeds, pictures)]
    return counts[0], counts[1]


def means(right: np.ndarray, seeds: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """(draws,) of (S, N), judged on the drawn seeds and pictures."""
    return ((seeds @ right) * pictures).sum(1) / right.size


def ends(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def stretch(seeds: int) -> float:
    """By how much Student's interval for so few values is wider than the normal one of their plain deviation."""
    return float(t.ppf(0.5 + LEVEL / 2, seeds - 1) / norm.ppf(0.5 + LEVEL / 2) * np.sqrt(seeds / (seeds - 1)))


def intervals(a: np.ndarray, b: np.ndarray, draws: int, group: int = 1) -> dict[str, tuple[float, float]]:
    """The ends of every kind of interval for mean(a) − mean(b)."""
    gap, (s, n) = a - b, a.shape
    apart = [means(x, times(s, draws, i), times(n, draws, i + 1)) for x, i in ((a, 1), (b, 3))]
    in_groups = gap.reshape(s, n // group, group).mean(2)
    by_seed, by_picture = both(s, n // group, draws)
    found = {
        "seeds": ends(by_seed @ gap.mean(1) / s),
        "pictures": ends(by_picture @ in_groups.mean(0) / (n // group)),
        "both": ends(means(in_groups, by_seed, by_picture)),
        "unpaired": ends(apart[0] - apart[1]),
        "ungrouped": ends(means(gap, times(s, draws, 5), times(n, draws, 6))),
    }
    low, high = found["both"]
    found["stretched"] = tuple(gap.mean() + stretch(s) * (end - gap.mean()) for end in (low, high))  # type: ignore
    first, second = map(ends, apart)
    # Two bars that do not meet: their lower and upper ends, compared as if they were an interval of the difference.
    found["two bars"] = (first[0] - second[1], first[1] - second[0])
    return found


# -------------------------------------------------------------------------------------------------------- the studies


def answers(job: Job, rng: np.random.Generator) -> list[np.ndarray]:
    """Right (1) or wrong (0), (S, N), of the rivals and, last, of the baseline."""
    spread = np.sqrt(EASE**2 + TASTE**2 + CHANCE**2 + WORLDS[job.world] ** 2)
    groups = job.pictures // job.group
    ease = np.repeat(EASE * rng.standard_normal(groups), job.group)
    found = []
    for accuracy in [ACCURACY + job.gap] * job.rivals + [ACCURACY]:
        level = spread * norm.ppf(accuracy) + ease + np.repeat(TASTE * rng.standard_normal(groups), job.group)
        luck = WORLDS[job.world] * rng.standard_normal((job.seeds, 1))
        found.append((level + luck + CHANCE * rng.standard_normal((job.seeds, job.pictures)) > 0).astype(float))
    return found


def pooled(job: Job, rng: np.random.Generator) -> list[np.ndarray]:
    """Class means as classifiers of two clouds, learned by every seed from four fifths of a pool of examples."""
    centre = np.full(DIMENSIONS, DISTANCE)
    sign = rng.choice([-1.0, 1.0], job.pictures)
    new = sign[:, None] * centre + rng.standard_normal((job.pictures, DIMENSIONS))
    right: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    shared = rng.standard_normal((POOL, DIMENSIONS))
    for _ in range(job.seeds):
        noise = shared if job.world == "one pool" else rng.standard_normal((POOL, DIMENSIONS))
        some = rng.permutation(POOL)[: round(SHARE * POOL)]
        examples = centre + noise[some]  # of the one class; the other's, mirrored, are the same to a mean through 0
        for used, said in zip((DIMENSIONS, USED), right, strict=True):
            said.append((new[:, :used] @ examples[:, :used].mean(0) * sign > 0).astype(float))
    return [np.array(said) for said in right]


def true_gap(job: Job) -> float:
    """Known by construction, or, for the pool, by the formula for each of many classifiers."""
    if job.part != "pool":
        return job.gap
    rng, centre, found = np.random.default_rng(1), np.full(DIMENSIONS, DISTANCE), []
    for used in (DIMENSIONS, USED):
        w = centre[:used] + rng.standard_normal((100_000, used)) / np.sqrt(round(SHARE * POOL))
        found.append(norm.cdf(w @ centre[:used] / np.linalg.norm(w, axis=1)).mean())
    return float(found[0] - found[1])


def run(job: Job, lab: Lab) -> dict[str, Any]:
    rng, truth = np.random.default_rng(12345), true_gap(job)
    if job.part == "rivals":
        return against_many(job, rng)
    make: Callable[..., list[np.ndarray]] = pooled if job.part == "pool" else answers
    holds: dict[str, int] = {}
    found: dict[str, int] = {}
    width: dict[str, float] = {}
    for _ in range(job.studies):
        a, b = make(job, rng)
        for name, (low, high) in intervals(a, b, job.draws, job.group).items():
            holds[name] = holds.get(name, 0) + (low <= truth <= high)
            found[name] = found.get(name, 0) + (low > 0)
            width[name] = width.get(name, 0.0) + (high - low) / 2
    share = {name: round(count / job.studies, 5) for name, count in holds.items()}
    return {
        "truth": round(truth, 5), "holds": share, "found": {n: round(c / job.studies, 5) for n, c in found.items()},
        "half_width": {n: round(w / job.studies, 5) for n, w in width.items()}, "deviation": deviation(job),
    }  # fmt: skip


def against_many(job: Job, rng: np.random.Generator) -> dict[str, Any]:
    """How often one or more of the first m rivals seem better than an equal baseline, with and without correction."""
    counts = (1, 2, 5, 10, job.rivals)
    once = {kind: dict.fromkeys(map(str, counts), 0) for kind in ("seeds alone", "each at 95 %", "divided")}
    by = both(job.seeds, job.pictures, job.draws)
    for _ in range(job.studies):
        *rivals, base = answers(job, rng)
        drawn = np.array([means(rival - base, *by) for rival in rivals])  # (rivals, draws)
        by_seed = np.array([by[0] @ (rival - base).mean(1) for rival in rivals])
        for m in counts:
            ways = ((by_seed, 1 - LEVEL), (drawn, 1 - LEVEL), (drawn, (1 - LEVEL) / m))
            for kind, (values, out) in zip(once, ways, strict=True):
                once[kind][str(m)] += bool((np.quantile(values[:m], out / 2, axis=1) > 0).any())
    return {kind: {m: round(n / job.studies, 5) for m, n in found.items()} for kind, found in once.items()}


def deviation(job: Job) -> float | None:
    """Of a seed's accuracy over all pictures."""
    if job.part == "pool":
        return None
    rest = np.sqrt(EASE**2 + TASTE**2 + CHANCE**2)
    luck = WORLDS[job.world] * np.random.default_rng(2).standard_normal(100_000)
    level = np.sqrt(rest**2 + WORLDS[job.world] ** 2) * norm.ppf(ACCURACY)
    return round(float(norm.cdf((level + luck) / rest).std()), 5)


DEPENDS = (
    times, both, means, ends, stretch, intervals, answers, pooled, true_gap, against_many, deviation, EASE, TASTE,
    CHANCE, ACCURACY, WORLDS, LEVEL, DIMENSIONS, USED, DISTANCE, POOL, SHARE,
)  # fmt: skip


def settings(plan: Plan) -> dict[str, Any]:
    return asdict(plan) | {
        "deviations": [EASE, TASTE, CHANCE], "accuracy": ACCURACY, "worlds": WORLDS, "level": LEVEL,
        "pool": [POOL, SHARE, DIMENSIONS, USED, DISTANCE],
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    given = options(__doc__ or "", arguments)
    plan = Plan(studies=4, draws=100, seeds=(2, 3)) if given.smoke else Plan()
    xk.setup(0)
    lab = Lab(__file__, run, depends=DEPENDS, data={}, smoke=given.smoke)
    lab.run(plan.jobs())
    lab.publish(question=QUESTION, settings=settings(plan))


if __name__ == "__main__":
    main()
