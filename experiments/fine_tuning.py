"""Seven ways to give an ImageNet network a new task, on the designer it was tuned for and on four it never saw.

    python experiments/fine_tuning.py        writes results/fine_tuning.json, and resumes where it was stopped

EfficientNet-Lite0 learns the subgroups of EmojiStyles from one designer's pictures and is then shown the same test
emoji as drawn by that designer (in distribution) and by the others (out of distribution). Every method gets the same
grid of five settings, tried once on a seed of its own and judged on source pictures that this seed does not learn
from. The seeds that are reported differ in the labelled pictures drawn, in the order of batches and in the head's
first weights.

Test labels are read once, after the last run: a run stores what the network said, not whether it was right.
The whole takes about an hour and a half on one CPU core.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor
from tqdm import tqdm

import xferkit as xk

OUT = Path(__file__).resolve().parent.parent / "results" / "fine_tuning.json"

STYLES = ("noto", "twemoji", "openmoji", "fluent", "fluent_flat")
SOURCE, SECOND_SOURCE = "noto", "twemoji"
IMAGE_SIZE = 96
STEPS = 40
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
LAYER_DECAY = 0.5
LAST_BLOCKS = ("stage7", "top")
SHARE = 0.8  # of the source's training pictures, drawn anew by each seed
TUNING_SEED = 100
SEEDS = (0, 1, 2, 3, 4)
CURVE_SEEDS = (0, 1, 2)
CURVE_LABELS, CURVE_STEPS = (2, 5), (20, 30)
LONGER = 3  # times the steps, for a network from scratch

SETTINGS = {
    "network": "efficientnet_lite0, ImageNet weights (scratch: the same network, fresh weights)",
    "source": SOURCE, "second_source": SECOND_SOURCE, "styles": STYLES, "image_size": IMAGE_SIZE,
    "steps": STEPS, "batch_size": 32, "optimizer": "AdamW, weight decay 1e-4, cosine with 10 % warm-up",
    "rates": RATES, "penalties": PENALTIES, "layer_decay": LAYER_DECAY, "last_blocks": LAST_BLOCKS,
    "share": SHARE, "tuning_seed": TUNING_SEED, "seeds": SEEDS,
    "curve_seeds": CURVE_SEEDS, "curve_labels": CURVE_LABELS, "curve_steps": CURVE_STEPS, "longer": LONGER,
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One training: `setting` is the learning rate, or the probe's penalty; `labels` a class, None for the share."""

    part: str
    method: str
    source: str
    labels: int | None
    setting: float
    seed: int

    @property
    def key(self) -> str:
        return f"{self.part}/{self.method}/{self.source}/{self.labels or 'all'}/{self.setting:g}/{self.seed}"


# ------------------------------------------------------------------------------------------------------- the methods
# Each takes (model, train, val, setting, penalty, steps, seed) and leaves the model trained.


def hold_statistics(model: xk.Classifier) -> None:
    """BatchNorm keeps its running statistics and uses them in training too; every parameter may still move."""
    for parameter in xk.tuning.freeze(model.features).parameters():
        parameter.requires_grad_(True)


def reset(model: xk.Classifier) -> None:
    """Fresh random weights everywhere."""
    for part in model.modules():
        if callable(fresh := getattr(part, "reset_parameters", None)):
            fresh()


def scratch(
    model: xk.Classifier, train: xk.Split, val: xk.Split, lr: float, penalty: float, steps: int, seed: int
) -> None:
    reset(model)
    xk.tuning.finetune(model, train, steps=steps, lr=lr, seed=seed)


def scratch_longer(
    model: xk.Classifier, train: xk.Split, val: xk.Split, lr: float, penalty: float, steps: int, seed: int
) -> None:
    reset(model)
    xk.tuning.finetune(model, train, steps=LONGER * steps, lr=lr, seed=seed)


def head_only(
    model: xk.Classifier, train: xk.Split, val: xk.Split, setting: float, penalty: float, steps: int, seed: int
) -> None:
    xk.tuning.linear_probe(model, train, val, l2s=(setting,))


def last_blocks(
    model: xk.Classifier, train: xk.Split, val: xk.Split, lr: float, penalty: float, steps: int, seed: int
) -> None:
    xk.tuning.freeze(model.features)
    for name in LAST_BLOCKS:
        xk.tuning.unfreeze(model.features.get_submodule(name))
    xk.tuning.finetune(model, train, steps=steps, lr=lr, seed=seed)


def whole(
    model: xk.Classifier, train: xk.Split, val: xk.Split, lr: float, penalty: float, steps: int, seed: int
) -> None:
    xk.tuning.finetune(model, train, steps=steps, lr=lr, seed=seed)


