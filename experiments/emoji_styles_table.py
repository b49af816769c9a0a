"""What does a change of style cost a probe on frozen ImageNet features, for each pair of EmojiStyles' six styles?

    python experiments/emoji_styles_table.py            about 23 minutes on one core, which others used too
    python experiments/emoji_styles_table.py --smoke    seconds; keeps nothing

A logistic regression on EfficientNet-Lite0's features (stage6, pool) learns the classes from one style and is shown
other emoji in all six. Only the training and validation parts are used, never the test part: four folds keep near twins
together, and every emoji is predicted once, by the probe of the folds that lack it. The penalty is chosen inside, on
the source style's pictures alone. Three seeds, which draw the folds.

Result: balanced accuracy of the probe on stage6, mean ± deviation over 3 seeds: 65.9 ± 0.4 % within a style, 52.7 ±
0.3 % from one colour style to another, 39.4 ± 1.7 % from colour to ink and 36.4 ± 1.2 % from ink to colour.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from lab import Lab, Outcome, options, taste
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor, nn

import xferkit as xk
from xferkit.data.emoji import SECOND, STYLES
from xferkit.report import accuracy, balanced_accuracy

QUESTION = (
    "What does a change of style cost a probe on frozen ImageNet features, for each pair of EmojiStyles' six styles?"
)
RULE = (
    "for each outer fold the penalty with the best accuracy over inner folds of the source style's pictures, grouped "
    "as the outer ones; ties go to the lower cross-entropy; each run says what was chosen"
)


@dataclass(frozen=True)
class Plan:
    """What is compared, and with which settings."""

    styles: tuple[str, ...] = STYLES
    layers: tuple[str, ...] = ("stage6", "pool")
    seeds: tuple[int, ...] = (0, 1, 2)
    penalties: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0)
    folds: int = 4
    inner_folds: int = 3
    image_size: int = 128

    def jobs(self) -> list[Job]:
        fixed = (self.penalties, self.folds, self.inner_folds)
        return [Job(layer, s, seed, *fixed) for layer in self.layers for s in self.styles for seed in self.seeds]


SMOKE = Plan(styles=("noto", "ink"), layers=("pool",), seeds=(0,), penalties=(0.1, 1.0), folds=2, image_size=32)


@dataclass(frozen=True)
class Job:
    """A row of the table: a probe on one layer, learned from one style, with one draw of the folds."""

    layer: str
    source: str
    seed: int
    penalties: tuple[float, ...]
    folds: int
    inner_folds: int


@functools.cache
def features(lab: Lab, style: str) -> dict[str, Tensor]:
    """{layer: (N, D)} of the training and validation emoji in one style."""
    domain = lab.data[style]
    pictures = torch.cat([domain.train.x, domain.val.x])
    return xk.extract_features(lab.data["network"], pictures, layers=["stage6", "pool"])


def folds(y: Tensor, groups: Tensor, n: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Positions to learn from and to look at: no group in both, classes as even as groups allow."""
    cut = StratifiedGroupKFold(n, shuffle=True, random_state=seed).split(np.zeros(len(y)), y.numpy(), groups.numpy())
    return [(torch.from_numpy(a), torch.from_numpy(b)) for a, b in cut]


def probe(z: Tensor, y: Tensor, classes: int, penalty: float) -> nn.Linear:
    return xk.tuning.fit_logistic(z, y, classes, l2=penalty).requires_grad_(False)


def choose_penalty(z: Tensor, y: Tensor, groups: Tensor, classes: int, job: Job) -> float:
    """By `RULE`, from what an outer fold may learn from."""
    right, loss = dict.fromkeys(job.penalties, 0), dict.fromkeys(job.penalties, 0.0)
    for inside, held_out in folds(y, groups, job.inner_folds, job.seed):
        for penalty in job.penalties:
            logits = probe(z[inside], y[inside], classes, penalty)(z[held_out])
            right[penalty] += int((logits.argmax(1) == y[held_out]).sum())
            loss[penalty] += float(F.cross_entropy(logits, y[held_out], reduction="sum"))
    return max(job.penalties, key=lambda p: (right[p], -loss[p]))


def run(job: Job, lab: Lab) -> Outcome:
    """Every emoji predicted in every style by the probe of the folds that lack its group."""
    domain = lab.data[job.source]
    y, groups = (torch.cat([getattr(part, name) for part in (domain.train, domain.val)]) for name in ("y", "groups"))
    styles = [name for name, part in lab.data.items() if isinstance(part, xk.Domain)]
    said = {style: torch.empty_like(y) for style in styles}
    chosen = []
    for inside, held_out in folds(y, groups, job.folds, job.seed):
        z = features(lab, job.source)[job.layer][inside]
        penalty = choose_penalty(z, y[inside], groups[inside], len(domain.classes), job)
        head = probe(z, y[inside], len(domain.classes), penalty)
        for style in styles:
            said[style][held_out] = head(features(lab, style)[job.layer][held_out]).argmax(1)
        chosen.append(penalty)
    return {
        "chosen": chosen,
        "accuracy": {style: round(accuracy(s, y), 5) for style, s in said.items()},
        "balanced_accuracy": {style: round(balanced_accuracy(s, y), 5) for style, s in said.items()},
        "predictions": {style: as_letters(s) for style, s in said.items()},
    }


def as_letters(classes: Tensor) -> str:
    """Class c as the c-th letter."""
    return "".join(chr(ord("a") + c) for c in classes.tolist())


DEPENDS = (
    features, folds, probe, choose_penalty, as_letters, xk.extract_features, xk.tuning.fit_logistic, accuracy,
    balanced_accuracy,
)  # fmt: skip


def settings(plan: Plan) -> dict[str, Any]:
    return asdict(plan) | {
        "network": "efficientnet_lite0, ImageNet weights, frozen",
        "parts": "train and val",
        "index_sha256": SECOND.index_sha256,  # of the edition of EmojiStyles
    }


def show(records: Sequence[dict[str, Any]], plan: Plan) -> None:
    """Mean over seeds, in per cent: accuracy / balanced accuracy."""
    for layer in plan.layers:
        print(f"\n{layer:12}" + "".join(f"{s:>14}" for s in plan.styles))
        for source in plan.styles:
            rows = [r for r in records if (r["layer"], r["source"]) == (layer, source)]
            kinds = ("accuracy", "balanced_accuracy")
            cells = (" / ".join(f"{100 * np.mean([r[k][s] for r in rows]):.1f}" for k in kinds) for s in plan.styles)
            print(f"{source:12}" + "".join(f"{cell:>14}" for cell in cells))


def main(arguments: list[str] | None = None) -> None:
    given = options(__doc__ or "", arguments)
    plan = SMOKE if given.smoke else Plan()
    xk.setup(0)
    domains = {style: xk.load_domain(f"emoji_{style}", image_size=plan.image_size) for style in plan.styles}
    if given.smoke:
        domains = {style: taste(domain) for style, domain in domains.items()}
    lab = Lab(__file__, run, depends=DEPENDS, data=domains | {"network": xk.backbone()}, smoke=given.smoke)
    show(lab.run(plan.jobs()), plan)
    lab.publish(question=QUESTION, settings=settings(plan), selection={"rule": RULE}, test=None)


if __name__ == "__main__":
    main()
