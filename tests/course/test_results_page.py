"""The files in results/: aggregates follow from runs, settings and pictures are today's, page and headers say so."""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xferkit as xk
from scripts import build_results
from tests.places import RESULTS, ROOT
from xferkit import results
from xferkit._schema import save

NAMES = sorted(path.stem for path in RESULTS.glob("*.json"))


def script(name: str) -> Any:
    return importlib.import_module(name)


def test_page_is_up_to_date() -> None:
    assert build_results.main(["--check"]) == 0


def test_page_notices_a_changed_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = RESULTS / "plain_vs_residual.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["runs"][0]["result"]["train_error"] += 0.01
    (tmp_path / path.name).write_text(json.dumps(record))
    monkeypatch.setenv("XFERKIT_RESULTS", str(tmp_path))
    with pytest.raises(ValueError, match="changed since it was written"):
        build_results.section(path)
    save(record, tmp_path / path.name)  # with a new checksum
    monkeypatch.setenv("XFERKIT_RESULTS", str(tmp_path))
    changed = build_results.section(path)
    monkeypatch.delenv("XFERKIT_RESULTS")
    assert changed != build_results.section(path)
    page = build_results.PAGE.read_text(encoding="utf-8")
    assert changed not in page and build_results.section(path) in page


@pytest.mark.parametrize("name", NAMES)
def test_every_file_follows_the_schema_and_is_read(name: str) -> None:
    found = results.load(name)
    assert (ROOT / found.script).is_file() and Path(found.script).stem == name.removesuffix("_released")
    assert name in build_results.HEADLINES, f"scripts/build_results.py has no headline for {name}"
    assert "not recorded" not in str(found.environment["threads"]) or "carried_over" in found.environment


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("benchmark")])
def test_header_repeats_the_headline(name: str) -> None:
    found = results.load(name)
    sentence = " ".join(build_results.HEADLINES[name](found)[0].split())
    assert f"Result: {sentence}" in build_results.header_of(ROOT / found.script)
    assert found.question == script(Path(found.script).stem).QUESTION


def test_benchmark_tables_compare_within_rounds() -> None:
    class Found:
        def __init__(self, runs: list[dict[str, Any]]) -> None:
            self.all = runs

        def runs(self, **where: Any) -> list[dict[str, Any]]:
            return [run for run in self.all if all(run[k] == v for k, v in where.items())]

    runs = [
        {"task": "dann", "way": way, "round": r, "clock_ms": ms * (1 + r), "user_ms": ms, "system_ms": ms * r,
         "steps_per_second": 1000 / ms}
        for r in (2, 1, 0)
        for way, ms in (("xferkit", 20.0), ("by hand", 25.0))
    ]  # fmt: skip
    table = build_results.benchmark_step(Found(runs))[1]
    assert re.search(r"dann +\| xferkit +\| +50\.0 \| +1\.25 \| +1\.25 \| +3 \|", table), table
    ways = {"bare": 2.0, "not kept": 1.0, "kept": 4.0, "found again": 0.5, "import": 0.25}
    passes = [
        {"batch_size": 16, "round": r, **{w: {"clock": s * (1 + r), "processor": s} for w, s in ways.items()}}
        for r in range(3)
    ]
    table = build_results.benchmark_extraction(Found(passes))[1]
    assert re.search(r"not kept, batches of 16 +\| +2\.00 \| +2\.00 \| +3 \|", table), table
    assert re.search(r"kept, batches of 16 +\| +0\.50 \|", table) and re.search(r"import.* 0\.50 \| +0\.25 \|", table)
    both = {"ours": 1.0, "plain": 1.5}
    passes = [
        {"network": "vgg", "round": r, **{n: {"clock": s * (1 + r), "processor": s} for n, s in both.items()}}
        for r in range(5)
    ]
    nets = Found(passes)
    nets.settings = {"networks": ["vgg"]}
    assert re.search(r"mini_vgg +\| +1\.50 \| +1\.50 \| +5 \|", build_results.benchmark_networks(nets)[1])


# --------------------------------------------------------------------------------- aggregates follow from the runs


def by_group(runs: list[dict[str, Any]], label: Any, field: str = "accuracy") -> dict[str, dict[str, list[float]]]:
    """Domain ↦ group ↦ accuracies in the order of seeds."""
    test: dict[str, dict[str, list[float]]] = {}
    for run in sorted(runs, key=lambda run: run["seed"]):
        for domain, value in run.get(field, {}).items():
            test.setdefault(domain, {}).setdefault(label(run), []).append(value)
    return test


