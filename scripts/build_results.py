"""Write book/results.md from the files in results/: each script's question, its headline numbers, where they are read.

python scripts/build_results.py           write the page
python scripts/build_results.py --check   only say whether it is up to date (exit code 1 if not)

Every number is computed from the single runs. What a script's header says of its result is the sentence on the page.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from xferkit import results
from xferkit._schema import NOT_RECORDED
from xferkit.report import gap_closed, interval, markdown_table, mean_sd
from xferkit.results import Results, Run

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "book" / "results.md"
HEAD = """# Results

Some comparisons take longer than a chapter may: many seeds, or many settings. For these a script in `experiments/`
does the work once and writes a file in `results/`. The chapter reads the file with `xferkit.results`, says so, and
runs a shorter version live beside it. Each script begins with its question, can be stopped and called again, and runs
in seconds with `--smoke`.

A figure is a mean with its 95 % bootstrap interval over the seeds, whose number stands in the column n; the test
pictures are the same for all. The interval of three seeds lies within what the three gave: read it as their range.
Each file holds every run with its settings, the checksum of the data, and what it was computed with. A second run on
the same machine gives the same figures; on another, the last digits may differ, and a claim's margin allows for that.

This page is made by `scripts/build_results.py` from these files.
"""


def share(values: np.ndarray | Sequence[float]) -> str:
    """Shares as per cent: the mean, and the interval where there is more than one."""
    percent = 100 * np.asarray(values, dtype=float)
    return f"{interval(percent):.1f}" if len(percent) > 1 else f"{percent[0]:.1f}"


OTHER_PIXELS = ("scaled to 0…1", "left at 0…255", "channels swapped", "half the size")  # of fine_tuning's test block

# For each file one sentence, which the script's header repeats (benchmarks have none), and one table.


def fine_tuning(found: Results) -> tuple[str, str]:
    assert found.test is not None
    source, *others = found.settings["styles"]
    near = [style for style in others if style != "ink"]

    def reached(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        at = {style: np.array(found.test[style][name]) for style in (source, *others)}  # type: ignore[index]
        return at[source], np.mean([at[style] for style in near], axis=0), at["ink"]

    usual = [name for name in found.test[source] if ", from " not in name and name.split(", ")[-1] not in OTHER_PIXELS]
    rows = [(name, *map(share, reached(name)), len(reached(name)[0])) for name in usual]
    at = {m: [mean_sd(values, percent=True) for values in reached(m)] for m in ("head only", "whole network", "LP-FT")}
    places = zip(
        (f"on {source}", "on the mean of three near styles", "in ink"), zip(*at.values(), strict=True), strict=True
    )
    sentence = (
        f"balanced accuracy on test emoji, mean ± deviation over {len(reached('LP-FT')[0])} seeds: head only, whole "
        "network and LP-FT reach " + ", ".join(f"{a}, {b} and {c} % {place}" for place, (a, b, c) in places) + "."
    )
    caption = f"Learned from {source}: balanced accuracy on the test emoji in per cent."
    return sentence, markdown_table(rows, ["method", source, "mean of near styles", "ink", "n"], caption=caption)


def fine_tuning_repeated(found: Results) -> tuple[str, str]:
    return fine_tuning(found)


def frozen_features(found: Results) -> tuple[str, str]:
    assert found.test is not None
    source, *others = found.settings["styles"]
    n = len(found.settings["seeds"])

    def reached(name: str) -> tuple[np.ndarray, np.ndarray | None]:
        there = {style: np.array(by_name[name]) for style, by_name in found.test.items() if name in by_name}  # type: ignore[union-attr]
        away = [there[style] for style in others if style in there]
        return there[source], np.mean(away, axis=0) if away else None

    names = ("pixels", "random weights", "ImageNet, pool", "ImageNet")
    rows = [(name, *(None if v is None else share(v) for v in reached(name)), n) for name in names]
    at = [mean_sd(reached(name)[0], percent=True) for name in names]
    layer = (found.selection or {})["layer"]
    sentence = (
        f"balanced accuracy on {source} test emoji, mean ± deviation over {n} seeds: a probe on pixels {at[0]} %, on "
        f"random weights {at[1]} %, on ImageNet's last features {at[2]} %, on the chosen {layer} {at[3]} %."
    )
    caption = f"Learned from {source}: balanced accuracy on the test emoji in per cent."
    return sentence, markdown_table(rows, ["features", source, "mean of five other styles", "n"], caption=caption)


def mapping_features(found: Results) -> tuple[str, str]:
    assert found.selection is not None and found.test is not None
    *near, ink = found.settings["targets"]
    n = len(found.settings["seeds"])
    rows, at = [], {}
    for method in found.settings["methods"]:
        setting = found.selection["search"][method]
        first = {
            style: found.array(
                lambda run, style=style: np.mean([digit == "1" for digit in run["partners"][style]]),
                method=method,
                setting=setting,
            )
            for style in (*near, ink)
        }
        probed = {style: np.array(found.test[style][method]) for style in (*near, ink)}
        at[method] = [v for of in (first, probed) for v in (np.mean([of[style] for style in near], axis=0), of[ink])]
        rows.append((method, *map(share, at[method]), n))
    said = {
        method: [mean_sd(v, percent=True) for v in at[method]] for method in ("centred", "whitened", "ridge", "CORAL")
    }
    sentence = (
        f"mean ± deviation over {n} seeds: in ink the nearest Noto picture shows the same emoji for "
        + ", ".join(f"{v[1]} % ({m})" for m, v in said.items())
        + " of the test emoji, and a probe learned from mapped Noto pictures reaches a balanced accuracy of "
        + ", ".join(f"{v[3]} % ({m})" for m, v in said.items())
        + "."
    )
    header = ["map", "found first: near styles", "ink", "probe: near styles", "ink", "n"]
    caption = "From Noto to others: test emoji found first, and balanced accuracy of a probe, in per cent."
    return sentence, markdown_table(rows, header, caption=caption)


def plain_vs_residual(found: Results) -> tuple[str, str]:
    assert found.selection is not None
    chosen, at = found.selection["rate"], {}
    for name in chosen:
        kind, depth, *adam = name.split(", ")
        where = {"depth": int(depth.split()[0]), "residual": kind == "residual", "optimizer": (adam or ["SGD"])[0]}
        for lr in sorted({run["lr"] for run in found.runs(**where)}):
            at[name, lr] = found.array("train_error", lr=lr, **where)
    rows = [
        (name, f"{lr:g}", "yes" if lr == chosen[name] else "", share(values), len(values))
        for (name, lr), values in at.items()
    ]
    shallow, deep = found.settings["depths"]
    nets = [f"{kind}, {depth} layers" for kind in ("plain", "residual") for depth in (shallow, deep)]
    said = [mean_sd(at[name, chosen[name]], percent=True) for name in nets]
    sentence = (
        f"training error, mean ± deviation over {len(found.settings['seeds'])} seeds: the plain net ends at {said[0]} "
        f"% with {shallow} layers and at {said[1]} % with {deep}, with shortcuts at {said[2]} and {said[3]} %."
    )
    header = ["net", "learning rate", "chosen", "training error", "n"]
    return sentence, markdown_table(rows, header, caption="Error on the training set in per cent.")


def letters_to_digits(found: Results) -> tuple[str, str]:
    assert found.selection is not None

    def accuracies(target: str, method: str, count: int) -> np.ndarray:
        lr = found.selection["rate_chosen"][target][method]  # type: ignore[index]
        return found.array(f"accuracy.{target}", target=target, method=method, count=count, lr=lr)

    counts = found.settings["counts"]
    rows = [
        (target, method, *(share(accuracies(target, method, count)) for count in counts), len(found.settings["seeds"]))
        for target, rates in found.selection["rate_chosen"].items()
        for method in rates
    ]
    at = [
        mean_sd(accuracies("mnist", method, count), percent=True)
        for count in (min(counts), max(counts))
        for method in ("fine-tuned", "from scratch")
    ]
    sentence = (
        f"test accuracy on MNIST, mean ± deviation over {len(found.settings['seeds'])} seeds: with {min(counts)} "
        f"labels a class {at[0]} % fine-tuned from letters and {at[1]} % from scratch, with {max(counts)} labels "
        f"{at[2]} and {at[3]} %."
    )
    header = ["target", "method", *(f"{count} a class" for count in counts), "n"]
    return sentence, markdown_table(rows, header, caption="Accuracy on the test digits in per cent.")


def dann_mnist_m(found: Results) -> tuple[str, str]:
    return dann_between_bounds(found, "DANN", "the small pictures")


def dann_mnist_m_released(found: Results) -> tuple[str, str]:
    sentence, table = dann_between_bounds(found, "DANN, all together", "the released pictures and all digits")
    assert found.test is not None
    long = f"{found.settings['steps_long']:,} steps"
    longest = [found.test["target"][f"DANN, {name}{long}"] for name in ("", "instance, ")]
    said = [f"{mean_sd(values, percent=True)} %" for values in longest]
    more = f"; after {long} {said[0]}, with instance normalisation {said[1]} ({len(longest[0])} seeds)."
    return sentence[:-1] + more, table


def dann_between_bounds(found: Results, best: str, where: str) -> tuple[str, str]:
    assert found.test is not None and found.selection is not None
    test = found.test["target"]
    names = [name for name in test if f"{name}, last" in test]
    rows = [
        (name, *(share(test[label]) for label in (name, f"{name}, last", f"{name}, checkpoint")), len(test[name]))
        for name in names
    ]
    bounds = [test[name] for name in ("source only", best, "target only")]
    closed = [gap_closed(*triple) for triple in zip(*bounds, strict=True)]
    at = [mean_sd(values, percent=True) for values in (*bounds, closed)]
    sentence = (
        f"target test accuracy on {where}, mean ± deviation over {len(closed)} seeds: source only {at[0]} %, DANN "
        f"{at[1]} %, target only {at[2]} %; DANN closes {at[3]} % of the gap."
    )
    header = ["setting", "averaged weights", "last step", "checkpoint", "n"]
    chosen = found.selection["chosen"]
    caption = f"Accuracy on the target's test digits in per cent; im_score would choose {chosen}."
    return sentence, markdown_table(rows, header, caption=caption)


def moons_tour(found: Results) -> tuple[str, str]:
    def errors(lam: float, domain: str) -> np.ndarray:
        return found.array(f"tour.averaged.{domain}_error", lam=lam) / 100

    lams, seeds = found.settings["lams"], len(found.settings["seeds"])
    rows = [(f"{lam:g}", *(share(errors(lam, domain)) for domain in ("source", "target")), seeds) for lam in lams]
    by_lam = [f"{mean_sd(errors(lam, 'target'), percent=True)} % with λ up to {lam:g}" for lam in lams]
    sentence = (
        f"target error with the averaged weights, mean ± deviation over {seeds} seeds: {', '.join(by_lam[:-1])} and "
        f"{by_lam[-1]}."
    )
    caption = "Error on the turned moons in per cent, weights averaged over the second half."
    return sentence, markdown_table(rows, ["λ up to", "source error", "target error", "n"], caption=caption)


def pretrain_mini_resnet(found: Results) -> tuple[str, str]:
    (run,) = found.runs()
    sentence = f"one seed: {100 * run['val_accuracy']:.1f} % of letters in typefaces held out are recognised."
    rows = [("training typefaces, bent, last steps", f"{100 * run['history']['accuracy'][-1]:.1f}", 1)]
    rows += [("typefaces held out", f"{100 * run['val_accuracy']:.1f}", 1)]
    return sentence, markdown_table(rows, ["letters in", "recognised", "n"], caption="Letters recognised, in per cent.")


def median_ratio(rounds: list[Run], of: Callable[[Run], float], to: Callable[[Run], float] | list[Run]) -> float:
    """The median over rounds of how many times as fast one is as the other in the same round, from their times."""
    other = [to(run) for run in rounds] if callable(to) else [of(run) for run in to]
    return float(np.median([slow / of(run) for run, slow in zip(rounds, other, strict=True)]))


def benchmark_step(found: Results) -> tuple[str, str]:
    def rounds(task: str, way: str) -> list[Run]:
        return sorted(found.runs(task=task, way=way), key=lambda run: run["round"])

    def clock(run: Run) -> float:
        return run["clock_ms"]

    def processor(run: Run) -> float:
        return run["user_ms"] + run["system_ms"]

    rows = []
    for task, way in dict.fromkeys((run["task"], run["way"]) for run in sorted(found.runs(), key=lambda r: r["round"])):
        runs, hand = rounds(task, way), rounds(task, "by hand")
        per_second = float(np.median([run["steps_per_second"] for run in runs]))
        ratios = (f"{median_ratio(runs, of, hand):.2f}" for of in (clock, processor))
        rows.append((task, way, f"{per_second:.1f}", *ratios, len(runs)))
    caption = "Steps a second, and how many times as fast as the loop by hand: medians over n rounds."
    header = ["task", "way", "steps/s", "by the clock", "by the processor", "n"]
    return "", markdown_table(rows, header, caption=caption)


def benchmark_extraction(found: Results) -> tuple[str, str]:
    rows = []
    for size in sorted({run["batch_size"] for run in found.runs()}):
        runs = found.runs(batch_size=size)
        for way in ("not kept", "kept", "found again"):
            ratios = [
                median_ratio(runs, lambda r, w=way, k=kind: r[w][k], lambda r, k=kind: r["bare"][k])
                for kind in ("clock", "processor")
            ]
            rows.append((f"{way}, batches of {size}", *(f"{ratio:.2f}" for ratio in ratios), len(runs)))
    seconds = [float(np.median([run["import"][kind] for run in found.runs()])) for kind in ("clock", "processor")]
    rows.append(("`import xferkit` beyond torch (s)", *(f"{value:.2f}" for value in seconds), len(found.runs())))
    caption = "How many times as fast as a bare forward pass: medians over n rounds."
    return "", markdown_table(rows, ["", "by the clock", "by the processor", "n"], caption=caption)


def benchmark_networks(found: Results) -> tuple[str, str]:
    rows = []
    for network in found.settings["networks"]:
        runs = found.runs(network=network)
        ratios = [
            median_ratio(runs, lambda r, k=kind: r["ours"][k], lambda r, k=kind: r["plain"][k])
            for kind in ("clock", "processor")
        ]
        rows.append((f"mini_{network}", *(f"{ratio:.2f}" for ratio in ratios), len(runs)))
    caption = "How many times as fast as a plain re-implementation: medians over n rounds."
    return "", markdown_table(rows, ["", "by the clock", "by the processor", "n"], caption=caption)


def emoji_styles_table(found: Results) -> tuple[str, str]:
    styles = found.settings["styles"]
    colour = [style for style in styles if style != "ink"]

    def of_layer(layer: str, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        """(S,) balanced accuracy by seed, mean over these pairs of source and target."""
        values = [found.array(f"balanced_accuracy.{to}", layer=layer, source=source) for source, to in pairs]
        return np.mean(values, axis=0)

    rows = [
        (layer, source, *(share(of_layer(layer, [(source, to)])) for to in styles), len(found.settings["seeds"]))
        for layer in found.settings["layers"]
        for source in styles
    ]
    kinds = (
        [(s, s) for s in styles],
        [(s, t) for s in colour for t in colour if s != t],
        [(s, "ink") for s in colour],
        [("ink", t) for t in colour],
    )
    at = [mean_sd(of_layer("stage6", pairs), percent=True) for pairs in kinds]
    sentence = (
        f"balanced accuracy of the probe on stage6, mean ± deviation over {len(found.settings['seeds'])} seeds: "
        f"{at[0]} % within a style, {at[1]} % from one colour style to another, {at[2]} % from colour to ink and "
        f"{at[3]} % from ink to colour."
    )
    caption = "Balanced accuracy on training and validation emoji that were held out, in per cent."
    return sentence, markdown_table(rows, ["layer", "from", *(f"to {s}" for s in styles), "n"], caption=caption)


def running_statistics(found: Results) -> tuple[str, str]:
    assert found.test is not None
    source, *others = found.settings["styles"]
    near = [style for style in others if style != "ink"]

    def reached(name: str) -> list[str | None]:
        at = {style: np.array(found.test[style][name]) for style in found.test if name in found.test[style]}  # type: ignore[index, union-attr]
        mean = np.mean([at[style] for style in near], axis=0) if near[0] in at else None
        return [None if v is None else share(v) for v in (at.get(source), mean, at.get("ink"))]

    names = sorted({name for by_name in found.test.values() for name in by_name}, key=lambda name: name.split(", "))
    counts = [len(next(by[name] for by in found.test.values() if name in by)) for name in names]
    rows = [(name, *reached(name), n) for name, n in zip(names, counts, strict=True)]
    said = [mean_sd(found.test[source][f"drift, ink, {n}"], percent=True) for n in (0, 10)]
    ink = [mean_sd(found.test["ink"][f"probe, {source}, {way}"], percent=True) for way in ("kept", "target")]
    sentence = (
        f"balanced accuracy on test emoji, mean ± deviation over {len(found.settings['seeds'])} seeds: a frozen "
        f"network's probe on {source} falls from {said[0]} to {said[1]} % while 10 batches of ink pass; a probe with "
        f"{source}'s statistics reaches {ink[0]} % in ink, with ink's {ink[1]} %."
    )
    caption = f"Learned from {source}: balanced accuracy on the test emoji in per cent."
    return sentence, markdown_table(
        rows, ["method, statistics", source, "mean of near styles", "ink", "n"], caption=caption
    )


def measuring_transfer(found: Results) -> tuple[str, str]:
    assert found.test is not None
    at = {way: np.array(values) for way, values in found.test["ink"].items()}
    seeds = len(at["source only"])
    said = [mean_sd(values, percent=True) for values in at.values()]
    cuts = found.runs(part="cut")
    size = np.array([run["pictures"]["report"] for run in cuts])
    copied = {
        share: [(run["copies"][f"of reported, {share}"] - run["copies"][f"of learned, {share}"]) for run in cuts] / size
        for share in found.settings["copied"]
    }
    sentence = (
        f"balanced accuracy on test emoji in ink, labels from Noto, mean ± deviation over {seeds} seeds: source only "
        f"{said[0]} %, with ink's own statistics {said[1]} %, target only {said[2]} %."
    )
    rows = [(f"ink, {way}", share(values), seeds) for way, values in at.items()]
    rows += [
        (f"mirrored copies of {100 * s:g} % of the pictures reported on", share(v), len(cuts))
        for s, v in copied.items()
    ]
    caption = "Balanced accuracy in ink, and what copies add to accuracy over cuts, in per cent or points."
    return sentence, markdown_table(rows, ["", "", "n"], caption=caption)


def what_transfers(found: Results) -> tuple[str, str]:
    assert found.test is not None
    labels = found.settings["labels"]
    at = {
        method: {n: np.array(found.test["noto"][f"{method}|{n}"]) for n in labels} for method in found.settings["grids"]
    }
    rows = [(method, *map(share, by.values()), len(by[labels[0]])) for method, by in at.items()]
    few, some, many = labels[0], labels[2], labels[-1]
    said = {(method, n): mean_sd(at[method][n], percent=True) for method in at for n in (few, some, many)}
    sentence = (
        f"balanced accuracy on Noto's test emoji, mean ± deviation: with {some} labels a class from scratch "
        f"{said['from scratch', some]} % ({found.settings['scratch_seeds']} seeds), on ImageNet features "
        f"{said['ImageNet', some]} % ({found.settings['seeds']} seeds); pooled with ink {said['with ink', few]} % "
        f"against {said['ImageNet', few]} % alone with {few} label a class, {said['with ink', many]} % against "
        f"{said['ImageNet', many]} % with {many}."
    )
    caption = "Balanced accuracy on Noto's test emoji in per cent, by the labels of each class that are learned from."
    header = ["learner, or second source", *(f"{n} labels" if n > 1 else "1 label" for n in labels), "n"]
    return sentence, markdown_table(rows, header, caption=caption)


def simulated_studies(found: Results) -> tuple[str, str]:
    runs = found.runs(part="coverage")
    rows = [
        (
            run["world"],
            run["seeds"],
            *(f"{100 * run['holds'][kind]:.1f}" for kind in ("seeds", "pictures", "both")),
            run["studies"],
        )
        for run in runs
    ]
    at = {(run["world"], run["seeds"]): run["holds"] for run in runs}
    low, high = min(found.settings["seeds"]), 10
    sentence = (
        f"of {runs[0]['studies']} simulated studies with usual seeds, an interval over seeds alone holds the truth in "
        f"{100 * at['usual', high]['seeds']:.0f} % with {high} seeds, one over seeds and pictures in "
        f"{100 * at['usual', high]['both']:.0f} %; with {low} wild seeds the latter holds it in "
        f"{100 * at['wild', low]['both']:.0f} %."
    )
    caption = "Intervals at 95 % that hold the true difference, in per cent of n studies."
    return sentence, markdown_table(
        rows, ["seeds differ", "seeds", "over seeds", "over pictures", "over both", "n"], caption=caption
    )


HEADLINES: dict[str, Callable[[Results], tuple[str, str]]] = {
    function.__name__: function
    for function in (
        fine_tuning, fine_tuning_repeated, frozen_features, plain_vs_residual, pretrain_mini_resnet, letters_to_digits,
        dann_mnist_m, dann_mnist_m_released, moons_tour, benchmark_step, benchmark_extraction, benchmark_networks,
        emoji_styles_table, measuring_transfer, simulated_studies, running_statistics, what_transfers, mapping_features,
    )
}  # fmt: skip


def header_of(script: Path) -> str:
    """A script's docstring, on one line."""
    return " ".join((ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or "").split())


