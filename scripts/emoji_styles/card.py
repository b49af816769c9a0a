"""The generated parts of the data card: its tables, and the section on the ceiling."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emoji_styles.ceiling import Row, ceiling_section
from emoji_styles.markdown import put, table
from emoji_styles.splits import SHARES

# The first edition, as its card had it.
FIRST = {
    "Styles": "5",
    "Classes": "20",
    "Emoji": "534",
    "Groups of near twins": "399",
    "Largest group": "13",
    "Train / val / test": "318 / 55 / 161",
    "Training pictures in the smallest class": "7",
    "Megabytes": "7.6",
}


def write_card(
    card: Path,
    folder: Path,
    index: dict[str, Any],
    index_sha256: str,
    answers: Sequence[Row],
    probes: Mapping[str, Any] | None,
) -> None:
    """Every generated part. `probes` is results/emoji_styles_table.json, None where it is of other data."""
    styles = index["styles"].values()
    header = ["Style", "Domain", "Designer", "Author named by the package", "Licence"]
    rows = [[s["title"], f"`emoji_{k}`", s["designer"], s["author"], s["licence"]] for k, s in index["styles"].items()]
    put(card, "table styles", table(header, rows))
    packages = ([f"`{s['package']}`", s["version"], f"`{s['integrity']}`"] for s in styles)
    put(card, "table packages", table(["npm package", "Version", "Integrity"], packages))
    put(card, "table classes", table(["Class", "Emoji", "Groups", "Train", "Val", "Test"], class_rows(index)))
    put(card, "table looks", table(["Class", "What it looks like"], ([c["name"], c["look"]] for c in index["classes"])))
    total = sum(p.stat().st_size for p in folder.iterdir())
    put(card, "table editions", table(["", "First", "Second"], edition_rows(index, total)))
    files: list[list[object]] = [[f"`{s['file']}`", f"{s['bytes']:,}", f"`{s['sha256']}`"] for s in styles]
    files.append(["`index.json`", f"{(folder / 'index.json').stat().st_size:,}", f"`{index_sha256}`"])
    put(card, "table files", table(["File", "Bytes", "SHA-256"], files))
    put(card, "table distances", probe_tables(index, probes) if probes else "")
    put(card, "ceiling", ceiling_section(index, answers))


def class_rows(index: dict[str, Any]) -> list[list[object]]:
    counts = Counter((e["class"], e["split"]) for e in index["emoji"])
    groups = defaultdict(set)
    for e in index["emoji"]:
        groups[e["class"]].add(e["group"])
        groups["all"].add(e["group"])
    rows: list[list[object]] = []
    for c in index["classes"]:
        row = [counts[c["name"], s] for s in SHARES]
        rows.append([c["name"], sum(row), len(groups[c["name"]]), *row])
    total = Counter(e["split"] for e in index["emoji"])
    return [*rows, ["**all**", len(index["emoji"]), len(groups["all"]), *(total[s] for s in SHARES)]]


def edition_rows(index: dict[str, Any], total_bytes: int) -> list[list[object]]:
    """The first edition beside this one."""
    emoji = index["emoji"]
    splits = Counter(e["split"] for e in emoji)
    groups = Counter(e["group"] for e in emoji)
    second = {
        "Styles": len(index["styles"]),
        "Classes": len(index["classes"]),
        "Emoji": len(emoji),
        "Groups of near twins": len(groups),
        "Largest group": max(groups.values()),
        "Train / val / test": " / ".join(str(splits[s]) for s in SHARES),
        "Training pictures in the smallest class": min(
            Counter(e["class"] for e in emoji if e["split"] == "train").values()
        ),
        "Megabytes": f"{total_bytes / 1e6:.1f}",
    }
    return [[name, first, second[name]] for name, first in FIRST.items()]


def probe_tables(index: dict[str, Any], probes: Mapping[str, Any]) -> str:
    """From each style to each, mean over the seeds: accuracy / balanced accuracy in per cent, a table a layer."""
    styles, parts = list(index["styles"]), []
    for layer in probes["settings"]["layers"]:
        rows: list[list[object]] = []
        for source in styles:
            runs = [r["result"] for r in probes["runs"] if (r["job"]["layer"], r["job"]["source"]) == (layer, source)]
            cells = (" / ".join(_mean(runs, k, s) for k in ("accuracy", "balanced_accuracy")) for s in styles)
            rows.append([index["styles"][source]["title"], *cells])
        header = [f"`{layer}`: from \\ to", *(index["styles"][s]["title"] for s in styles)]
        parts.append(table(header, rows))
    return "\n\n".join(parts)


def _mean(runs: Sequence[Mapping[str, Any]], kind: str, style: str) -> str:
    return f"{100 * sum(r[kind][style] for r in runs) / len(runs):.0f}"
