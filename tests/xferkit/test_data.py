"""Domains and batches: nothing of a test part is seen in training, blending cannot wrap, order can be repeated."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from xferkit.data import (
    Domain,
    Split,
    TensorLoader,
    blend_mnist_m,
    digits,
    few_labels,
    list_domains,
    load_domain,
    mnist_m,
    paired_batches,
    to_float,
)
from xferkit.session import device

DIGIT_SETS = ("mnist", "uci_digits", "syn_digits", "mnist_m")
# SHA-256 of the pixels of train, val and test, in this order. A new value here means new data: say so in the card.
MNIST_M_SHA256 = "c859c500883ae83db722114cf347ddcce5ec2ca2a1b44ec4f0cff726f3a13181"


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ramp(n: int = 10, classes: int = 3) -> Split:
    """Picture i is filled with the value i, so that it can be recognised anywhere."""
    x = torch.arange(n, dtype=torch.uint8)[:, None, None, None].expand(n, 3, 4, 4).contiguous()
    return Split(x, torch.arange(n) % classes, tuple(f"p{i}" for i in range(n)), torch.arange(n) // 2)


def shown(x: Tensor) -> list[int]:
    """Which pictures of `ramp` a batch holds."""
    return (x[:, 0, 0, 0] * 128 + 127).round().int().tolist()


def digest(picture: Tensor) -> bytes:
    return hashlib.sha256(picture.contiguous().numpy().tobytes()).digest()


def parts(domain: Domain) -> dict[str, Split]:
    return {"train": domain.train, "val": domain.val, "test": domain.test}


# ----------------------------------------------------------------------------------------------- splits and batches


def test_a_split_checks_what_it_is_given() -> None:
    y = torch.zeros(2, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"uint8 \(N, 3, H, W\), not torch.float32 \(2, 3, 4, 4\)"):
        Split(torch.zeros(2, 3, 4, 4), y)
    with pytest.raises(ValueError, match=r"\(2, 1, 4, 4\)"):
        Split(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), y)
    with pytest.raises(ValueError, match="3 pictures but 2 labels"):
        Split(torch.zeros(3, 3, 4, 4, dtype=torch.uint8), y)


def test_a_subset_keeps_pictures_labels_names_and_groups_together() -> None:
    part = ramp().subset([7, 2, 2])
    assert part.x[:, 0, 0, 0].tolist() == [7, 2, 2] and part.y.tolist() == [1, 2, 2]
    assert part.names == ("p7", "p2", "p2") and part.groups is not None and part.groups.tolist() == [3, 1, 1]
    assert len(part) == 3


def test_pixels_become_floats_about_minus_one_to_one() -> None:
    x = torch.tensor([0, 127, 255], dtype=torch.uint8)
    assert to_float(x).tolist() == [-127 / 128, 0, 1] and to_float(x).dtype == torch.float32


def test_an_epoch_gives_every_picture_once_scaled_on_the_device() -> None:
    split = ramp()
    loader = TensorLoader(split.x, split.y, 4, shuffle=True, generator=generator())
    batches = list(loader)
    assert [len(y) for _, y in batches] == [4, 4, 2] and len(loader) == 3
    x, y = (torch.cat(t) for t in zip(*batches, strict=True))
    assert x.device.type == y.device.type == device().type and x.dtype == torch.float32
    order = shown(x)
    assert sorted(order) == list(range(10)) and order != list(range(10))
    assert y.tolist() == [i % 3 for i in order]
    assert torch.equal(x.cpu(), to_float(split.x[order]))


def test_shuffling_is_new_each_epoch_and_repeats_with_its_generator() -> None:
    split = ramp(200)

    def two_epochs(seed: int) -> list[list[int]]:
        loader = TensorLoader(split.x, split.y, 50, shuffle=True, generator=generator(seed))
        return [shown(torch.cat([x for x, _ in loader])) for _ in range(2)]

    first, second = two_epochs(0)
    assert first != second
    assert two_epochs(0) == [first, second] and two_epochs(1) != [first, second]


def test_without_shuffling_the_order_stands() -> None:
    split = ramp()
    assert shown(torch.cat([x for x, _ in TensorLoader(split.x, split.y, 3)])) == list(range(10))


@pytest.mark.parametrize(("n", "labels", "size"), [(0, 0, 4), (3, 2, 4), (3, 3, 0)])
def test_a_loader_refuses_what_it_cannot_load(n: int, labels: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"{n} pictures, {labels} labels, batch size {size}"):
        TensorLoader(torch.zeros(n, 3, 4, 4, dtype=torch.uint8), torch.zeros(labels, dtype=torch.int64), size)


def test_paired_batches_give_source_labels_and_never_the_targets() -> None:
    source, target = ramp(12), ramp(9)
    unlabelled = Split(target.x, torch.full((9,), -1))
    for batch, same in zip(
        itertools.islice(paired_batches(source, target, 4, generator=generator()), 20),
        paired_batches(source, unlabelled, 4, generator=generator()),
        strict=False,
    ):
        assert len(batch) == 3  # x_s, y_s, x_t
        x_s, y_s, x_t = batch
        assert x_s.shape == x_t.shape == (4, 3, 4, 4) and x_t.device.type == device().type
        assert y_s.tolist() == [i % 3 for i in shown(x_s)]
        assert all(torch.equal(a, b) for a, b in zip(batch, same, strict=True))


def test_paired_batches_go_through_each_side_in_full_passes() -> None:
    """12 source pictures make three whole batches, 9 target pictures two, with one left over each time."""
    batches = list(itertools.islice(paired_batches(ramp(12), ramp(9), 4, generator=generator()), 6))
    source, target = [shown(b[0]) for b in batches], [shown(b[2]) for b in batches]
    for start in (0, 3):
        assert sorted(sum(source[start : start + 3], [])) == list(range(12))
    for start in (0, 2, 4):
        assert len(set(sum(target[start : start + 2], []))) == 8
    assert source[:3] != source[3:]
    assert set(sum(target, [])) == set(range(9))


def test_paired_batches_refuse_what_does_not_fit() -> None:
    small = Split(torch.zeros(9, 3, 5, 4, dtype=torch.uint8), torch.zeros(9, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"\(3, 4, 4\).*\(3, 5, 4\)"):
        next(paired_batches(ramp(), small, 2, generator=generator()))
    with pytest.raises(ValueError, match="target has 9 pictures, fewer than a batch of 10"):
        next(paired_batches(ramp(10), ramp(9), 10, generator=generator()))


def test_few_labels_draws_the_same_number_of_each_class() -> None:
    split = ramp(100, classes=4)
    few = few_labels(split, 5, generator())
    assert few.y.bincount().tolist() == [5] * 4 and few.x.flatten(1)[:, 0].unique().numel() == 20
    assert few.names == few_labels(split, 5, generator()).names != few_labels(split, 5, generator(1)).names
    assert few_labels(split, 30, generator()).y.bincount().tolist() == [25] * 4  # all that there are


# ---------------------------------------------------------------------------------------------------------- domains


@pytest.mark.parametrize("name", DIGIT_SETS)
def test_digit_domains_have_all_classes_in_every_part(name: str) -> None:
    domain = load_domain(name)
    assert domain.name == name and domain.classes == tuple("0123456789")
    for part in parts(domain).values():
        assert part.x.shape[1:] == (3, 28, 28) and part.x.dtype == torch.uint8 and part.y.dtype == torch.int64
        counts = part.y.bincount(minlength=10)
        assert counts.min() > 0.8 * counts.max()
    assert f"{len(domain.train)} / {len(domain.val)} / {len(domain.test)}" in str(domain)


def test_the_real_digits_are_all_there_once() -> None:
    """5,000 of MNIST and 1,797 of UCI, no picture twice."""
    for name, total in (("mnist", 5000), ("uci_digits", 1797)):
        pictures = {digest(p) for part in parts(load_domain(name)).values() for p in part.x}
        assert len(pictures) == total


@pytest.mark.parametrize("name", ["mnist", "uci_digits", "syn_digits", "mnist_m"])
def test_no_test_picture_is_in_any_domains_training_or_validation_part(name: str) -> None:
    held_out = {digest(p) for p in load_domain(name).test.x}
    assert len(held_out) == len(load_domain(name).test)
    for other in DIGIT_SETS:
        domain = load_domain(other)
        assert not held_out & {digest(p) for part in (domain.train, domain.val) for p in part.x}, other


def explained_by(blended: Split, digits: Split) -> Tensor:
    """Whether the digit in the same place can have made each picture: |crop − d| is at most max(d, 255 − d)."""
    d = digits.x.int()
    return (blended.x <= torch.maximum(d, 255 - d)).flatten(1).all(1)


def test_mnist_m_is_made_of_the_same_part_of_mnist() -> None:
    """Part by part and picture by picture, so MNIST's test digits are in no training part of MNIST-M either."""
    mnist, mnist_m = load_domain("mnist"), load_domain("mnist_m")
    for (name, plain), blended in zip(parts(mnist).items(), parts(mnist_m).values(), strict=True):
        assert torch.equal(plain.y, blended.y), name
        assert explained_by(blended, plain).all(), name
    # The check sees a digit that is not the one blended in.
    wrong = mnist.test.subset(torch.arange(len(mnist.test)).roll(10))  # the same classes, other hands
    assert explained_by(mnist_m.test, wrong).float().mean() < 0.7


