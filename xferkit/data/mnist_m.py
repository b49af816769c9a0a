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

# Disjoint photographs for training and test. Licences are in book/data/digits.md.
MNIST_M_PHOTOS = {
    "train": ["astronaut.png", "coffee.png", "motorcycle_left.png", "ihc.png", "brick.png"],
    "test": ["chelsea.png", "flower.jpg", "china.jpg"],
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


def photographs(part: str) -> list[Tensor]:
    """The photographs of one part, shrunk to a short side near 200 pixels, so that a 28-pixel crop shows structure.

    Raises:
        OSError: a photograph is missing or damaged.
    """
    import skimage
    import sklearn.datasets

    folders = (Path(skimage.__file__).parent / "data", Path(sklearn.datasets.__file__).parent / "images")
    photos = []
    for name in MNIST_M_PHOTOS[part]:
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
    """MNIST's three parts, each blended over its own photographs."""
    photos = {"train": photographs("train"), "test": photographs("test")}
    blended = {}
    for seed, (part, split) in enumerate({"train": mnist.train, "val": mnist.val, "test": mnist.test}.items()):
        generator = torch.Generator().manual_seed(seed)
        pool = photos["test" if part == "test" else "train"]
        blended[part] = replace(split, x=blend_mnist_m(split.x, pool, generator))
    return Domain("mnist_m", blended["train"], blended["val"], blended["test"], mnist.classes)
