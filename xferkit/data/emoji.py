"""EmojiStyles: the same emoji drawn in five open styles, bundled with the package and read with Pillow alone.

Each style is one lossless WebP sheet of 128 px pictures on white; `index.json` names what stands where, its class,
its variant group and its split. How the set was made: `scripts/build_emoji_styles.py` and the data card.
"""

from __future__ import annotations

import hashlib
import io
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

STYLES = ("noto", "twemoji", "openmoji", "fluent", "fluent_flat")
SPLITS = ("train", "val", "test")
FOLDER = Path(__file__).parent.parent / "assets" / "emoji_styles"
# Pins index.json, which in turn holds the checksum of every sheet. The build script prints the new value.
INDEX_SHA256 = "f99904793c9ad6d35ac169dddd5b5b441eb6fd521318871b6d30147a38fbb837"

EmojiStyle = tuple[Tensor, Tensor, tuple[str, ...], Tensor, dict[str, Tensor], tuple[str, ...]]


def read_checked(path: Path, sha256: str) -> bytes:
    """The file's bytes, once their SHA-256 has been compared with the one expected.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: its bytes are not the ones that were published.
    """
    cure = (
        f"Expected SHA-256 {sha256}. To get it again: `git checkout -- xferkit/assets/emoji_styles` in a clone of the "
        f"course, or reinstall xferkit (`pip install --force-reinstall --no-deps xferkit` from where you had it)."
    )
    if not path.is_file():
        raise FileNotFoundError(f"EmojiStyles: {path} is missing. {cure}")
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ValueError(f"EmojiStyles: {path} is damaged: its SHA-256 is {found}. {cure}")
    return data


@lru_cache(maxsize=1)
def emoji_index() -> dict[str, Any]:
    """What `index.json` holds: `classes`, `styles` (package, version, licence, file, checksum) and `emoji`."""
    index: dict[str, Any] = json.loads(read_checked(FOLDER / "index.json", INDEX_SHA256))
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


@lru_cache(maxsize=16)
def load_emoji_style(style: str, image_size: int = 128) -> EmojiStyle:
    """One style of EmojiStyles: pictures x, labels y, names, groups, splits and classes, in that order.

    x is uint8 (N, 3, image_size, image_size), y and groups are int64 (N,); splits maps "train", "val" and "test" to
    int64 positions. Row i is the same emoji in every style. Pictures are stored at 128 px and scaled down with
    Pillow's antialiased Lanczos filter. The result is cached: do not change the tensors in place.

    Raises:
        ValueError: an unknown style, a size that is not in 8..128, or a damaged file.
        FileNotFoundError: a file of the set is missing.
    """
    if style not in STYLES:
        raise ValueError(f"no emoji style {style!r}. Choose one of: {', '.join(STYLES)}.")
    index = emoji_index()
    stored = index["image_size"]
    if not 8 <= image_size <= stored:
        raise ValueError(f"image_size={image_size}: emoji are stored at {stored} px; choose 8 to {stored}.")
    source, emoji = index["styles"][style], index["emoji"]
    with Image.open(io.BytesIO(read_checked(FOLDER / source["file"], source["sha256"]))) as sheet:
        x = _cut(sheet.convert("RGB"), len(emoji), stored, image_size)
    classes = tuple(c["name"] for c in index["classes"])
    y = torch.tensor([classes.index(e["class"]) for e in emoji])
    groups = torch.tensor([e["group"] for e in emoji])
    splits = {s: torch.tensor([i for i, e in enumerate(emoji) if e["split"] == s]) for s in SPLITS}
    return x, y, tuple(e["name"] for e in emoji), groups, splits, classes
