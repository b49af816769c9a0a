"""Does a deeper net fit its own training set better, with and without shortcuts?

    python experiments/plain_vs_residual.py     about 4 minutes on one core

Plain and residual nets of He et al. (2016a, §4.2) with equal parameters, depths 8, 20, 32 and 56, width 8, on MNIST's
3,500 training digits at 16×16 pixels; three seeds; depths 20 and 56 also with a smaller learning rate, since a rate
that suits one net may be wrong for another. What is asked is the error on the *training* set; the validation error
stands beside it. No test label is read.

Each finished run is written to results/plain_vs_residual.json at once, and is not repeated by a later call.
"""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from tqdm import tqdm

import xferkit as xk

RESULT = Path(__file__).resolve().parent.parent / "results" / "plain_vs_residual.json"
DEPTHS, SEEDS = (8, 20, 32, 56), (0, 1, 2)
SETTINGS = {
    "domain": "mnist",
    "image_size": 16,
    "width": 8,
    "steps": 150,
    "batch": 64,
    "lr": 0.1,
    "smaller_lr": 0.03,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "schedule": "linear rise over a tenth, then half a cosine",
}
EVERY = 20  # steps averaged into one point of the loss curve


def run(domain: xk.Domain, depth: int, residual: bool, seed: int, lr: float) -> dict[str, Any]:
    """Train one net; its errors in [0, 1] on the training and validation set, and its loss curve."""
    xk.seed_everything(seed)
    net = xk.models.mini_resnet(depth=depth, width=8, residual=residual).to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(seed)
    batches = xk.TensorLoader(domain.train.x, domain.train.y, 64, shuffle=True, generator=generator)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9, weight_decay=1e-4)
    began = time.perf_counter()
    steps = int(SETTINGS["steps"])
    loss = xk.fit(net, batches, xk.supervised_loss, optimizer, steps, schedule=xk.schedules.cosine, progress=False)[
        "loss"
    ]
    return {
        "depth": depth,
        "residual": residual,
        "seed": seed,
        "lr": lr,
        "parameters": sum(p.numel() for p in net.parameters()),
        "train_error": 1 - xk.evaluate(net, domain.train).accuracy,
        "val_error": 1 - xk.evaluate(net, domain.val).accuracy,
        "loss": [round(fmean(loss[i : i + EVERY]), 4) for i in range(0, steps, EVERY)],
        "seconds": round(time.perf_counter() - began, 1),
    }


def main() -> None:
    xk.setup(0)
    domain = xk.load_domain("mnist", image_size=16)
    record: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.is_file() else {"runs": []}
    if record["runs"] and record["settings"] != SETTINGS:
        raise SystemExit(f"{RESULT} was made with other settings: move it away first.")
    record = {
        "question": "does a deeper net fit its own training set better, with and without shortcuts?",
        "settings": SETTINGS,
        "every": EVERY,
        "environment": {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "threads": torch.get_num_threads(),
        },
        "runs": record["runs"],
    }
    plan = [(depth, residual, seed, 0.1) for seed in SEEDS for depth in DEPTHS for residual in (False, True)]
    plan += [(depth, residual, seed, 0.03) for seed in SEEDS for depth in (20, 56) for residual in (False, True)]
    done = {(r["depth"], r["residual"], r["seed"], r["lr"]) for r in record["runs"]}
    for job in tqdm([job for job in plan if job not in done], desc="nets", unit="net"):
        record["runs"].append(run(domain, *job))
        RESULT.write_text(json.dumps(record, indent=1) + "\n")
        last = record["runs"][-1]
        tqdm.write(f"{job}: training error {last['train_error']:.3f}, validation error {last['val_error']:.3f}")


if __name__ == "__main__":
    main()