def as_said(
    found: results.Results, home: Any, plan: Any, chosen: dict[str, float], rate: float
) -> list[dict[str, Any]]:
    """The runs that are reported: accuracies are those of what was said about the emoji of today."""
    labels = {s: xk.load_domain(f"emoji_{s}", image_size=8).test.y for s in found.settings["styles"]}
    reported = [run for run in found.runs() if "balanced_accuracy" in run]
    for run in reported:
        said = {s: home.balanced(text, labels[s]) for s, text in run["predictions"].items()}
        assert run["balanced_accuracy"] == said
        wanted = rate if run["penalty"] == home.SOFTER else chosen[run["method"].removesuffix(", longer")]
        assert run["setting"] == wanted
    fields = {field.name for field in dataclasses.fields(home.Job)}
    name = lambda run: home.group(home.Job(**{k: v for k, v in run.items() if k in fields}), plan)  # noqa: E731
    assert found.test == by_group(reported, name, "balanced_accuracy")
    return reported


def test_fine_tuning_aggregates() -> None:
    found, home, plan = results.load("fine_tuning"), script("fine_tuning"), script("fine_tuning").Plan()
    assert found.selection is not None and found.test is not None
    usual = found.runs(source=plan.source, pixels="right", steps=plan.steps)
    chosen = home.choose([run for run in usual if run["penalty"] != home.SOFTER])
    rate = home.choose([run for run in usual if run["penalty"] == home.SOFTER])["LP-FT"]
    assert found.selection["chosen"] == chosen | {"LP-FT, softer probe": rate}
    # What is planned is there, neither more nor less, with the settings chosen.
    jobs = plan.grid(home.TUNED, chosen["head only"])
    assert same_jobs(found, [*jobs, *plan.beside(chosen), *plan.softer()])
    reported = as_said(found, home, plan, chosen, rate)
    assert len(reported) == (len(home.TUNED) + 1) * len(plan.seeds) + len(plan.beside(chosen))
    assert set(home.Pixels.CHANGES) == set(build_results.OTHER_PIXELS)


def test_fine_tuning_repeated_aggregates() -> None:
    found, home = results.load("fine_tuning_repeated"), script("fine_tuning")
    plan = script("fine_tuning_repeated").Plan()
    assert found.selection is not None
    chosen = home.choose([run for run in found.runs() if run["penalty"] != home.SOFTER])
    rate = home.choose(found.runs(penalty=home.SOFTER))["LP-FT"]
    assert found.selection["chosen"] == chosen | {"LP-FT, softer probe": rate}
    assert same_jobs(found, [*plan.probes(), *plan.tuned(chosen["head only"]), *plan.softer()])
    assert not {*plan.seeds} & {*home.Plan().seeds}, "no seed has been looked at before"
    assert len(as_said(found, home, plan, chosen, rate)) == (len(chosen) + 1) * len(plan.seeds)


def test_frozen_features_aggregates() -> None:
    found, home = results.load("frozen_features"), script("frozen_features")
    plan, usual = home.Plan(), found.runs(shape="mean")
    at_pool = home.choose([run for run in usual if run["method"] == "ImageNet" and run["layer"] == "pool"])
    best = home.choose(usual)
    assert found.selection is not None
    assert (found.selection["chosen"], found.selection["at_pool"]) == (best, at_pool["ImageNet"])
    chosen = [run for run in usual if (run["method"], run["setting"]) == ("ImageNet", best["ImageNet"])]
    assert {(run["layer"], run["penalty"]) for run in chosen} == {
        (found.selection["layer"], found.selection["penalty"])
    }
    y = xk.load_domain("emoji_noto", image_size=8).test.y  # the same emoji in every style
    settings = best | {"ImageNet, pool": at_pool["ImageNet"]}
    test: dict[str, dict[str, list[float]]] = {}
    for name, setting in settings.items():
        method = name.removesuffix(", pool")
        for run in sorted(usual, key=lambda run: run["seed"]):
            if (run["method"], run["setting"]) == (method, setting):
                for style, said in run["predictions"].items():
                    test.setdefault(style, {}).setdefault(name, []).append(home.balanced(said, y))
    assert found.test == test
    fitted = [run for run in found.runs() if "shape" in run]
    assert len(fitted) == len(plan.probes()) and {run["seed"] for run in fitted} == set(plan.seeds)


@pytest.mark.parametrize("name", ["dann_mnist_m", "dann_mnist_m_released"])
def test_dann_aggregates(name: str) -> None:
    found = results.load(name)
    home, released = script("dann_mnist_m"), name.endswith("_released")
    named = home.Plan().jobs(released)
    done = {label: found.runs(name=label) for label in named}
    assert same_jobs(found, [job for jobs in named.values() for job in jobs])
    assert found.selection == home.choose(done) and found.test is not None
    if released:  # those pictures are not at hand, and what was said is kept of a part of them
        return
    labels = home.as_digits(xk.load_domain("mnist_m").test.y)
    for label, runs in done.items():
        for reading in home.READINGS:
            right = [sum(map(str.__eq__, run["said"][reading], labels)) / len(labels) for run in runs]
            column = found.test["target"][label if reading == "averaged" else f"{label}, {reading}"]
            assert column == pytest.approx(right, abs=1e-6)


