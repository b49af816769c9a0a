"""Does domain-adversarial training carry MNIST over to MNIST-M, and how much hangs on normalisation?

    python experiments/dann_mnist_m.py              every run, about half an hour on one core
    python experiments/dann_mnist_m.py --released   the same question with the released MNIST-M pictures

Three methods (source only, DANN, target only) with the network of Ganin et al. (2016, Fig. 4a), without normalisation,
with BatchNorm and with instance normalisation; schedules as in the paper. BatchNorm also with source and target passed
through the encoder apart from each other. Everything is trained first. The normalisation is then chosen by label-free
scores on unlabelled target pictures, and the target's test labels are read last, in one call.

Each finished run is written to results/ at once and its weights to data/experiments/ (which git ignores), so that an
interrupted script goes on where it stopped.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

import xferkit as xk
from xferkit.alignment import dann

ROOT = Path(__file__).resolve().parent.parent
STEPS = 1000
BATCH = 64  # of each domain
LR0, MOMENTUM, GAMMA, LAMBDA_MAX = 0.01, 0.9, 10.0, 1.0
MEASURE_EVERY = 100
SEEDS, MORE_SEEDS = (0, 1, 2), (3, 4)
NORMS = ("none", "batch", "instance")
DANN_NORMS = (*NORMS, "batch_apart")
SCORES = {"im": xk.selection.im_score, "snd": xk.selection.snd_score, "entropy": xk.selection.entropy_score}


def load(released: bool) -> tuple[xk.Domain, xk.Domain]:
    """Source and target. `released` needs XFERKIT_DATA/mnist_m; the source stays the small MNIST."""
    os.environ["XFERKIT_PROFILE"] = "small"
    source = xk.load_domain("mnist")
    if released:
        os.environ["XFERKIT_PROFILE"] = "full"
    return source, xk.load_domain("mnist_m")


def dann_loss(
    model: xk.Classifier, disc: nn.Module, batch: tuple[Tensor, Tensor, Tensor], lam: float, apart: bool
) -> dict[str, Tensor]:
    """One step's loss. `apart` passes the domains through the encoder one by one, so BatchNorm never mixes them."""
    x_s, y_s, x_t = batch
    if apart:
        z_s, z_t = model.features(x_s), model.features(x_t)
    else:
        z_s, z_t = model.features(torch.cat([x_s, x_t])).split([len(x_s), len(x_t)])
    label = F.cross_entropy(model.head(z_s), y_s)
    domain = dann.loss(disc, z_s, z_t, lam)
    return {"loss": label + domain, "label": label, "domain": domain}


def measure(model: xk.Classifier, source: xk.Domain, target: xk.Domain) -> dict[str, float]:
    """What may be looked at during a run, and what may not: the oracle reads the target's validation labels."""
    logits = xk.predict(model, target.val.x).logits
    row = {"source_val": xk.evaluate(model, source.val).accuracy}
    row |= {name: score(logits) for name, score in SCORES.items()}
    row["oracle_target_val"] = (logits.argmax(1) == target.val.y).float().mean().item()
    return row


def train(
    method: str, norm: str, seed: int, source: xk.Domain, target: xk.Domain, steps: int
) -> tuple[xk.Classifier, dict[str, Any]]:
    """One run: the trained network and what was recorded on the way."""
    xk.seed_everything(seed)
    generator = torch.Generator().manual_seed(seed)
    model = xk.models.lenet(norm=norm.removesuffix("_apart")).to(xk.device())
    disc = dann.DomainDiscriminator(xk.models.feature_dim(model)).to(xk.device())
    trace: list[dict[str, float]] = []

    def loss_fn(net: xk.Classifier, batch: Any, p: float) -> Tensor | dict[str, Tensor]:
        if round(p * steps) % MEASURE_EVERY == 0:
            trace.append({"step": round(p * steps), **measure(net, source, target)})
        if method != "dann":
            return xk.supervised_loss(net, batch, p)
        return dann_loss(net, disc, batch, LAMBDA_MAX * dann.lambda_ramp(p, gamma=GAMMA), norm.endswith("_apart"))

    parameters = [*model.parameters(), *disc.parameters()] if method == "dann" else [*model.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=LR0, momentum=MOMENTUM)
    batches: Any
    if method == "dann":
        batches = xk.paired_batches(source.train, target.train, BATCH, generator=generator)
    else:
        split = (source if method == "source" else target).train
        batches = xk.TensorLoader(split.x, split.y, BATCH, shuffle=True, generator=generator)
    history = xk.fit(model, batches, loss_fn, optimizer, steps, schedule=xk.schedules.inverse_decay, progress=False)
    trace.append({"step": steps, **measure(model, source, target)})
    record: dict[str, Any] = {"method": method, "norm": norm, "seed": seed, "trace": trace}
    thin = {k: [float(np.mean(part)) for part in np.array_split(v, 40)] for k, v in history.items()}
    record["curves"] = {k: [round(value, 4) for value in values] for k, values in thin.items()}
    record |= discriminators(model, disc if method == "dann" else None, source, target, seed)
    return model, record


