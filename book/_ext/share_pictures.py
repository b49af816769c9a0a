"""The picture that a shared link shows: one for each page, its title over its chapter's key figure or the emoji ladder.

1200×630 pixels, as the networks ask for. What a picture is made of names the file that keeps it beside the built book,
so that a build that changes no title and no figure draws nothing.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIZE = (1200, 630)
EDGE = 60
BLUE, INK = "#0b5a8f", "#1d2126"


def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Serif, which comes with matplotlib and knows Greek."""
    import matplotlib

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSerif{'-Bold' if bold else ''}.ttf", size)


def wrapped(text: str, letters: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """The text in lines that fit."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if letters.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def draw(title: str, book: str, figure: Image.Image) -> bytes:
    """The picture as PNG."""
    card = Image.new("RGB", SIZE, "white")
    pen = ImageDraw.Draw(card)
    pen.rectangle((0, 0, 14, SIZE[1]), fill=BLUE)
    pen.text((EDGE, 36), book, font=font(28), fill=BLUE)
    lines, size = [title], 60
    for size in (60, 52, 44, 36):
        lines = wrapped(title, font(size, bold=True), SIZE[0] - 2 * EDGE)
        if len(lines) <= 2:
            break
    y = 86
    for line in lines:
        pen.text((EDGE, y), line, font=font(size, bold=True), fill=INK)
        y += round(1.25 * size)
    room = (SIZE[0] - 2 * EDGE, SIZE[1] - y - 50)
    scale = min(room[0] / figure.width, room[1] / figure.height)
    shown = figure.convert("RGB").resize(
        (round(scale * figure.width), round(scale * figure.height)), Image.Resampling.LANCZOS
    )
    card.paste(shown, ((SIZE[0] - shown.width) // 2, y + 20 + (room[1] - shown.height) // 2))
    packed = io.BytesIO()
    card.quantize(128).save(packed, "PNG", optimize=True)
    return packed.getvalue()


def ladder(folder: Path) -> Image.Image:
    """The six styles one above the other."""
    strips = [Image.open(path).convert("RGB") for path in sorted(folder.glob("*.webp"))]
    whole = Image.new("RGB", (strips[0].width, sum(strip.height for strip in strips)), "white")
    y = 0
    for strip in strips:
        whole.paste(strip, (0, y))
        y += strip.height
    return whole


def picture(title: str, book: str, figure: bytes | Path, kept: Path) -> bytes:
    """The picture of one page: drawn, or as it was kept.

    Args:
        figure: the bytes of a chapter's key figure, or the folder of the ladder's strips.
    """
    made_of = figure if isinstance(figure, bytes) else b"".join(p.read_bytes() for p in sorted(figure.glob("*.webp")))
    code = Path(__file__).read_bytes()
    key = hashlib.sha256(b"\0".join([title.encode(), book.encode(), made_of, code])).hexdigest()
    store = kept / f"{key}.png"
    if not store.exists():
        kept.mkdir(parents=True, exist_ok=True)
        shown = Image.open(io.BytesIO(figure)) if isinstance(figure, bytes) else ladder(figure)
        store.write_bytes(draw(title, book, shown))
    return store.read_bytes()
