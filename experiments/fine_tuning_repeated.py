"""Do the findings of fine_tuning.py hold with five other seeds and wider grids?

    python experiments/fine_tuning_repeated.py             about half an hour on one core
    python experiments/fine_tuning_repeated.py --smoke     seconds; keeps nothing

In fine_tuning.py two settings lay at an edge of their grids, and LP-FT from a softer probe was added when test
accuracies had been read. Here the same training is repeated with seeds that it did not have; its grids go on where
a choice lay at their edge; and the margins were written before the first of these runs:

- held statistics lead moving ones on near styles by more than 2 points (whole network; 95 % interval);
- LP-FT from the softer probe leads the probe on near styles by more than 0 points (95 % interval);
- away from the source, fine-tuning minus probe is more than −7 points, and LP-FT minus fine-tuning less than 10.

The test emoji are the same, so this repeats the seeds and not the pictures.

All three held. Result: balanced accuracy on test emoji, mean ± deviation over 5 seeds: head only, whole network and
LP-FT reach 61.6 ± 1.3, 59.0 ± 7.8 and 64.0 ± 2.2 % on noto, 46.8 ± 1.1, 48.0 ± 6.5 and 50.3 ± 3.1 % on the mean of
three near styles, 30.6 ± 1.2, 36.2 ± 5.9 and 35.4 ± 3.6 % in ink.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import fine_tuning as first
from fine_tuning import SOFTER, Job, choose, read_test, run
from lab import Lab, options, taste

import xferkit as xk

QUESTION = "Do the findings of fine_tuning.py hold with five other seeds and wider grids?"
DEPENDS = first.DEPENDS
PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
RATES = {
    "whole network": (1e-4, 3e-4, 1e-3, 3e-3),
    "LP-FT": (1e-5, 3e-5, 1e-4, 3e-4, 1e-3),
    "whole network, statistics move": (3e-4, 1e-3, 3e-3, 1e-2),
}
SOFTER_RATES = (1e-4, 3e-4, 1e-3, 3e-3)


@dataclass(frozen=True)
class Plan(first.Plan):
    seeds: tuple[int, ...] = (5, 6, 7, 8, 9)
    penalties: tuple[float, ...] = PENALTIES

    def probes(self) -> list[Job]:
        return [self.job("head only", penalty, seed, None) for seed in self.seeds for penalty in self.penalties]

    def tuned(self, penalty: float) -> list[Job]:
        """Seed by seed, LP-FT from the probe with this penalty."""
        return [
            self.job(method, rate, seed, penalty) for seed in self.seeds for method, rates in RATES.items()
            for rate in rates
        ]  # fmt: skip

    def softer(self) -> list[Job]:
        return [self.job("LP-FT", rate, seed, SOFTER) for seed in self.seeds for rate in SOFTER_RATES]


SMOKE = Plan(styles=("noto", "twemoji"), image_size=32, steps=1, seeds=(0,), penalties=(1e-2,))


def settings(plan: Plan) -> dict[str, Any]:
    kept = ("source", "styles", "image_size", "steps", "seeds", "penalties")
    return {name: value for name, value in asdict(plan).items() if name in kept} | {
        "rates": RATES, "softer_rates": SOFTER_RATES, "softer_penalty": SOFTER,
        "all_else": "as in fine_tuning.json",
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    plan = SMOKE if options(__doc__ or "", arguments).smoke else Plan()
    smoke = plan is SMOKE
    xk.setup(0)
    domains = {style: xk.load_domain(f"emoji_{style}", image_size=plan.image_size) for style in plan.styles}
    if smoke:
        domains = {style: taste(domain, 2) for style, domain in domains.items()}
    lab = Lab(__file__, run, depends=DEPENDS, data=domains | {"network": xk.backbone()}, smoke=smoke)

    probes = plan.probes()
    penalty = choose(lab.run(probes))["head only"]
    grid, softer = probes + plan.tuned(penalty), plan.softer()
    chosen = choose(lab.run(grid))
    rate = choose(lab.run(softer))["LP-FT"]

    # Everything is settled: now, and only now, the test labels.
    jobs = [job for job in grid if job.setting == chosen[job.method]] + [job for job in softer if job.setting == rate]
    test = read_test(lab, jobs, domains, plan)
    selection = {"rule": first.RULE, "chosen": chosen | {"LP-FT, softer probe": rate}}
    lab.publish(question=QUESTION, settings=settings(plan), selection=selection, test=test)


if __name__ == "__main__":
    main()