def discriminative(
    model: xk.Classifier, train: xk.Split, val: xk.Split, lr: float, penalty: float, steps: int, seed: int
) -> None:
    xk.tuning.finetune(model, train, steps=steps, lr=lr, layer_decay=LAYER_DECAY, seed=seed)


def gradual(
    model: xk.Classifier, train: xk.Split, val: xk.Split, lr: float, penalty: float, steps: int, seed: int
) -> None:
    xk.tuning.gradual_unfreeze(model, train, steps=steps, lr=lr, seed=seed)


def probe_then_tune(
    model: xk.Classifier, train: xk.Split, val: xk.Split, lr: float, penalty: float, steps: int, seed: int
) -> None:
    xk.tuning.linear_probe(model, train, val, l2s=(penalty,))
    xk.tuning.finetune(model, train, steps=steps, lr=lr, seed=seed)


def whole_bn_held(
    model: xk.Classifier, train: xk.Split, val: xk.Split, lr: float, penalty: float, steps: int, seed: int
) -> None:
    hold_statistics(model)
    xk.tuning.finetune(model, train, steps=steps, lr=lr, seed=seed)


def probe_then_tune_bn_held(
    model: xk.Classifier, train: xk.Split, val: xk.Split, lr: float, penalty: float, steps: int, seed: int
) -> None:
    xk.tuning.linear_probe(model, train, val, l2s=(penalty,))
    hold_statistics(model)
    xk.tuning.finetune(model, train, steps=steps, lr=lr, seed=seed)


METHODS: dict[str, Callable[[xk.Classifier, xk.Split, xk.Split, float, float, int, int], None]] = {
    "scratch": scratch,
    "head only": head_only,
    "last blocks": last_blocks,
    "whole network": whole,
    "discriminative rates": discriminative,
    "gradual unfreezing": gradual,
    "LP-FT": probe_then_tune,
    "whole network, BN held": whole_bn_held,
    "LP-FT, BN held": probe_then_tune_bn_held,
    "scratch, longer": scratch_longer,
}
TUNED = tuple(m for m in METHODS if m != "scratch, longer")  # which takes the rate of the short one
KUMAR_METHODS = ("head only", "whole network", "LP-FT", "whole network, BN held", "LP-FT, BN held")
CURVE_METHODS = ("head only", "whole network", "LP-FT, BN held")


def grid(method: str) -> tuple[float, ...]:
    return PENALTIES if method == "head only" else RATES


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


def joined(a: xk.Split, b: xk.Split) -> xk.Split:
    return xk.Split(torch.cat([a.x, b.x]), torch.cat([a.y, b.y]))


def moved(before: Tensor, after: Tensor) -> dict[str, float]:
    """How far (N, D) features of the same pictures went: mean distance over mean length, and linear CKA."""
    distance = (after - before).norm(dim=1).mean() / before.norm(dim=1).mean()
    return {"distance": round(distance.item(), 5), "cka": round(xk.metrics.linear_cka(before, after), 5)}


def execute(run: Run, domains: dict[str, xk.Domain], original: dict[str, Tensor], penalty: float) -> dict[str, Any]:
    started = time.perf_counter()
    domain = domains[run.source]
    xk.seed_everything(run.seed)
    model = xk.tuning.replace_head(xk.backbone(), len(domain.classes))
    train, left = labelled(domain.train, run.labels, run.seed)
    val = joined(domain.val, left)
    steps = STEPS if run.labels is None else CURVE_STEPS[CURVE_LABELS.index(run.labels)]
    METHODS[run.method](model, train, val, run.setting, penalty, steps, run.seed)
    on_train, on_val = xk.evaluate(model, train), xk.evaluate(model, val)
    record = asdict(run) | {
        "train_pictures": len(train), "val_pictures": len(val),
        "train_accuracy": round(on_train.accuracy, 5), "train_loss": round(on_train.loss, 5),
        "val_accuracy": round(on_val.accuracy, 5), "val_loss": round(on_val.loss, 5),
    }  # fmt: skip
    if run.part != "tune":
        said = {style: xk.predict(model, domains[style].test) for style in STYLES}
        record["predictions"] = {s: "".join(chr(97 + c) for c in p.logits.argmax(1).tolist()) for s, p in said.items()}
        record["moved"] = {style: moved(original[style], p.features) for style, p in said.items()}
    return record | {"seconds": round(time.perf_counter() - started, 1)}


def accuracy(said: str, y: Tensor) -> float:
    """The share of right answers; class c is written as the c-th letter."""
    return float((torch.tensor([ord(letter) - 97 for letter in said]) == y).float().mean())