def test_letters_to_digits_aggregates() -> None:
    found = results.load("letters_to_digits")
    plan, methods = script("letters_to_digits").Plan(), script("letters_to_digits").TRAINED
    assert found.selection is not None and found.test == by_group(
        found.runs(), lambda run: f"{run['method']}|{run['count']}"
    )
    jobs = []
    for target, tried in found.selection["validation_of_rates"].items():
        for method in methods:
            at = {"target": target, "method": method, "count": plan.rate_count, "seed": plan.rate_seed}
            runs = found.runs(**at)
            assert tried[method] == {str(r["lr"]): r["val_accuracy"] for r in runs if "val_accuracy" in r}
            best = max(tried[method], key=tried[method].get)
            assert found.selection["rate_chosen"][target][method] == float(best)
            jobs += [plan.job(target, method, plan.rate_count, plan.rate_seed, lr) for lr in plan.rates]
        jobs += [
            plan.job(target, method, count, seed, lr)
            for count in plan.counts
            for method, lr in found.selection["rate_chosen"][target].items()
            for seed in plan.seeds
        ]
    assert same_jobs(found, jobs)


def test_running_statistics_aggregates() -> None:
    found, home, plan = (
        results.load("running_statistics"),
        script("running_statistics"),
        script("running_statistics").Plan(),
    )
    assert found.selection is not None
    jobs = plan.tuned()
    chosen = home.choose([run for run in found.runs() if run["method"].split(",")[0] not in ("few", "cost")])
    assert found.selection["chosen"] == chosen
    jobs += plan.beside(chosen["probe, noto"])
    assert same_jobs(found, jobs)
    y = xk.load_domain("emoji_noto", image_size=8).test.y  # the same emoji in every style
    runs = {tuple(run[f.name] for f in dataclasses.fields(home.Job)): run for run in found.runs()}
    assert found.test == home.read_test([(job, runs[dataclasses.astuple(job)]) for job in jobs], chosen, y)
    other = results.load("fine_tuning").selection
    assert other is not None and plan.tuning_rate == other["chosen"]["whole network, statistics move"]


