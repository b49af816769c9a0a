"""Figures that a reader can try: λ and training step, number of labels, layers of a network, hits of a search.

`book/live.toml` says which figures. Under a figure's caption comes an empty place that `live.js` fills when the reader
comes near; the still picture stays, so that a reader without scripts, on paper or in JupyterLab has what the notebook
has. The data come from `results/` and from `book/live/` (scripts/build_live.py), as scripts, which a page may load from
a file:// address too.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

CAPTION = re.compile(r"\*\*(Figure|Table) (\d+)\.\*\* (.*)")
TAG = re.compile(r"<[^>]*>")


def labels(root: Path) -> dict[str, Any]:
    """Accuracies by target, method and number of labels, one for each seed, from results/letters_to_digits.json."""
    record = json.loads((root / "results/letters_to_digits.json").read_text(encoding="utf-8"))
    names = {
        "fine-tuned": "fine-tuning", "frozen, linear probe": "probe on frozen features", "from scratch": "from scratch"
    }  # fmt: skip
    counts = record["settings"]["counts"]
    found = {
        target: {said: [by_name[f"{name}|{count}"] for count in counts] for name, said in names.items()}
        for target, by_name in record["test"].items()
    }
    return {"counts": counts, "seeds": len(record["settings"]["seeds"]), "targets": found}


def moons(root: Path) -> dict[str, Any]:
    """The stored networks of results/moons_tour.json, with the points they were trained on."""
    record = json.loads((root / "results/moons_tour.json").read_text(encoding="utf-8"))
    settings, runs, points = record["settings"], {}, {}
    for run in record["runs"]:
        job, result = run["job"], run["result"]
        runs[f"{job['lam']:g}|{job['seed']}"] = result["tour"]
        if "source" in result:
            points[job["seed"]] = [result["source"], result["target"]]
    return {key: settings[key] for key in ("lams", "seeds", "hidden")} | {"points": points, "runs": runs}


def stored(name: str) -> Callable[[Path], dict[str, Any]]:
    def read(root: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((root / f"book/live/{name}.json").read_text(encoding="utf-8"))
        return found

    return read


DATA: dict[str, Callable[[Path], dict[str, Any]]] = {
    "labels": labels, "moons": moons, "layers": stored("layers"), "retrieval": stored("retrieval")
}  # fmt: skip


def plan(root: Path) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = tomllib.loads((root / "book/live.toml").read_text(encoding="utf-8"))
    return found


def layers_table(found: dict[str, Any]) -> str:
    """The tour as a table, for who would rather read it, or has no scripts."""
    rows = []
    for part in found["parts"]:
        numbers = (
            "×".join(map(str, part["shape"])),
            f"{part['parameters']:,}",
            "all" if part["whole"] else part["field"],
        )
        cells = "".join(f'<td class="number">{number}</td>' for number in numbers)
        rows.append(f'<tr><th scope="row">{escape(part["name"])}</th>{cells}</tr>')
    names = ("output", "parameters", f"receptive field (of {found['side']} pixels)")
    head = "<th>part</th>" + "".join(f'<th class="number">{name}</th>' for name in names)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f"<details><summary>The network's parts as a table</summary>{table}</details>"


def place(body: str, kind: str, said: dict[str, str], inside: str) -> str | None:
    """The body with a place under the figure's caption; None where no caption begins with these words."""
    match = CAPTION.match(said["caption"])
    assert match is not None, f"book/live.toml: {kind}: the caption must begin with **Figure 1.** or the like"
    number, words = match[2], match[3]
    found = re.search(rf'<p class="figure-words" id="figure-{number}">(.*?)</p>', body, re.DOTALL)
    if found is None or not TAG.sub("", found[1]).partition(". ")[2].lstrip().startswith(words):
        return None
    start = f'<div class="live" data-live="{kind}" data-figure="{number}" data-title="{escape(said["title"])}">'
    return f"{body[: found.end()]}\n{start}{inside}</div>{body[found.end() :]}"


def add_places(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    if app.builder.format != "html" or not context.get("body"):
        return
    root = Path(app.srcdir)
    for kind, said in plan(root).items():
        # A chapter whose figures have no numbers yet is left alone.
        if said["page"] != page or 'class="figure-words"' not in context["body"]:
            continue
        made = place(context["body"], kind, said, layers_table(DATA[kind](root)) if kind == "layers" else "")
        if made is None:
            logging.getLogger(__name__).warning("book/live.toml: %s has no caption “%s”", page, said["caption"])
        context["body"] = made or context["body"]


def write_data(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir) / "_static/live"
    folder.mkdir(parents=True, exist_ok=True)
    for kind, read in DATA.items():
        text = json.dumps(read(Path(app.srcdir)), ensure_ascii=False, separators=(",", ":"))
        (folder / f"{kind}.data.js").write_text(f'xferkitLive.give("{kind}", {text});\n', encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", add_places, priority=895)  # after captions have their numbers
    app.connect("build-finished", write_data, priority=900)
    app.add_js_file("live.js", loading_method="defer")
    app.add_css_file("live.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
