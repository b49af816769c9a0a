"""MNIST-M: digits blended over photographs (Ganin et al. 2016, §5.2.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from xferkit.data.split import Domain

# Disjoint photographs for training and test. Licences are in book/data/digits.md.
MNIST_M_PHOTOS = {
    "train": ["astronaut.png", "coffee.png", "motorcycle_left.png", "ihc.png", "brick.png"],
    "test": ["chelsea.png", "flower.jpg", "china.jpg"],
}


def blend_mnist_m(digits: Tensor, photos: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    """Blend digits over random crops of photographs: ``|crop − digit|`` in every channel (Ganin et al. 2016, §5.2.4).

    The difference is taken in 16-bit integers: uint8 minus uint8 wraps around, so that 3 − 5 would give 254.

    Args:
        digits: uint8 (N, 3, H, W).
        photos: uint8 (3, h, w) each, at least as large as a digit.
    Returns:
        uint8 (N, 3, H, W).
    Raises:
        ValueError: wrong type or shape, no photograph, or one smaller than a digit.
    """
    if digits.dtype != torch.uint8 or digits.ndim != 4 or digits.shape[1] != 3:
        raise ValueError(f"digits must be uint8 (N, 3, H, W), not {digits.dtype} {tuple(digits.shape)}.")
    height, width = digits.shape[2:]
    if not photos or any(p.dtype != torch.uint8 or p.shape[1] < height or p.shape[2] < width for p in photos):
        raise ValueError(f"need at least one photograph, each uint8 (3, h, w) of at least {height}×{width} pixels.")
    blended = torch.empty_like(digits)
    for i, digit in enumerate(digits):
        photo = photos[int(torch.randint(len(photos), (), generator=generator))]
        top = int(torch.randint(photo.shape[1] - height + 1, (), generator=generator))
        left = int(torch.randint(photo.shape[2] - width + 1, (), generator=generator))
        crop = photo[:, top : top + height, left : left + width]
        blended[i] = (crop.to(torch.int16) - digit.to(torch.int16)).abs().to(torch.uint8)
    return blended


def photographs(part: str) -> list[Tensor]:
    """The photographs of one part, shrunk to a short side near 200 pixels, so that a 28-pixel crop shows structure."""
    import skimage
    import sklearn.datasets

    folders = (Path(skimage.__file__).parent / "data", Path(sklearn.datasets.__file__).parent / "images")
    photos = []
    for name in MNIST_M_PHOTOS[part]:
        path = next((f / name for f in folders if (f / name).is_file()), None)
        if path is None:
            raise OSError(f"photograph {name} is missing: reinstall scikit-image and scikit-learn, which ship it.")
        photo = Image.open(path).convert("RGB")
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
