"""Draw the landing page's emoji ladder, which shared links show too, from the pictures of EmojiStyles.

    python scripts/build_ladder.py            write book/_static/ladder/*.webp
    python scripts/build_ladder.py --check    only say whether they are up to date (exit code 1 if not)

Eight emoji of the training part, one strip a style. The percentages beside them come from `results/` when the book is
built (`book/_ext/landing.py`). The figure shows OpenMoji pictures and so is under CC BY-SA 4.0.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.made_files import write_or_check  # noqa: E402

DATA = ROOT / "xferkit/assets/emoji_styles"
STATIC = ROOT / "book/_static"
EMOJI = ("man cook", "clown face", "beaver", "owl", "cactus", "mango", "castle", "motorcycle")
SIDE = 96


def strips() -> dict[str, Image.Image]:
    """For each style the eight emoji side by side, 768 × 96 pixels."""
    index = json.loads((DATA / "index.json").read_text(encoding="utf-8"))
    places = {emoji["name"]: i for i, emoji in enumerate(index["emoji"])}
    size, columns = index["image_size"], index["columns"]
    found = {}
    for style, facts in index["styles"].items():
        strip = Image.new("RGB", (SIDE * len(EMOJI), SIDE), "white")
        with Image.open(DATA / facts["file"]) as sheet:
            for i, name in enumerate(EMOJI):
                row, column = divmod(places[name], columns)
                left, top = column * size, row * size
                picture = sheet.crop((left, top, left + size, top + size)).convert("RGB")
                strip.paste(picture.resize((SIDE - 8, SIDE - 8), Image.Resampling.LANCZOS), (SIDE * i + 4, 4))
        found[style] = strip
    return found


def files() -> dict[Path, bytes]:
    """What is to lie in the book."""
    found = strips()
    made: dict[Path, bytes] = {}
    for style, strip in found.items():
        packed = io.BytesIO()
        strip.save(packed, "WEBP", quality=88, method=6)
        made[STATIC / f"ladder/{style}.webp"] = packed.getvalue()
    return made


def main() -> int:
    return write_or_check(files(), "the ladder is")


if __name__ == "__main__":
    sys.exit(main())