def places(picture: Tensor, digit: Tensor, photo: Tensor) -> int:
    """How many windows of the photograph, blended with this digit, give this picture exactly."""
    blank = (digit == 0).all(0)  # there the picture shows the photograph itself
    ys, xs = blank.nonzero()[::7][:90].T.tolist()
    h, w = photo.shape[1] - 27, photo.shape[2] - 27
    fits = torch.ones(h, w, dtype=torch.bool)
    for y, x in zip(ys, xs, strict=True):
        fits &= (photo[:, y : y + h, x : x + w] == picture[:, y, x, None, None]).all(0)
    found = 0
    for top, left in fits.nonzero().tolist():
        crop = photo[:, top : top + 28, left : left + 28]
        found += bool(torch.equal((crop.int() - digit.int()).abs(), picture.int()))
    return found


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_mnist_m_shows_its_digits_over_its_own_photographs_alone(part: str) -> None:
    digits, blended = getattr(load_domain("mnist"), part), getattr(load_domain("mnist_m"), part)
    own = mnist_m.photographs("test" if part == "test" else "train")
    others = mnist_m.photographs("train" if part == "test" else "test")
    for i in range(3):
        assert sum(places(blended.x[i], digits.x[i], photo) for photo in own) >= 1
        assert sum(places(blended.x[i], digits.x[i], photo) for photo in others) == 0