def computing(found: Results, script: Path) -> str:
    """How long it took: all sessions together where it was recorded, else as the script's header says."""
    seconds = [run["seconds"] for run in found.runs()]
    if None not in seconds:
        return f"{sum(seconds) / 60:.0f} minutes of computing for {len(seconds)} runs"
    said = re.search(r"about [^;,.]*? on one core", header_of(script))
    runs = "1 run" if len(seconds) == 1 else f"{len(seconds)} runs"
    return f"{runs}, whose time was not recorded" + (f" ({said[0]})" if said else "")


def machine(environment: dict[str, str | int]) -> str:
    """Processor, device and versions, and which of them were not recorded."""
    device, threads = environment["device"], environment["threads"]
    known = {"processor": environment["processor"]} | ({} if device == "cpu" else {"device": device})
    known |= {"threads": f"{threads} thread{'' if threads == 1 else 's'}"}
    named = {"python": "Python", "torch": "torch", "torchvision": "torchvision", "timm": "timm", "xferkit": "xferkit"}
    known |= {key: f"{name} {environment[key]}" for key, name in named.items() if key in environment}
    there = [str(text) for text in known.values() if NOT_RECORDED not in str(text)]
    missing = [key for key, text in known.items() if NOT_RECORDED in str(text)]
    text = ", ".join(there)
    return text[0].upper() + text[1:] + (f"; {NOT_RECORDED}: {', '.join(missing)}" if missing else "")


