"""What is kept: a sheet of pictures a style, `index.json`, and the figure of the data card."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, features

from emoji_styles.classes import Classes, Emoji
from emoji_styles.sources import SIZE, SOURCES

COLUMNS = 24
# One of each class, all of the training part.
FIGURE_EMOJI = (
    "man cook",
    "clown face",
    "raised fist",
    "beaver",
    "owl",
    "cactus",
    "mango",
    "popcorn",
    "top hat",
    "castle",
    "motorcycle",
    "comet",
    "axe",
    "open book",
)


def write_sheet(pictures: NDArray[np.uint8], path: Path) -> None:
    """All pictures of a style in one lossless WebP, row by row, COLUMNS to a row."""
    rows = -(-len(pictures) // COLUMNS)
    cells = np.full((rows * COLUMNS, SIZE, SIZE, 3), 255, np.uint8)
    cells[: len(pictures)] = pictures
    sheet = cells.reshape(rows, COLUMNS, SIZE, SIZE, 3).swapaxes(1, 2).reshape(rows * SIZE, COLUMNS * SIZE, 3)
    packed = io.BytesIO()  # so that the old sheet stays whole until the new one is
    Image.fromarray(sheet).save(packed, "WEBP", lossless=True, quality=100, method=6)
    path.write_bytes(packed.getvalue())


def write_index(emoji: Sequence[Emoji], classes: Classes, folder: Path) -> str:
    """`index.json`, one emoji a line, and its SHA-256."""
    styles = {}
    for style, source in SOURCES.items():
        data = (folder / f"{style}.webp").read_bytes()
        styles[style] = {
            "title": source.title,
            "designer": source.designer,
            "file": f"{style}.webp",
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "package": source.package,
            "version": source.version,
            "integrity": source.integrity,
            "icons_sha256": source.sha256,
            "licence": source.spdx,
            "licence_file": source.licence_file,
            "author": source.author,
            "url": source.url,
        }
    head = {
        "name": "EmojiStyles",
        "edition": 2,
        "image_size": SIZE,
        "columns": COLUMNS,
        "background": "white",
        "built_with": {
            "resvg-py": version("resvg-py"),
            "Pillow": version("Pillow"),
            "libwebp": features.version("webp"),
            "scikit-image": version("scikit-image"),
        },
        "styles": styles,
        "classes": [{"name": name, "look": look} for name, look in classes.look.items()],
    }
    lines = ",\n".join("  " + json.dumps(e, ensure_ascii=False) for e in emoji)
    text = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}") + f',\n "emoji": [\n{lines}\n ]\n}}\n'
    (folder / "index.json").write_bytes(text.encode())
    return hashlib.sha256(text.encode()).hexdigest()


def write_figure(emoji: Sequence[Emoji], pictures: dict[str, NDArray[np.uint8]], path: Path) -> None:
    """The same emoji in the six styles, a row a style, with its name and licence."""
    cell, gap, label, margin = 64, 10, 146, 14
    at = {e["name"]: i for i, e in enumerate(emoji)}
    width = label + len(FIGURE_EMOJI) * (cell + gap) + margin
    figure = Image.new("RGB", (width, 2 * margin + len(SOURCES) * (cell + gap) - gap), "white")
    pen = ImageDraw.Draw(figure)
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    bold = ImageFont.truetype(str(fonts / "DejaVuSans-Bold.ttf"), 18)
    plain = ImageFont.truetype(str(fonts / "DejaVuSans.ttf"), 14)
    for row, (style, source) in enumerate(SOURCES.items()):
        top = margin + row * (cell + gap)
        title = "Ink" if style == "ink" else source.title.replace(" Emoji", "")
        pen.text((margin, top + cell // 2 - 2), title, "#222222", bold, anchor="ls")
        pen.text((margin, top + cell // 2 + 4), source.spdx.replace("CC-", "CC ").replace("-4", " 4"), "#555555", plain)
        for column, name in enumerate(FIGURE_EMOJI):
            picture = Image.fromarray(pictures[style][at[name]]).resize((cell, cell), Image.Resampling.LANCZOS)
            figure.paste(picture, (label + column * (cell + gap), top))
    figure.save(path, optimize=True)
