"""The ceiling of EmojiStyles: a kit for labellers who see single test pictures, and what becomes of their answers.

    python scripts/label_emoji_styles.py kit FOLDER KEY          # pictures and classes into FOLDER, the key elsewhere
    python scripts/label_emoji_styles.py score FIRST SECOND      # two files number,class: merge, and write the card

The kit shows no more than a labeller may know: pictures under numbers drawn by lot, and the list of classes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib
from build_emoji_styles import CARD, refresh_card
from emoji_styles.ceiling import ANSWERS, draw_sample, read_answers, write_answers
from PIL import Image, ImageDraw, ImageFont

from xferkit.data.emoji import emoji_index, load_emoji_style

SHOWN = 256  # pixels a side; the set's own 128 are small for an eye
A_SHEET = 10


def write_kit(folder: Path, key: Path) -> None:
    """One PNG a picture, contact sheets of ten, `classes.txt`; and the key, which must lie outside the folder."""
    if folder.resolve() in key.resolve().parents:
        raise ValueError(f"{key} lies in the kit: the labellers would find it.")
    index = emoji_index()
    sample = draw_sample(index)
    at = {e["name"]: i for i, e in enumerate(index["emoji"])}
    folder.mkdir(parents=True)  # a new one: nothing else may lie in it
    pictures = [enlarged(row["style"], at[row["emoji"]]) for row in sample]
    for row, picture in zip(sample, pictures, strict=True):
        picture.save(folder / f"{row['number']}.png")
    for k in range(0, len(sample), A_SHEET):
        numbers = [row["number"] for row in sample[k : k + A_SHEET]]
        contact_sheet(numbers, pictures[k : k + A_SHEET]).save(folder / f"sheet_{k // A_SHEET + 1:02d}.png")
    lines = [f"{c['name']}: {c['look']}" for c in index["classes"]]
    (folder / "classes.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    key.write_text(json.dumps(sample, indent=1) + "\n", encoding="utf-8")


def enlarged(style: str, position: int) -> Image.Image:
    pixels = load_emoji_style(style)[0][position].permute(1, 2, 0).numpy()
    return Image.fromarray(pixels).resize((SHOWN, SHOWN), Image.Resampling.LANCZOS)


def contact_sheet(numbers: list[str], pictures: list[Image.Image]) -> Image.Image:
    """Ten pictures in two rows, each with its number beneath."""
    gap, label, columns = 24, 40, A_SHEET // 2
    sheet = Image.new("RGB", (columns * (SHOWN + gap) + gap, 2 * (SHOWN + label + gap) + gap), "white")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), 26)
    for k, (number, picture) in enumerate(zip(numbers, pictures, strict=True)):
        left, top = gap + k % columns * (SHOWN + gap), gap + k // columns * (SHOWN + label + gap)
        sheet.paste(picture, (left, top))
        pen.text((left + SHOWN // 2, top + SHOWN + label // 2 + 4), number, "#222222", font, anchor="mm")
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    kit = commands.add_parser("kit", help="write the labelling kit")
    kit.add_argument("folder", type=Path)
    kit.add_argument("key", type=Path)
    answers = commands.add_parser("score", help="merge two answer files and write the card's section")
    answers.add_argument("first", type=Path)
    answers.add_argument("second", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "kit":
        write_kit(arguments.folder, arguments.key)
        return
    index = emoji_index()
    sample = draw_sample(index)
    first, second = (read_answers(path, index, sample) for path in (arguments.first, arguments.second))
    write_answers(sample, first, second)
    refresh_card()
    print(f"wrote {ANSWERS} and the section on the ceiling in {CARD}")


if __name__ == "__main__":
    main()