def readers(name: str) -> list[str]:
    """The chapters that read a file."""
    pattern = re.compile(rf"""["'](?:\.\./results/)?{name}(?:\.json)?["']""")
    found = []
    for path in sorted((ROOT / "chapters").glob("[0-9][0-9]_*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        if any(c["cell_type"] == "code" and pattern.search("".join(c["source"])) for c in cells):
            found.append(path.name)
    return found


def drawn_in(name: str) -> list[str]:
    """The chapters with a figure to try that is drawn from a file."""
    plan = tomllib.loads((ROOT / "book/live.toml").read_text(encoding="utf-8"))
    return [f"{Path(said['page']).name}.ipynb" for said in plan.values() if said.get("results") == name]


def place_in(name: str) -> tuple[str, str]:
    """Where a file stands on the page: by the first chapter that shows it."""
    return ([*readers(name), *drawn_in(name)] or ["~"])[0], name


def linked(chapters: list[str]) -> str:
    return ", ".join(f"[chapter {chapter[:2]}](../chapters/{chapter})" for chapter in chapters)


def section(path: Path) -> str:
    """What the page says of one file."""
    found = results.load(path.stem)
    script = ROOT / found.script
    shown = [f"read in {linked(readers(path.stem))}"] if readers(path.stem) else []
    shown += [f"to try under a figure of {linked(drawn_in(path.stem))}"] if drawn_in(path.stem) else []
    facts = [
        f"Script `{found.script}`, file `results/{path.name}`, {' and '.join(shown) or 'read in no chapter'}.",
        f"{computing(found, script)}. {machine(found.environment)}.",
    ]
    if note := found.environment.get("carried_over"):
        facts.append(f"Carried over: {note}.")
    parts = [f"## {found.question}"]  # what was found comes first, how it was computed last
    if path.stem in HEADLINES:
        sentence, table = HEADLINES[path.stem](found)
        parts += [f"{sentence[0].upper()}{sentence[1:]}"] if sentence else []
        parts.append(table)
    parts.append("\\\n".join(facts))
    return "\n\n".join(parts) + "\n"


def build() -> str:
    """The page's text.

    Raises:
        ValueError: a file does not follow the schema.
    """
    files = sorted((ROOT / "results").glob("*.json"), key=lambda path: place_in(path.stem))
    return "\n".join([HEAD, *map(section, files)])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is out of date")
    options = parser.parse_args(arguments)
    text = build()
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        print("book/results.md is up to date.")
        return 0
    if options.check:
        print("book/results.md is out of date: run python scripts/build_results.py")
        return 1
    PAGE.write_text(text, encoding="utf-8", newline="\n")
    print("book/results.md written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