def discriminators(
    model: xk.Classifier, disc: nn.Module | None, source: xk.Domain, target: xk.Domain, seed: int
) -> dict[str, float]:
    """How well the domains can be told apart in the features, on validation pictures: by the run's own discriminator,
    by a fresh one trained on the frozen features, and by the linear one behind the proxy A-distance."""
    z_s, z_t = xk.predict(model, source.val.x).features, xk.predict(model, target.val.x).features
    row = {"a_distance": xk.metrics.a_distance(z_s, z_t, seed=seed)}
    if disc is not None:
        row["own_discriminator"] = domain_accuracy(disc.cpu(), z_s, z_t)
    train_s = xk.predict(model, source.train.x).features
    train_t = xk.predict(model, target.train.x[: len(train_s)]).features
    row["fresh_discriminator"] = domain_accuracy(fresh_discriminator(train_s, train_t, seed), z_s, z_t)
    return row


def fresh_discriminator(z_s: Tensor, z_t: Tensor, seed: int, steps: int = 600) -> nn.Module:
    """A discriminator trained on frozen features, standardised so that no scale is too small to learn from."""
    torch.manual_seed(seed)
    both = torch.cat([z_s, z_t])
    mean, std = both.mean(0), both.std(0) + 1e-4
    disc = dann.DomainDiscriminator(z_s.shape[1])
    optimizer = torch.optim.Adam(disc.parameters(), lr=1e-3)
    for _ in range(steps):
        i, j = torch.randint(len(z_s), (128,)), torch.randint(len(z_t), (128,))
        loss = dann.loss(disc, (z_s[i] - mean) / std, (z_t[j] - mean) / std, 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    first = disc[0]
    assert isinstance(first, nn.Linear)
    with torch.no_grad():  # fold the standardisation into the first layer, so that it takes raw features
        first.weight.div_(std)
        first.bias.sub_(first.weight @ mean)
    return disc


@torch.no_grad()
def domain_accuracy(disc: nn.Module, z_s: Tensor, z_t: Tensor) -> float:
    """Share of features sent to the right domain, both domains weighing the same."""
    return 0.5 * ((disc(z_s) < 0).float().mean() + (disc(z_t) >= 0).float().mean()).item()


@torch.no_grad()
def with_target_statistics(model: xk.Classifier, x: Tensor) -> xk.Classifier:
    """A copy whose BatchNorm statistics are the average over batches of unlabelled target pictures (Li et al. 2018)."""
    adapted = copy.deepcopy(model)
    for part in adapted.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
            part.momentum = None  # a plain average over all batches
    adapted.train()
    for batch, _ in xk.TensorLoader(x, torch.zeros(len(x)), 250):
        adapted.features(batch)
    return adapted.eval()


def choose(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The normalisation that each score picks for DANN: the best mean over the common seeds at the last step.

    BatchNorm with the domains apart is in the table, but no candidate: it was trained after the choice."""
    picks: dict[str, Any] = {"table": {}}
    for norm in DANN_NORMS:
        last = [r["trace"][-1] for r in runs if (r["method"], r["norm"]) == ("dann", norm) and r["seed"] in SEEDS]
        if last:
            picks["table"][norm] = {k: float(np.mean([row[k] for row in last])) for k in last[0] if k != "step"}
    candidates = [norm for norm in NORMS if norm in picks["table"]]
    for score in ("source_val", *SCORES, "oracle_target_val"):
        picks[score] = max(candidates, key=lambda norm: picks["table"][norm][score])
    return picks


def jobs_before_the_choice() -> list[tuple[str, str, int]]:
    """Source only and DANN for every normalisation; the upper bound for the paper's network."""
    methods = {norm: ("source", "dann", "target") if norm == "none" else ("source", "dann") for norm in NORMS}
    return [(method, norm, seed) for seed in SEEDS for norm in NORMS for method in methods[norm]]


def jobs_after_the_choice(chosen: str) -> list[tuple[str, str, int]]:
    """The chosen one's upper bound, its further seeds, and BatchNorm with the domains apart."""
    bound = [("target", chosen, seed) for seed in SEEDS]
    more = [(method, chosen, seed) for seed in MORE_SEEDS for method in ("source", "dann", "target")]
    return bound + more + [("dann", "batch_apart", seed) for seed in SEEDS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--released", action="store_true", help="target: the released MNIST-M under XFERKIT_DATA")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--only", nargs=3, metavar=("METHOD", "NORM", "SEED"), help="train this one and store nothing")
    parser.add_argument("--finish", action="store_true", help="train nothing more: choose and test with what is there")
    options = parser.parse_args()
    session = xk.setup(0)
    source, target = load(options.released)
    if options.only:
        method, norm, seed = options.only
        print(json.dumps(train(method, norm, int(seed), source, target, options.steps)[1], indent=1))
        return
    name = "dann_mnist_m" + ("_released" if options.released else "")
    out, cache = ROOT / "results" / f"{name}.json", ROOT / "data" / "experiments" / name
    settings = {
        "source": f"{source}, small profile",
        "target": f"{target}, {'released' if options.released else 'small profile'}",
        "steps": options.steps, "batch_of_each_domain": BATCH, "lr0": LR0, "momentum": MOMENTUM, "gamma": GAMMA,
        "lambda_max": LAMBDA_MAX, "seeds": SEEDS, "more_seeds_for_the_chosen": MORE_SEEDS, "chosen_by": "im",
    }  # fmt: skip
    settings = json.loads(json.dumps(settings))  # as it reads from the file: lists, not tuples
    result: dict[str, Any] = {"question": __doc__.splitlines()[0], "settings": settings, "runs": []}
    if out.exists():
        stored = json.loads(out.read_text())
        if stored["settings"] != result["settings"]:
            raise SystemExit(f"{out} was made with other settings. Delete it to start over.")
        result["runs"] = stored["runs"]
    where = {"device": session.device.type, "threads": torch.get_num_threads(), "machine": platform.machine()}
    result["environment"] = where | session.versions

    def run_all(todo: list[tuple[str, str, int]]) -> None:
        for method, norm, seed in tqdm(todo, unit="run", desc=name):
            weights = cache / f"{method}_{norm}_{seed}.pt"
            old = next((r for r in result["runs"] if (r["method"], r["norm"], r["seed"]) == (method, norm, seed)), None)
            if old and weights.exists():
                continue
            model, record = train(method, norm, seed, source, target, options.steps)
            cache.mkdir(parents=True, exist_ok=True)
            torch.save(model.state_dict(), weights)
            result["runs"] = [r for r in result["runs"] if r is not old] + [record]
            out.write_text(json.dumps(result, indent=1) + "\n")

    if not options.finish:
        run_all(jobs_before_the_choice())
    result["selection"] = choose(result["runs"])
    if not options.finish:
        run_all(jobs_after_the_choice(result["selection"][settings["chosen_by"]]))
        result["selection"] = choose(result["runs"])  # the same choice; the table now has the last variant too

    models: dict[str, list[xk.Classifier]] = {}
    for r in sorted(result["runs"], key=lambda r: r["seed"]):
        model = xk.models.lenet(norm=r["norm"].removesuffix("_apart"))
        model.load_state_dict(torch.load(cache / f"{r['method']}_{r['norm']}_{r['seed']}.pt", map_location="cpu"))
        models.setdefault(f"{r['method']}/{r['norm']}", []).append(model.to(xk.device()).eval())
    for key in ("source/batch", "dann/batch", "dann/batch_apart"):
        if key in models:
            adapted = [with_target_statistics(m, target.train.x) for m in models[key]]
            models[f"{key}+target_statistics"] = adapted
    result["test"] = {
        "target": xk.final_test(models, target, question="DANN and normalisation"),
        "source": xk.final_test(models, source, question="what DANN costs on the source"),
    }
    out.write_text(json.dumps(result, indent=1) + "\n")
    for key, values in result["test"]["target"].items():
        print(f"{key:<36} {100 * np.mean(values):5.1f} ± {100 * np.std(values, ddof=1):.1f} %  ({len(values)} seeds)")


if __name__ == "__main__":
    main()
