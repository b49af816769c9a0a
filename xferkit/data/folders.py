"""A reader's own pictures: one sub-folder a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from xferkit.data.split import Domain, Split, cut, random_parts


def image_folder(path: str | Path, *, image_size: int = 224, seed: int = 0) -> Domain:
    """A domain from a folder of pictures, one sub-folder a class, as torchvision's `ImageFolder` reads it.

    With `train/`, `val/` and `test/` inside, those are the parts. With `train/` and `val/` alone, `val/` is kept for
    the end as the test part and a fifth of `train/` becomes the validation part. With classes alone, 60/20/20 % of each
    class are drawn. Pictures are resized by the short side and cut to the middle square.

    Raises:
        OSError: no such folder, no class folders, or a picture that cannot be read (which is named).
        ValueError: fewer than two classes, or parts whose classes differ.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise OSError(f"{root} is not a folder.")
    parts = {part: root / part for part in ("train", "val", "test") if (root / part).is_dir()}
    if "train" not in parts:
        whole, classes = _read_folder(root, image_size)
        sizes = (round(0.6 * len(whole)), round(0.2 * len(whole)))
        return cut(root.name, whole, random_parts(whole.y, sizes, seed), classes)
    read = {part: _read_folder(folder, image_size) for part, folder in parts.items()}
    classes = read["train"][1]
    for part, (_, found) in read.items():
        if found != classes:
            raise ValueError(f"{root}: classes of train are {classes}, of {part} {found}. They must be the same.")
    splits = {part: split for part, (split, _) in read.items()}
    train = splits["train"]
    if "val" in splits and "test" in splits:
        return Domain(root.name, train, splits["val"], splits["test"], classes)
    if "val" not in splits and "test" not in splits:
        raise ValueError(f"{root}: beside train/ there must be val/ or test/.")
    val, rest = random_parts(train.y, (round(0.2 * len(train)),), seed)
    last = splits.get("test", splits.get("val"))
    assert last is not None
    return Domain(root.name, train.subset(rest), train.subset(val), last, classes)


def _read_folder(folder: Path, image_size: int) -> tuple[Split, tuple[str, ...]]:
    import torchvision

    try:
        listing = torchvision.datasets.ImageFolder(str(folder))
    except (FileNotFoundError, RuntimeError) as error:
        raise OSError(f"{folder}: expected one sub-folder of pictures for each class ({error}).") from error
    if len(listing.classes) < 2:
        raise ValueError(f"{folder}: only the class {listing.classes} is there; at least two are needed.")
    short = round(image_size * 8 / 7)  # the customary 256 for a crop of 224
    pictures = []
    for file, _ in listing.samples:
        try:
            picture = Image.open(file).convert("RGB")
        except OSError as error:
            raise OSError(f"{file} is not a readable picture ({error}). Remove or replace it.") from error
        scale = short / min(picture.size)
        size = [max(image_size, round(side * scale)) for side in picture.size]
        picture = picture.resize((size[0], size[1]), Image.Resampling.BILINEAR)
        left, top = (size[0] - image_size) // 2, (size[1] - image_size) // 2
        pictures.append(np.asarray(picture.crop((left, top, left + image_size, top + image_size))))
    x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    names = tuple(Path(file).stem for file, _ in listing.samples)
    return Split(x, torch.tensor(listing.targets), names), tuple(listing.classes)
