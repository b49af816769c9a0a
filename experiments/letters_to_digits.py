"""How much is a network that knows letters worth when digits are to be learned from few labels?

    python experiments/letters_to_digits.py     about 6 minutes on one core

Targets: MNIST and SynDigits; 5, 10, 20 and 50 labels a class; three seeds, which draw labels and initial weights. Four
methods with one architecture: the letters' features frozen under a linear probe, the same fine-tuned, the net from
scratch, and a probe on the frozen features of an untrained net. The learning rate of fine-tuning and of training
from scratch is chosen from the same three, for each target, on validation digits (seed 0, 20 labels a class); so is
the probe's penalty. The test labels are read last, in one call for each target.

Trained nets are kept in data/experiments/letters_to_digits/, so that an interrupted script goes on where it stopped.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from tqdm import tqdm

import xferkit as xk

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "results" / "letters_to_digits.json"
KEPT = ROOT / "data" / "experiments" / "letters_to_digits"
TARGETS, COUNTS, SEEDS = ("mnist", "syn_digits"), (5, 10, 20, 50), (0, 1, 2)
METHODS = ("fine-tuned", "from scratch", "frozen, linear probe", "untrained, linear probe")
RATES = (1e-3, 3e-3, 1e-2)
STEPS, BATCH = 60, 32


def train(domain: xk.Domain, method: str, count: int, seed: int, lr: float | None) -> xk.Classifier:
    """One net. `lr` is None for the probes, whose penalty is chosen on the validation digits."""
    file = KEPT / f"{domain.name}-{METHODS.index(method)}-{count}-{seed}-{lr}.safetensors"
    xk.seed_everything(seed)
    net = xk.models.mini_resnet(pretrained=method in ("fine-tuned", "frozen, linear probe"))
    if file.is_file():
        load_model(net, file)
        return net
    labelled = xk.few_labels(domain.train, count, torch.Generator().manual_seed(seed))
    if lr is None:
        xk.tuning.linear_probe(net, labelled, domain.val)
    else:
        xk.tuning.finetune(net, labelled, steps=STEPS, lr=lr, batch_size=BATCH, seed=seed)
    KEPT.mkdir(parents=True, exist_ok=True)
    save_model(net.to(memory_format=torch.contiguous_format), str(file))
    return net


def main() -> None:
    xk.setup(0)
    record: dict[str, Any] = {
        "question": "how much is a network that knows letters worth when digits are to be learned from few labels?",
        "settings": {"steps": STEPS, "batch": BATCH, "rates": RATES, "counts": COUNTS, "seeds": SEEDS},
        "environment": {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "threads": torch.get_num_threads(),
        },
        "rate_chosen": {},
        "validation_of_rates": {},
        "test_accuracy": {},
    }
    for name in TARGETS:
        domain = xk.load_domain(name)
        chosen: dict[str, float | None] = dict.fromkeys(METHODS)
        for method in METHODS[:2]:
            scores = {lr: xk.evaluate(train(domain, method, 20, 0, lr), domain.val).accuracy for lr in RATES}
            chosen[method] = max(RATES, key=lambda lr: scores[lr])
            record["validation_of_rates"].setdefault(name, {})[method] = {str(lr): a for lr, a in scores.items()}
        record["rate_chosen"][name] = chosen
        plan = [(method, count) for count in COUNTS for method in METHODS]
        nets = {
            f"{method}|{count}": [train(domain, method, count, seed, chosen[method]) for seed in SEEDS]
            for method, count in tqdm(plan, desc=name, unit="setting")
        }
        scores_read = xk.final_test(nets, domain, question="letters to digits")
        record["test_accuracy"][name] = {
            method: {str(count): scores_read[f"{method}|{count}"] for count in COUNTS} for method in METHODS
        }
        RESULT.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
