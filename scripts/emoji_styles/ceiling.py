"""The ceiling: what labellers see who know the classes and the pictures, and nothing else."""

from __future__ import annotations

import csv
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emoji_styles.markdown import table

SEED = 20
PICTURES = 100
LABELLER = "a vision-language model"  # who labelled; the card says it
ANSWERS = Path(__file__).resolve().parents[2] / "book" / "data" / "emoji_styles_labels.csv"
COLUMNS = ("number", "emoji", "style", "class", "labeller_1", "labeller_2")

Row = dict[str, str]


def draw_sample(index: dict[str, Any]) -> list[Row]:
    """100 test pictures: number, emoji, style and true class, in the order of their numbers.

    Classes come in turn, each with the next style, so that both are as even as 100 allows; the last pictures are ink.
    No emoji comes twice, so that a labeller cannot know one by another. Numbers are drawn too and say nothing.
    """
    rng = random.Random(SEED)
    styles, classes = list(index["styles"]), [c["name"] for c in index["classes"]]
    rng.shuffle(classes)
    pools: dict[str, list[str]] = defaultdict(list)
    for e in index["emoji"]:
        if e["split"] == "test":
            pools[e["class"]].append(e["name"])
    for pool in pools.values():
        rng.shuffle(pool)
    rounds, rest = divmod(PICTURES, len(classes))
    picked = [
        (pools[name].pop(), styles[(place + turn) % len(styles)], name)
        for turn in range(rounds)
        for place, name in enumerate(classes)
    ]
    picked += [(pools[name].pop(), "ink", name) for name in classes[:rest]]
    numbers = rng.sample(range(100, 1000), PICTURES)
    return [
        {"number": str(number), "emoji": emoji, "style": style, "class": name}
        for number, (emoji, style, name) in sorted(zip(numbers, picked, strict=True))
    ]


def read_answers(path: Path, index: dict[str, Any], sample: Sequence[Row]) -> dict[str, str]:
    """A labeller's answers, class by number, from a file with the columns `number,class`.

    Raises:
        ValueError: a number is missing, unknown or twice there, or an answer is none of the classes.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = [{k.strip(): (v or "").strip() for k, v in row.items() if k} for row in csv.DictReader(file)]
    if not rows or set(rows[0]) != {"number", "class"}:
        raise ValueError(f"{path}: the first line must be number,class.")
    answers = {row["number"]: row["class"] for row in rows}
    asked, classes = {r["number"] for r in sample}, {c["name"] for c in index["classes"]}
    if len(rows) != len(answers) or set(answers) != asked:
        twice = [n for n, count in Counter(row["number"] for row in rows).items() if count > 1]
        missing, unknown = sorted(asked - set(answers)), sorted(set(answers) - asked)
        raise ValueError(f"{path}: missing {missing}, unknown {unknown}, twice {twice}.")
    if wrong := sorted({a for a in answers.values() if a not in classes}):
        raise ValueError(f"{path}: no classes: {wrong}.")
    return answers


def write_answers(sample: Sequence[Row], first: dict[str, str], second: dict[str, str], path: Path = ANSWERS) -> None:
    """Both labellers' answers beside what is right, a picture a line: the file that is committed."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in sample:
            number = row["number"]
            writer.writerow(row | {"labeller_1": first[number], "labeller_2": second[number]})


def load_answers(path: Path = ANSWERS) -> list[Row]:
    """The committed answers; empty as long as nobody has labelled."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z = 1.959964
    centre, spread = (hits + z * z / 2) / (n + z * z), z / (n + z * z) * (hits * (n - hits) / n + z * z / 4) ** 0.5
    return centre - spread, centre + spread


def kappa(first: Sequence[str], second: Sequence[str]) -> float:
    """Cohen's kappa: agreement beyond what the two labellers' habits alone would give."""
    n = len(first)
    agreed = sum(a == b for a, b in zip(first, second, strict=True)) / n
    ones, others = Counter(first), Counter(second)
    by_chance = sum(ones[c] * others[c] for c in ones) / n**2
    return 1.0 if by_chance == 1 else (agreed - by_chance) / (1 - by_chance)


def score(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    """By style, and for all: the number of pictures, each labeller's hits, and how often the two agree."""
    styles = dict.fromkeys(r["style"] for r in rows)
    parts = {s: [r for r in rows if r["style"] == s] for s in styles} | {"all": list(rows)}
    return {
        name: {
            "n": len(part),
            "labeller_1": sum(r["labeller_1"] == r["class"] for r in part),
            "labeller_2": sum(r["labeller_2"] == r["class"] for r in part),
            "agree": sum(r["labeller_1"] == r["labeller_2"] for r in part),
        }
        for name, part in parts.items()
    }


def share(hits: int, n: int) -> str:
    low, high = wilson(hits, n)
    return f"{100 * hits / n:.0f} [{100 * low:.0f}, {100 * high:.0f}]"


def ceiling_section(index: dict[str, Any], rows: Sequence[Row]) -> str:
    """The card's section on the ceiling; empty without answers."""
    if not rows:
        return ""
    scores = score(rows)
    order = [s for s in index["styles"] if s in scores] + ["all"]
    lines = []
    for name in order:
        s = scores[name]
        title = "**all**" if name == "all" else index["styles"][name]["title"]
        cells = [share(s[k], s["n"]) for k in ("labeller_1", "labeller_2", "agree")]
        lines.append([title, s["n"], *cells])
    both = kappa([r["labeller_1"] for r in rows], [r["labeller_2"] for r in rows])
    missed = Counter(
        (r["class"], r[who]) for r in rows for who in ("labeller_1", "labeller_2") if r[who] != r["class"]
    ).most_common()
    mistakes = "; ".join(f"{right} taken for {answer} ({n})" for (right, answer), n in missed) or "none"
    text = f"""## How much can be seen

{len(rows)} test pictures, drawn after the classes were frozen (seed {SEED}; as even over classes and styles as
{len(rows)} allows, no emoji twice), were labelled once by {LABELLER}, in two runs that were independent of one another.
No person labelled them. The kit shows each picture alone and on sheets of ten, under numbers drawn by lot, without name
or style, and the list of classes with the line on each. Shares are in per cent, with Wilson's 95 % intervals;
`emoji_styles_labels.csv` beside this page has every answer.

{table(["Style", "Pictures", "Labeller 1 right", "Labeller 2 right", "The two agree"], lines)}

Cohen's kappa of the two is {both:.2f}. What was taken for what, both labellers together: {mistakes}. Two runs of one
kind of model share its habits, so their agreement says less than that of two people would. Such a model may also know
each emoji by name, so its score bounds what the classes leave open, not what can be told from pixels alone."""
    return text
