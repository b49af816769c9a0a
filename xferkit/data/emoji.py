"""EmojiStyles: the same emoji drawn in six open styles, bundled with the package and read with Pillow alone.

Each style is one lossless WebP sheet of 128 px pictures on white; `index.json` names what stands where, its class,
its variant group and its split. How the set was made: `scripts/build_emoji_styles.py` and the data card.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from xferkit._checks import check_count
from xferkit._files import read_checked

STYLES = ("noto", "twemoji", "openmoji", "fluent", "fluent_flat", "ink")
# Three styles are one designer's: to hold out a designer, hold out all of its styles.
DESIGNERS = {
    "noto": "Google",
    "twemoji": "Twitter",
    "openmoji": "OpenMoji",
    "fluent": "Microsoft",
    "fluent_flat": "Microsoft",
    "ink": "Microsoft",
}
SPLITS = ("train", "val", "test")
ASSETS = Path(__file__).parent.parent / "assets"


@dataclass(frozen=True)
class Edition:
    """A state of the set: its folder, its styles, and the checksum of index.json, which holds those of the sheets."""

    folder: Path
    index_sha256: str
    styles: tuple[str, ...]

    def read(self, file: str, sha256: str) -> bytes:
        again = (
            f"Get it again: `git checkout -- xferkit/assets/{self.folder.name}` in a clone of the course, or reinstall "
            "xferkit (`pip install --force-reinstall --no-deps xferkit` from where you had it)."
        )
        return read_checked(self.folder / file, sha256, again)


# The build script prints the checksum.
SECOND = Edition(ASSETS / "emoji_styles", "8835303a2f6b4f82c30260ca67a0c77a275134c517fd98a0bd7cedc300888d93", STYLES)

EmojiStyle = tuple[Tensor, Tensor, tuple[str, ...], Tensor, dict[str, Tensor], tuple[str, ...]]


def emoji_index(edition: Edition = SECOND) -> dict[str, Any]:
    """What `index.json` holds: `classes`, `styles` (package, version, licence, file, checksum) and `emoji`.

    Raises:
        OSError: the file is missing or damaged.
    """
    index: dict[str, Any] = json.loads(edition.read("index.json", edition.index_sha256))
    return index


def _cut(sheet: Image.Image, count: int, size: int, image_size: int) -> Tensor:
    """The first `count` pictures of a sheet, read row by row, as uint8 (count, 3, image_size, image_size)."""
    columns = sheet.width // size
    pictures = np.empty((count, image_size, image_size, 3), dtype=np.uint8)
    for i in range(count):
        left, top = i % columns * size, i // columns * size
        picture = sheet.crop((left, top, left + size, top + size))
        if image_size != size:  # each picture by itself, so that the filter does not reach into its neighbours
            picture = picture.resize((image_size, image_size), Image.Resampling.LANCZOS)
        pictures[i] = np.asarray(picture)
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()


def load_emoji_style(style: str, image_size: int = 128, *, edition: Edition = SECOND) -> EmojiStyle:
    """One style of EmojiStyles: pictures x, labels y, names, groups, splits and classes, in that order.

    x is uint8 (N, 3, image_size, image_size), y and groups are int64 (N,); splits maps "train", "val" and "test" to
    int64 positions. Row i is the same emoji in every style of an edition. Pictures are stored at 128 px and scaled
    down with Pillow's antialiased Lanczos filter. What is decoded is kept; each call gets tensors of its own.

    Raises:
        ValueError: an unknown style, or a size that is not in 8..128.
        TypeError: a size that is no whole number.
        OSError: a file of the set is missing or damaged.
    """
    x, y, names, groups, splits, classes = stored_style(style, image_size, edition)
    return x.clone(), y.clone(), names, groups.clone(), {part: at.clone() for part, at in splits.items()}, classes


def stored_style(style: str, image_size: int, edition: Edition) -> EmojiStyle:
    """What `load_emoji_style` copies: the cached tensors themselves, for a caller that copies from them."""
    if style not in edition.styles:
        raise ValueError(f"no emoji style {style!r}. Choose one of: {', '.join(edition.styles)}.")
    return _decoded(style, check_count(image_size, what="image_size", least=0), edition)


@lru_cache(maxsize=16)
def _decoded(style: str, image_size: int, edition: Edition) -> EmojiStyle:
    index = emoji_index(edition)
    stored = index["image_size"]
    if not 8 <= image_size <= stored:
        raise ValueError(f"image_size={image_size}: emoji are stored at {stored} px; choose 8 to {stored}.")
    source, emoji = index["styles"][style], index["emoji"]
    with Image.open(io.BytesIO(edition.read(source["file"], source["sha256"]))) as sheet:
        x = _cut(sheet.convert("RGB"), len(emoji), stored, image_size)
    classes = tuple(c["name"] for c in index["classes"])
    y = torch.tensor([classes.index(e["class"]) for e in emoji])
    groups = torch.tensor([e["group"] for e in emoji])
    splits = {s: torch.tensor([i for i, e in enumerate(emoji) if e["split"] == s]) for s in SPLITS}
    return x, y, tuple(e["name"] for e in emoji), groups, splits, classes