def test_plain_vs_residual_is_whole() -> None:
    found, home = results.load("plain_vs_residual"), script("plain_vs_residual")
    plan = home.Plan()
    assert same_jobs(found, plan.jobs())
    assert found.selection == {"rule": home.RULE, "rate": home.choose(found.runs())}
    points = -(-plan.steps // found.settings["every"])
    assert {len(run["loss"]) for run in found.runs()} == {points}
    assert len({run["parameters"] for run in found.runs(depth=20)}) == 1  # shortcuts have no parameters


def test_measuring_transfer_aggregates() -> None:
    found, home = results.load("measuring_transfer"), script("measuring_transfer")
    runs = found.runs(part="bounds")
    chosen = home.choose(runs)
    assert found.selection == {"rule": home.RULE, "chosen": chosen}
    y = xk.load_domain("emoji_ink", image_size=8).test.y
    test: dict[str, list[float]] = {}
    for run in sorted((r for r in runs if r["setting"] == chosen[r["method"]]), key=lambda run: run["seed"]):
        test.setdefault(run["method"], []).append(home.balanced(run["predictions"], y))
    assert found.test == {"ink": test}
    ways, cuts = ([j for j in home.Plan().jobs() if isinstance(j, kind)] for kind in (home.Way, home.Cut))
    assert sorted(map(repr, ways)) == sorted(repr(home.Way(**{f: r[f] for f in vars(ways[0])})) for r in runs)
    assert [cut.seed for cut in cuts] == [run["seed"] for run in found.runs(part="cut")]


def test_what_transfers_aggregates() -> None:
    found, home = results.load("what_transfers"), script("what_transfers")
    assert same_jobs(found, home.Plan().jobs())
    y = xk.load_domain("emoji_noto", image_size=8).test.y
    assert found.selection == {"rule": home.RULE, "chosen": home.chosen(found.runs())}
    assert found.test == {"noto": home.read_test(found.runs(), y)}


def test_simulated_studies_are_whole() -> None:
    found, plan = results.load("simulated_studies"), script("simulated_studies").Plan()
    assert same_jobs(found, plan.jobs()) and found.test is None


def test_moons_tour_is_whole() -> None:
    found, home = results.load("moons_tour"), script("moons_tour")
    plan = home.Plan()
    there = [(run["lam"], run["seed"], run["steps"], tuple(run["stops"]), run["lr"]) for run in found.runs()]
    assert there == [(job.lam, job.seed, job.steps, job.stops, job.lr) for job in plan.jobs()]
    stops = {*map(str, plan.stops), home.AVERAGED}
    assert all(set(run["tour"]) == stops for run in found.runs())
    for seed in plan.seeds:
        (noted,) = (run for run in found.runs(seed=seed) if "source" in run)
        x_s, _, x_t, _ = home.Moons(plan).of(seed)
        assert (noted["source"], noted["target"]) == (home.rounded(x_s), home.rounded(x_t))


def test_pretrained_checkpoint_is_the_one_in_the_package() -> None:
    (run,) = results.load("pretrain_mini_resnet").runs()
    assert (xk.models.resnet.ASSETS / f"{xk.models.resnet.MINI_RESNET_FILE}.sha256").read_text().split()[0] == run[
        "sha256"
    ]


def same_jobs(found: results.Results, jobs: list[Any]) -> bool:
    """Exactly these jobs are in the file."""
    fields = list(jobs[0].__dataclass_fields__)
    wanted = [tuple(getattr(job, field) for field in fields) for job in dict.fromkeys(jobs)]
    there = [tuple(run[field] for field in fields) for run in found.runs()]
    return sorted(wanted, key=repr) == sorted(there, key=repr)


# ------------------------------------------------------------------------------- settings and pictures are today's


PLANNED = [
    "fine_tuning", "fine_tuning_repeated", "frozen_features", "letters_to_digits", "plain_vs_residual",
    "pretrain_mini_resnet", "moons_tour", "measuring_transfer", "simulated_studies", "running_statistics",
    "what_transfers",
]  # fmt: skip


@pytest.mark.parametrize("name", PLANNED)
def test_settings_are_those_of_the_script(name: str) -> None:
    home = script(name)
    assert results.load(name).settings == json.loads(json.dumps(home.settings(home.Plan())))


def test_settings_of_dann_are_those_of_the_script() -> None:
    home = script("dann_mnist_m")
    data = {"source": xk.load_domain("mnist"), "target": xk.load_domain("mnist_m")}
    wanted = home.settings(home.Plan(), data, "small profile")
    assert results.load("dann_mnist_m").settings == json.loads(json.dumps(wanted))


def test_pictures_are_those_that_the_results_were_made_with() -> None:
    """Where this fails, the data have changed since: the script has to run again (for letters, drawing takes long)."""
    fingerprint = importlib.import_module("provenance").fingerprint
    plan = script("fine_tuning").Plan()
    emoji = {s: xk.load_domain(f"emoji_{s}", image_size=plan.image_size) for s in plan.styles}
    frozen = script("frozen_features").Plan()
    drawings = {s: xk.load_domain(f"emoji_{s}", image_size=frozen.image_size) for s in frozen.styles}
    mnist, letters = xk.load_domain("mnist"), xk.models.mini_resnet(pretrained=True).features
    size = script("plain_vs_residual").Plan().image_size
    data = {
        "fine_tuning": emoji | {"network": xk.backbone()},
        "fine_tuning_repeated": emoji | {"network": xk.backbone()},
        "frozen_features": drawings | {"network": xk.backbone()},
        "letters_to_digits": {"mnist": mnist, "syn_digits": xk.load_domain("syn_digits"), "letters": letters},
        "plain_vs_residual": {"mnist": xk.load_domain("mnist", image_size=size)},
        "running_statistics": {s: emoji[s] for s in script("running_statistics").Plan().styles}
        | {"network": xk.backbone()},
        "measuring_transfer": {s: drawings[s] for s in ("noto", "ink")} | {"network": xk.backbone()},
        "what_transfers": {s: drawings[s] for s in ("noto", "twemoji", "ink")}
        | {"small": xk.load_domain("emoji_noto", image_size=script("what_transfers").SIDE), "network": xk.backbone()},
        "moons_tour": {"moons": script("moons_tour").Moons(script("moons_tour").Plan())},
        "dann_mnist_m": {"source": mnist, "target": xk.load_domain("mnist_m")},
    }
    changed = [name for name, parts in data.items() if fingerprint(parts) != results.load(name).data_sha256]
    assert changed == []


def test_figures_of_the_page_are_shares_of_a_hundred() -> None:
    text = build_results.PAGE.read_text(encoding="utf-8")
    cells = re.findall(r"(\d+\.\d) \[(\d+\.\d), (\d+\.\d)\]", text)
    assert len(cells) > 50
    assert all(0 <= low <= mean <= high <= 100 for mean, low, high in np.array(cells, float))