# -------------------------------------------------------------------------------------------------------- the plan


def save(results: dict[str, Any]) -> None:
    OUT.parent.mkdir(exist_ok=True)
    draft = OUT.with_suffix(".tmp")
    draft.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, OUT)


def fingerprint(domains: dict[str, xk.Domain]) -> str:
    """A checksum of every picture and label in use, so that results cannot outlive their data."""
    digest = hashlib.sha256()
    for domain in domains.values():
        for split in (domain.train, domain.val, domain.test):
            digest.update(split.x.numpy().tobytes())
            digest.update(split.y.numpy().tobytes())
    return digest.hexdigest()


def load(data: str) -> dict[str, Any]:
    fresh = {
        "script": "experiments/fine_tuning.py",
        "data_sha256": data, "settings": json.loads(json.dumps(SETTINGS)),
        "environment": {
            "python": platform.python_version(), "torch": torch.__version__, "timm": timm.__version__,
            "machine": platform.machine(), "device": str(xk.device()), "threads": torch.get_num_threads(),
        },
        "chosen": {}, "runs": {},
    }  # fmt: skip
    if not OUT.is_file():
        return fresh
    stored: dict[str, Any] = json.loads(OUT.read_text(encoding="utf-8"))
    if any(stored[key] != fresh[key] for key in ("settings", "data_sha256")):
        raise SystemExit(f"{OUT} was made with other settings or pictures. Delete it to start anew.")
    return stored


def choose(results: dict[str, Any], method: str) -> float:
    """The setting with the best accuracy on held-out source pictures; a tie goes to the lower loss."""
    tried = [r for r in results["runs"].values() if r["part"] == "tune" and r["method"] == method]
    assert len(tried) == len(grid(method))
    best = max(tried, key=lambda r: (r["val_accuracy"], -r["val_loss"]))
    return float(best["setting"])


def plan(chosen: dict[str, float]) -> list[Run]:
    """The runs that are reported, the most telling first, in case time runs out."""

    def final(part: str, methods: Sequence[str], source: str, labels: int | None, seeds: Sequence[int]) -> list[Run]:
        return [Run(part, m, source, labels, chosen[m], seed) for seed in seeds for m in methods]

    def reported(seeds: Sequence[int]) -> list[Run]:
        others = [m for m in TUNED if m not in (*KUMAR_METHODS, "scratch")]
        return final("main", KUMAR_METHODS, SOURCE, None, seeds) + final("main", others, SOURCE, None, seeds)

    first, rest = SEEDS[: len(CURVE_SEEDS)], SEEDS[len(CURVE_SEEDS) :]
    curve = [run for n in CURVE_LABELS for run in final("curve", CURVE_METHODS, SOURCE, n, CURVE_SEEDS)]
    longer = final("main", ["scratch, longer"], SOURCE, None, CURVE_SEEDS)
    second = final("second", KUMAR_METHODS, SECOND_SOURCE, None, CURVE_SEEDS)
    return reported(first) + curve + longer + reported(rest) + second


def main() -> None:
    domains = {style: xk.load_domain(f"emoji_{style}", image_size=IMAGE_SIZE) for style in STYLES}
    encoder = xk.backbone()
    original = {style: xk.predict(encoder, domain.test).features for style, domain in domains.items()}
    results = load(fingerprint(domains))
    runs, chosen = results["runs"], results["chosen"]
    with tqdm(total=len(TUNED) * len(RATES) + len(plan(dict.fromkeys(METHODS, 0.0))), unit="run") as bar:

        def ensure(run: Run) -> None:
            bar.set_postfix_str(run.key)
            if run.key not in runs:
                runs[run.key] = execute(run, domains, original, chosen.get("head only", 0.0))
                save(results)
            bar.update()

        for method in sorted(TUNED, key=lambda m: m != "head only"):  # LP-FT needs the probe's penalty
            for setting in grid(method):
                ensure(Run("tune", method, SOURCE, None, setting, TUNING_SEED))
            chosen[method] = choose(results, method)
        chosen["scratch, longer"] = chosen["scratch"]
        for run in plan(chosen):
            ensure(run)

    # Everything is settled: now, and only now, the test labels.
    for record in runs.values():
        if record["part"] != "tune":
            record["accuracy"] = {
                style: round(accuracy(said, domains[style].test.y), 5) for style, said in record["predictions"].items()
            }
    save(results)
    print(f"{len(runs)} runs, {sum(r['seconds'] for r in runs.values()) / 60:.0f} minutes of computing, in {OUT.name}")


if __name__ == "__main__":
    main()
