"""MNIST-M: blending cannot wrap, training sees no held-out digit or photograph, validation is drawn as test is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from data_toys import digest, generator, parts
from torch import Tensor

from xferkit.data import Domain, Split, blend_mnist_m, load_domain, mnist_m

DIGIT_SETS = ("mnist", "uci_digits", "syn_digits", "mnist_m")
GROUP = {"train": "train", "val": "held_out", "test": "held_out"}  # whose photographs lie under each part
# SHA-256 of the pixels of train, val and test, in this order. A new value here means new data: say so in the card.
# It is the same on every machine: whole-number averages and differences, torch's generator on the CPU, and for the four
# JPEGs libjpeg-turbo's integer transform, which every wheel of Pillow brings along.
MNIST_M_SHA256 = "d897dd89c82e869de75ce92cd6d47f7e75b3bc861c8af59b960096eda37fc3a1"
# SHA-256 of each photograph as it is blended in, so that one which changed is named.
PHOTOS_SHA256 = {
    "astronaut.png": "d2b03fb26ed4353623f901ecc1858a7e2e9a131138452a009195f2bf27744ce2",
    "coffee.png": "9004f3d22d8c423a76612e6ed490419d04b7030c7d3d1d245f924bdb8f1bed28",
    "rocket.jpg": "46184e0908c61ba81afac6eee735de7e1405c2e8ec99c09c4cf73d8a75d5fe74",
    "ihc.png": "a4c8a944687b3436c2e435b24bc3455d3674e3adf6aa7c7fac11be7523f328dc",
    "brick.png": "c94a298004b145540f831f9671d816c2bc98f6fda2f69d6c828b9f08390b26c9",
    "grass.png": "94a27482dce6ef71f60d82a76e479215b8b81f45db5251fcc37b666d1cd4b368",
    "chelsea.png": "9c717786308ef130d869e61afda7439c5a84e3624d7d1bc0500947db97a023f1",
    "flower.jpg": "88dec137ae7d377e578a6d8558adcf713b8d54cce3f329653535d009bd835e9f",
    "china.jpg": "4bb4b50cf1a48f52102226970bd49922fe93b65a152c3475a88cf84fe66c5dd4",
    "retina.jpg": "ac6f29ee33b24cfe437f7702e7bec1fa66de9fee84a354c6ef31e970e2e0ad25",
    "gravel.png": "ef137e21de4af3be69f026141210cc1d8c8c9ab3e1fe153a4be43a26e9f8d69e",
}


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
    own = mnist_m.photographs(GROUP[part])
    others = mnist_m.photographs("held_out" if part == "train" else "train")
    for i in range(3):
        assert sum(places(blended.x[i], digits.x[i], photo) for photo in own) >= 1
        assert sum(places(blended.x[i], digits.x[i], photo) for photo in others) == 0


def test_photographs_are_the_published_ones_and_none_is_in_both_groups() -> None:
    files = mnist_m.MNIST_M_PHOTOS
    assert list(files) == ["train", "held_out"] and list(PHOTOS_SHA256) == files["train"] + files["held_out"]
    found = [digest(photo).hex() for group in files for photo in mnist_m.photographs(group)]
    assert dict(zip(PHOTOS_SHA256, found, strict=True)) == PHOTOS_SHA256
    assert len(set(found)) == 11


def test_validation_and_test_are_blended_over_the_same_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blank digits over photographs of one shade each: how often a shade is there is how often its photograph is."""
    shades = {"train": [10, 20, 30, 40, 50, 60], "held_out": [110, 120, 130, 140, 150]}
    flat = {group: [torch.full((3, 30, 30), s, dtype=torch.uint8) for s in there] for group, there in shades.items()}
    monkeypatch.setattr(mnist_m, "photographs", flat.__getitem__)
    blank = Split(torch.zeros(1000, 3, 28, 28, dtype=torch.uint8), torch.zeros(1000, dtype=torch.int64))
    domain = mnist_m.mnist_m_small(Domain("blank", blank, blank, blank, ("0",)))
    for part, split in parts(domain).items():
        there, counts = split.x[:, 0, 0, 0].unique(return_counts=True)
        assert there.tolist() == shades[GROUP[part]], part
        share = 1000 / len(there)
        assert ((counts - share).abs() < 4 * share**0.5).all(), part  # four standard deviations
    assert not torch.equal(domain.val.x, domain.test.x)  # each part has draws of its own


def test_mnist_m_is_the_published_data() -> None:
    pixels = hashlib.sha256()
    for part in parts(load_domain("mnist_m")).values():
        pixels.update(part.x.numpy().tobytes())
    assert pixels.hexdigest() == MNIST_M_SHA256


def test_a_missing_photograph_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mnist_m.MNIST_M_PHOTOS, "held_out", ["gone.png"])
    with pytest.raises(OSError, match=r"gone\.png.*scikit-image"):
        mnist_m.photographs("held_out")


def test_a_damaged_photograph_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import skimage

    monkeypatch.setitem(mnist_m.MNIST_M_PHOTOS, "held_out", ["../__init__.py"])  # a file that is no picture
    assert (Path(skimage.__file__).parent / "data" / "../__init__.py").is_file()
    with pytest.raises(OSError, match=r"__init__\.py is damaged.*scikit-image"):
        mnist_m.photographs("held_out")


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
