"""Build EmojiStyles: the same emoji in six open styles, from the npm packages that hold them as SVG.

    python scripts/build_emoji_styles.py --fetch FOLDER       # `npm pack` the pinned packages into FOLDER, then build
    python scripts/build_emoji_styles.py --packages FOLDER    # FOLDER holds them already, unpacked by npm
    python scripts/build_emoji_styles.py --card               # only the generated parts of the data card

It writes the sheets and `index.json` (xferkit/assets/emoji_styles), the figure (book/images/emoji_styles.png) and the
generated parts of the data card (book/data/emoji_styles.md), and prints the checksum to put into xferkit/data/emoji.py.
Needs npm for --fetch, and the extra `data` (resvg). The classes are a table to read and correct:
scripts/emoji_styles/classes.toml. About three minutes on one idle core; a second run writes the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
from emoji_styles.card import write_card
from emoji_styles.ceiling import load_answers
from emoji_styles.classes import Classes, Emoji, read_classes
from emoji_styles.sheets import write_figure, write_index, write_sheet
from emoji_styles.sources import SOURCES, draw, fetch, find_drawings, read_json
from emoji_styles.splits import choose_splits
from emoji_styles.twins import drop_variants, find_groups, similarity, within_cap
from numpy.typing import NDArray
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "xferkit" / "assets" / "emoji_styles"
CARD = ROOT / "book" / "data" / "emoji_styles.md"
FIGURE = ROOT / "book" / "images" / "emoji_styles.png"
PROBES = ROOT / "results" / "emoji_styles_table.json"

Pictures = dict[str, NDArray[np.uint8]]


def choose_emoji(classes: Classes, packages: Path) -> tuple[list[Emoji], Pictures]:
    """The emoji that are kept, with class, group and split, and their pictures by style.

    Capping a group can change the groups of the rest (likeness is centred by class, and a link may be gone), so both
    are repeated until nothing changes: groups and splits follow from what is kept alone.
    """
    everything = [{"name": n, "codepoints": "", "class": c} for c, names in classes.emoji.items() for n in names]
    emoji = drop_variants(everything, classes)
    points, svgs = find_drawings([e["name"] for e in emoji], packages)
    for e, point in zip(emoji, points, strict=True):
        e["codepoints"] = point
    pictures = {style: np.stack([draw(d) for d in tqdm(svgs[style], desc=f"draw {style}")]) for style in SOURCES}
    while True:
        of_class = [e["class"] for e in emoji]
        alike = np.stack([similarity(p, of_class) for p in pictures.values()])
        groups = find_groups(emoji, alike, classes.twins)
        kept = within_cap(emoji, groups, classes.looked_at)
        if len(kept) == len(emoji):
            break
        emoji = [emoji[i] for i in kept]
        pictures = {style: p[kept] for style, p in pictures.items()}
    seen = {n for names in classes.emoji.values() for n in names if n in classes.looked_at}
    if lost := seen - {e["name"] for e in emoji}:
        raise ValueError(f"looked at, in a class, and yet not kept: {', '.join(sorted(lost))}.")
    looked_at = [g for e, g in zip(emoji, groups, strict=True) if e["name"] in seen]
    for e, group, split in zip(emoji, groups, choose_splits(of_class, groups, looked_at), strict=True):
        e |= {"group": group, "split": split}
    return emoji, pictures


def refresh_card() -> None:
    """Write the card's generated parts from the data, the labellers' answers and the measured distances."""
    sha256 = hashlib.sha256((ASSETS / "index.json").read_bytes()).hexdigest()
    probes = read_json(PROBES) if PROBES.is_file() else None
    if probes is not None and probes["settings"]["index_sha256"] != sha256:
        probes = None  # measured on other data
    write_card(CARD, ASSETS, read_json(ASSETS / "index.json"), sha256, load_answers(), probes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--fetch", type=Path, metavar="FOLDER", help="download the pinned packages into FOLDER")
    where.add_argument("--packages", type=Path, metavar="FOLDER", help="use the packages in FOLDER (a node_modules)")
    where.add_argument("--card", action="store_true", help="only write the generated parts of the data card again")
    arguments = parser.parse_args()
    if arguments.card:
        refresh_card()
        return
    if arguments.fetch is not None:
        fetch(arguments.fetch)
    classes = read_classes()
    emoji, pictures = choose_emoji(classes, arguments.fetch or arguments.packages)
    for path in (ASSETS, CARD.parent, FIGURE.parent):
        path.mkdir(parents=True, exist_ok=True)
    for style in tqdm(SOURCES, desc="encode"):
        write_sheet(pictures[style], ASSETS / f"{style}.webp")
    sha256 = write_index(emoji, classes, ASSETS)
    write_figure(emoji, pictures, FIGURE)
    refresh_card()
    total = sum(path.stat().st_size for path in ASSETS.iterdir())
    groups = len({e["group"] for e in emoji})
    print(f"{len(emoji)} emoji, {len(classes.look)} classes, {groups} groups, {total / 1e6:.2f} MB")
    print(f'In xferkit/data/emoji.py, SECOND: "{sha256}"')


if __name__ == "__main__":
    main()
