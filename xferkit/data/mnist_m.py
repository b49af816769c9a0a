"""MNIST-M: digits blended over photographs (Ganin et al. 2016, §5.2.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from xferkit._checks import check_generator, check_pixels, check_uint8
from xferkit.data.split import Domain

# Disjoint sets of photographs: one for training, one for validation and test, so that what is chosen on validation
# pictures is chosen for pictures of the same kind as the test's. Licences, and what was left out: book/data/digits.md.
MNIST_M_PHOTOS = {
    "train": ["astronaut.png", "coffee.png", "rocket.jpg", "ihc.png", "brick.png", "grass.png"],
    "held_out": ["chelsea.png", "flower.jpg", "china.jpg", "retina.jpg", "gravel.png"],
}
AGAIN = "reinstall scikit-image and scikit-learn, which ship it"


def blend_mnist_m(digits: Tensor, photos: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    """Blend digits over random crops of photographs: ``|crop − digit|`` in every channel (Ganin et al. 2016, §5.2.4).

    The difference is taken in 16-bit integers: uint8 minus uint8 wraps around, so that 3 − 5 would give 254.

    Args:
        digits: uint8 (N, 3, H, W).
        photos: uint8 (3, h, w) each, at least as large as a digit.
    Returns:
        uint8 (N, 3, H, W).
    Raises:
        TypeError: digits or a photograph that are not uint8 tensors, or no generator.
        ValueError: another shape, no photograph, or one smaller than a digit.
    """
    check_pixels(digits, what="digits")
    check_generator(generator)
    height, width = digits.shape[2:]
    if len(photos) == 0:
        raise ValueError("need at least one photograph.")
    for photo in photos:
        check_uint8(photo, what="photographs")
        if photo.ndim != 3 or len(photo) != 3 or photo.shape[1] < height or photo.shape[2] < width:
            raise ValueError(
                f"a photograph has the shape {tuple(photo.shape)}: each must be (3, h, w), at least {height}×{width}."
            )
    blended = torch.empty_like(digits)
    for i, digit in enumerate(digits):
        photo = photos[int(torch.randint(len(photos), (), generator=generator))]
        top = int(torch.randint(photo.shape[1] - height + 1, (), generator=generator))
        left = int(torch.randint(photo.shape[2] - width + 1, (), generator=generator))
        crop = photo[:, top : top + height, left : left + width]
        blended[i] = (crop.to(torch.int16) - digit.to(torch.int16)).abs().to(torch.uint8)
    return blended


def photographs(group: str) -> list[Tensor]:
    """One set of photographs, shrunk to a short side near 200 pixels, so that a 28-pixel crop shows structure.

    Args:
        group: "train" or "held_out".
    Returns:
        uint8 (3, h, w) each, in the order of `MNIST_M_PHOTOS`.
    Raises:
        OSError: a photograph is missing or damaged.
    """
    import skimage
    import sklearn.datasets

    folders = (Path(skimage.__file__).parent / "data", Path(sklearn.datasets.__file__).parent / "images")
    photos = []
    for name in MNIST_M_PHOTOS[group]:
        path = next((f / name for f in folders if (f / name).is_file()), None)
        if path is None:
            raise OSError(f"photograph {name} is missing: {AGAIN}.")
        try:
            photo = Image.open(path).convert("RGB")
        except Exception as error:  # Pillow has many kinds
            raise OSError(f"photograph {path} is damaged ({error}): {AGAIN}.") from error
        # An integer box average gives the same bytes on every machine.
        photo = photo.reduce(max(1, min(photo.size) // 200))
        photos.append(torch.from_numpy(np.array(photo)).permute(2, 0, 1).contiguous())
    return photos


def mnist_m_small(mnist: Domain) -> Domain:
    """MNIST's training part over the photographs for training; validation and test over the held-out ones."""
    train, held_out = photographs("train"), photographs("held_out")
    parts = ((mnist.train, train), (mnist.val, held_out), (mnist.test, held_out))
    train_part, val, test = (
        replace(split, x=blend_mnist_m(split.x, photos, torch.Generator().manual_seed(seed)))
        for seed, (split, photos) in enumerate(parts)
    )
    return Domain("mnist_m", train_part, val, test, mnist.classes)
