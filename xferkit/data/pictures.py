"""One picture file to a square of RGB pixels: what a viewer shows, in bounded memory, or an error with its name."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# Pillow looks at the bytes, not at the name: a GIF called .jpg is read, while PostScript, which Pillow hands to another
# program, is not.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
MOST_PIXELS = 64_000_000  # what is decoded at once; larger JPEGs are decoded at half their size or less
_SCALED_16_BIT = ("PNG", "PPM")  # Pillow gives 0…65535 in mode I for these; elsewhere mode I has no known range

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_picture(file: Path, image_size: int) -> np.ndarray:
    """The middle square of a picture, seven eighths of its short side wide, as uint8 (image_size, image_size, 3).

    That is the customary resizing to 256 and cut to 224, in one step. Grey, palette, CMYK and 16-bit pictures become
    8-bit RGB; what is transparent shows white; the orientation of EXIF is applied; of several frames, the first counts.

    Raises:
        OSError: the file cannot be read, is no picture, is damaged, has more than 64 million pixels (JPEG: more than
            Pillow opens), or holds numbers without an agreed range (32-bit integers, floats, LAB).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, on odd metadata, and on sizes that are judged below
            with Image.open(file, formats=_FORMATS) as picture:
                return _square(picture, image_size)
    except Exception as error:  # a damaged file can raise nearly anything
        raise OSError(f"{file} is not a readable picture ({error}). Remove or replace it.") from error


def _square(picture: Image.Image, image_size: int) -> np.ndarray:
    wanted = 2 * math.ceil(image_size * 8 / 7)
    picture.draft(None, (wanted, wanted))  # JPEG only: decodes a half, quarter or eighth, but twice what is needed
    if picture.width * picture.height > MOST_PIXELS:
        raise ValueError(f"{picture.width}×{picture.height} pixels; scale it down to at most {MOST_PIXELS:,} pixels")
    picture.load()
    width, height = picture.size
    side = min(width, height) * 7 / 8
    left, top, reach = (width - side) / 2, (height - side) / 2, math.ceil(side / image_size) + 1
    # Cut before anything is converted or resized, with as much around the square as the filter looks at.
    x0, y0 = max(0, math.floor(left) - reach), max(0, math.floor(top) - reach)
    x1, y1 = min(width, math.ceil(left + side) + reach), min(height, math.ceil(top + side) + reach)
    part = _eight_bit(picture.crop((x0, y0, x1, y1)), picture.format)
    box = (left - x0, top - y0, left - x0 + side, top - y0 + side)
    small = part.resize((image_size, image_size), Image.Resampling.BILINEAR, box=box)
    if small.mode == "RGBA":
        small = Image.alpha_composite(Image.new("RGBA", small.size, "white"), small).convert("RGB")
    turn = _TURNS.get(_orientation(picture))
    return np.asarray(small if turn is None else small.transpose(turn))


def _eight_bit(picture: Image.Image, file_format: str | None) -> Image.Image:
    """The same picture in mode RGB, or RGBA where some of it is transparent."""
    mode = picture.mode
    if mode.startswith("I;16") or (mode == "I" and file_format in _SCALED_16_BIT):
        values = np.asarray(picture)
        grey = Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
        unseen = picture.info.get("transparency")
        if isinstance(unseen, int):
            grey.putalpha(Image.fromarray(np.where(values == unseen, 0, 255).astype(np.uint8)))
        return grey.convert("RGBA" if isinstance(unseen, int) else "RGB")
    if mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
        return picture.convert("RGBA")
    if mode in ("1", "L", "P", "RGB", "CMYK", "YCbCr"):
        return picture.convert("RGB")
    raise ValueError(f"its numbers (Pillow's mode {mode}) have no agreed range; save it as 8-bit RGB or grey")


def _orientation(picture: Image.Image) -> int:
    """EXIF's orientation; 1, upright, if it cannot be read, or for a TIFF, which Pillow has turned while loading."""
    try:
        return 1 if picture.format == "TIFF" else int(picture.getexif().get(0x0112, 1))
    except Exception:  # damaged metadata do not make the pixels unreadable
        return 1