def test_training_and_test_photographs_are_disjoint() -> None:
    names = {part: set(files) for part, files in mnist_m.MNIST_M_PHOTOS.items()}
    assert names["train"] and names["test"] and not names["train"] & names["test"]
    pixels = {part: {digest(p) for p in mnist_m.photographs(part)} for part in names}
    assert not pixels["train"] & pixels["test"]


def test_mnist_m_is_the_published_data() -> None:
    pixels = hashlib.sha256()
    for part in parts(load_domain("mnist_m")).values():
        pixels.update(part.x.numpy().tobytes())
    assert pixels.hexdigest() == MNIST_M_SHA256


def test_a_missing_photograph_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mnist_m.MNIST_M_PHOTOS, "test", ["gone.png"])
    with pytest.raises(OSError, match=r"gone\.png.*scikit-image"):
        mnist_m.photographs("test")


def test_another_size_is_the_same_picture_smaller() -> None:
    domain, small = load_domain("mnist"), load_domain("mnist", image_size=14)
    assert small.test.x.shape == (1000, 3, 14, 14) and torch.equal(small.test.y, domain.test.y)
    blocks = torch.nn.functional.avg_pool2d(domain.test.x.float(), 2)
    assert (small.test.x.float() - blocks).abs().mean() < 8
    assert load_domain("mnist").test.x.shape[-1] == 28  # the cached one is not touched
    with pytest.raises(ValueError, match="image_size=0"):
        load_domain("mnist", image_size=0)


def test_an_unknown_domain_names_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XFERKIT_PROFILE", "small")
    with pytest.raises(ValueError) as caught:
        load_domain("minst")
    assert "'minst'" in str(caught.value) and all(name in str(caught.value) for name in list_domains())
    with pytest.raises(ValueError, match="XFERKIT_PROFILE=full"):
        load_domain("usps")
    assert set(DIGIT_SETS) < set(list_domains()) and "usps" not in list_domains()
    monkeypatch.setenv("XFERKIT_PROFILE", "full")
    assert {"usps", "svhn"} < set(list_domains())


# --------------------------------------------------------------------------------------------------------- blending


def test_blending_cannot_wrap() -> None:
    """Every pair of a background and an ink value, against Python's own integers."""
    values = [0, 1, 3, 5, 126, 127, 128, 129, 254, 255]
    for background in values:
        digits = torch.tensor(values, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2).contiguous()
        photo = torch.full((3, 2, 2), background, dtype=torch.uint8)
        blended = blend_mnist_m(digits, [photo], generator())
        assert blended.dtype == torch.uint8
        for ink, picture in zip(values, blended, strict=True):
            assert picture.unique().tolist() == [abs(background - ink)]


def test_blending_takes_a_window_of_a_photograph_and_changes_no_input() -> None:
    photo = torch.arange(3 * 6 * 7, dtype=torch.uint8).view(3, 6, 7)
    digits = torch.zeros(200, 3, 4, 4, dtype=torch.uint8)
    photo_before, digits_before = photo.clone(), digits.clone()
    blended = blend_mnist_m(digits, [photo], generator())
    windows = {digest(photo[:, t : t + 4, le : le + 4]) for t in range(3) for le in range(4)}
    assert {digest(p) for p in blended} == windows  # all of them, the last row and column too
    assert torch.equal(photo, photo_before) and torch.equal(digits, digits_before)


def test_blending_repeats_with_its_generator() -> None:
    digits = load_domain("mnist").val.x[:20]
    photos = mnist_m.photographs("train")
    first, again, other = (blend_mnist_m(digits, photos, generator(s)) for s in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_blending_refuses_what_it_cannot_blend() -> None:
    photo, digits = torch.zeros(3, 28, 27, dtype=torch.uint8), torch.zeros(1, 3, 28, 28, dtype=torch.uint8)
    with pytest.raises(ValueError, match="at least 28×28"):
        blend_mnist_m(digits, [photo], generator())
    with pytest.raises(ValueError, match="at least one photograph"):
        blend_mnist_m(digits, [], generator())
    with pytest.raises(ValueError, match=r"torch.float32"):
        blend_mnist_m(digits.float(), [digits[0]], generator())


# -------------------------------------------------------------------------------------------------------- SynDigits


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
