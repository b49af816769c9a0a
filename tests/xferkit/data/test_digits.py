"""The small digit sets: held-out typefaces, a common frame."""

from __future__ import annotations

import itertools
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from xferkit.data import Split, digits, load_domain


def glyph(typeface: str, digit: int) -> bytes:
    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{typeface}.ttf"
    canvas = Image.new("L", (96, 96))
    ImageDraw.Draw(canvas).text((48, 48), str(digit), 255, font=ImageFont.truetype(str(file), 64), anchor="mm")
    return canvas.tobytes()


def test_syn_digits_holds_out_typefaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fonts that each part really opens share no file, no family and no shape of any digit."""
    opened: dict[str, set[str]] = {"train": set(), "val": set(), "test": set()}
    order = iter(opened)
    draw, truetype = digits.draw_digits, ImageFont.truetype
    running: list[str] = []

    def watched_draw(typefaces: list[str], n: int, seed: int) -> Split:
        running.append(next(order))
        return draw(typefaces, 10, seed)

    def watched_truetype(font: str, size: int) -> ImageFont.FreeTypeFont:
        opened[running[-1]].add(Path(font).stem)
        return truetype(font, size)

    monkeypatch.setattr(digits, "draw_digits", watched_draw)
    monkeypatch.setattr(ImageFont, "truetype", watched_truetype)
    digits.syn_digits()
    monkeypatch.undo()
    assert all(opened.values())
    family = {"cmr10": "cmr", "cmb10": "cmr", "cmti10": "cmr"}
    for one, other in itertools.combinations(opened, 2):
        assert not opened[one] & opened[other]
        families = [{family.get(f, f.split("-")[0].split("Gen")[0]) for f in opened[p]} for p in (one, other)]
        assert not families[0] & families[1]
        for digit in range(10):
            shapes = [{glyph(f, digit) for f in opened[p]} for p in (one, other)]
            assert not shapes[0] & shapes[1], digit


def test_syn_digits_repeat_with_their_seed_and_can_be_read() -> None:
    first, again, other = (digits.draw_digits(["DejaVuSans"], 30, seed) for seed in (0, 0, 1))
    assert torch.equal(first.x, again.x) and not torch.equal(first.x, other.x)
    for picture in first.x[:, :, 3:-3, 3:-3].float():  # ink and paper differ clearly in every picture
        assert picture.mean(0).max() - picture.mean(0).min() > 30


def test_digit_sets_have_their_strokes_in_the_middle() -> None:
    """A common frame for all, so that place and size do not give a domain away: centre of mass within two pixels."""
    for name in ("mnist", "uci_digits"):
        mass = load_domain(name).train.x[:, 0].float().mean(0).numpy()
        centre = [float(np.average(np.arange(28), weights=mass.sum(axis))) for axis in (0, 1)]
        assert centre == pytest.approx([13.5, 13.5], abs=2)
