"""The large sets of the full profile, read under `XFERKIT_DATA` and downloaded on first use.

Whatever is wrong with their files is an `OSError` that names them, their checksums and what to do.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from xferkit.data.digits import DIGITS, grey_to_rgb, resize
from xferkit.data.split import Domain, Split, random_parts

_UNUSABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EEXIST}


def _torchvision_set(
    root: Path,
    kind: Any,
    arguments: tuple[dict[str, Any], dict[str, Any]],
    split_of: Callable[[Any], Split],
    least: int,
) -> tuple[Split, Split]:
    """torchvision's own train and test set under `root`, downloaded on first use.

    Args:
        arguments: what `kind` is called with for train and for test.
        split_of: from torchvision's set to a split; runs here, so that what it trips over is reported as damage.
        least: more pictures than this are needed for training, or the set is not whole.
    """
    try:
        try:
            sets = [kind(root, download=False, **a) for a in arguments]
        except Exception:  # a missing file, but also half of one: torchvision raises many kinds
            _download(root, kind, arguments)
            sets = [kind(root, download=False, **a) for a in arguments]
        train, test = (split_of(s) for s in sets)
        if len(train) <= least:
            raise ValueError(f"only {len(train)} training pictures")
        return train, test
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _UNUSABLE:
            raise OSError(
                f"{root.name}: {root} cannot be read or written ({error}). Set XFERKIT_DATA to a folder that you can "
                "write to and that has room, or use XFERKIT_PROFILE=small."
            ) from error
        sums = getattr(kind, "split_list", None) or getattr(kind, "resources", None)
        raise OSError(
            f"{root.name}: the files under {root} are missing or damaged, and could not be downloaded ({error}). "
            f"Expected files and MD5 sums: {sums}. Call again with internet access, or delete {root} first if that "
            "does not help; or set XFERKIT_DATA to the folder that holds it, or use XFERKIT_PROFILE=small."
        ) from error


def _download(root: Path, kind: Any, arguments: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Into a folder of its own, and from there in one move a file: what fails half-way leaves nothing behind."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=f".{root.name}-") as fresh:
        for a in arguments:
            kind(fresh, download=True, **a)
        for file in Path(fresh).rglob("*"):
            if file.is_file():
                place = root / file.relative_to(fresh)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, place)


def _train_val(name: str, train: Split, test: Split, val_size: int) -> Domain:
    val, rest = random_parts(train.y, (val_size,), seed=0)
    return Domain(name, train.subset(rest), train.subset(val), test)


def _in_order(name: str, train: Split, test: Split, val_size: int) -> Domain:
    """The last pictures are for validation. MNIST-M's follow the order of MNIST's, so that the parts of both match."""
    n = len(train) - val_size
    return Domain(name, train.subset(range(n)), train.subset(range(n, len(train))), test)


def mnist_full(root: Path) -> Domain:
    from torchvision.datasets import MNIST

    def split_of(s: Any) -> Split:
        return Split(grey_to_rgb(s.data), s.targets, classes=DIGITS)

    train, test = _torchvision_set(root / "mnist", MNIST, ({"train": True}, {"train": False}), split_of, 5000)
    return _in_order("mnist", train, test, 5000)


def usps(root: Path) -> Domain:
    from torchvision.datasets import USPS

    def split_of(s: Any) -> Split:
        x = grey_to_rgb(torch.from_numpy(np.asarray(s.data)))
        return Split(resize(x, 28), torch.tensor(s.targets), classes=DIGITS)

    train, test = _torchvision_set(root / "usps", USPS, ({"train": True}, {"train": False}), split_of, 1000)
    return _train_val("usps", train, test, 1000)


def svhn(root: Path) -> Domain:
    from torchvision.datasets import SVHN

    def split_of(s: Any) -> Split:
        return Split(resize(torch.from_numpy(s.data), 28), torch.from_numpy(s.labels), classes=DIGITS)

    train, test = _torchvision_set(root / "svhn", SVHN, ({"split": "train"}, {"split": "test"}), split_of, 5000)
    return _train_val("svhn", train, test, 5000)


def mnist_m_released(root: Path) -> Domain:
    """MNIST-M as Ganin et al. released it: 32×32, of which the middle 28×28 holds MNIST's frame."""
    folder = root / "mnist_m"
    train, test = (_released_part(folder, part) for part in ("train", "test"))
    return _in_order("mnist_m", train, test, max(1, len(train) // 12))  # 5,000 of 60,000, as for MNIST


def _released_part(folder: Path, part: str) -> Split:
    """One part, from `PART*.npz` (`images`, `labels`) or from the archive's `mnist_m_PART/` and its list of labels."""
    listing = folder / f"mnist_m_{part}_labels.txt"
    try:
        arrays = sorted(folder.glob(f"{part}*.npz"))
        there = bool(arrays) or listing.is_file()
    except OSError as error:
        raise OSError(f"MNIST-M: {folder} cannot be read ({error}). Set XFERKIT_DATA to a folder that can.") from error
    if not there:
        raise OSError(
            f"MNIST-M: neither {folder}/{part}*.npz nor {listing} is there. Download mnist_m.tar.gz from the authors' "
            f"page (linked in the data card), unpack it into {folder}, or set XFERKIT_DATA to the folder that holds "
            "mnist_m/, or use XFERKIT_PROFILE=small."
        )
    try:
        if arrays:
            with np.load(arrays[0]) as file:
                images, labels = file["images"], file["labels"]
        else:
            rows = [line.split() for line in listing.read_text().splitlines() if line.strip()]
            images = np.stack([np.asarray(Image.open(folder / f"mnist_m_{part}" / n).convert("RGB")) for n, _ in rows])
            labels = np.array([int(label) for _, label in rows])
        if images.shape[1:] != (32, 32, 3) or len(images) < 2:
            raise ValueError(f"pictures of the shape {images.shape}, not (N, 32, 32, 3)")
        x = torch.from_numpy(images)[:, 2:30, 2:30].permute(0, 3, 1, 2).contiguous()
        return Split(x, torch.from_numpy(labels).flatten(), classes=DIGITS)
    except Exception as error:
        raise OSError(
            f"MNIST-M: the {part} files under {folder} are damaged ({error}). Unpack the archive again."
        ) from error
