"""MNIST-M: blending cannot wrap, and no digit or photograph of the test part is seen in training."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from data_toys import digest, generator, parts
from torch import Tensor

from xferkit.data import Split, blend_mnist_m, load_domain, mnist_m

DIGIT_SETS = ("mnist", "uci_digits", "syn_digits", "mnist_m")
# SHA-256 of the pixels of train, val and test, in this order. A new value here means new data: say so in the card.
MNIST_M_SHA256 = "c859c500883ae83db722114cf347ddcce5ec2ca2a1b44ec4f0cff726f3a13181"


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


def test_a_damaged_photograph_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import skimage

    monkeypatch.setitem(mnist_m.MNIST_M_PHOTOS, "test", ["../__init__.py"])  # a file that is no picture
    assert (Path(skimage.__file__).parent / "data" / "../__init__.py").is_file()
    with pytest.raises(OSError, match=r"__init__\.py is damaged.*scikit-image"):
        mnist_m.photographs("test")


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
    with pytest.raises(TypeError, match=r"digits are torch.float32, but must be uint8"):
        blend_mnist_m(digits.float(), [digits[0]], generator())
    with pytest.raises(TypeError, match=r"photographs are torch.float32, but must be uint8"):
        blend_mnist_m(digits, [digits[0].float()], generator())
    for shape in ((1, 28, 28), (4, 28, 28), (28, 28)):  # grey would be repeated in silence
        with pytest.raises(ValueError, match=r"a photograph has the shape .*must be \(3, h, w\)"):
            blend_mnist_m(digits, [digits[0], torch.zeros(shape, dtype=torch.uint8)], generator())
    with pytest.raises(TypeError, match=r"generator=3 must be a torch.Generator"):
        blend_mnist_m(digits, [digits[0]], 3)
