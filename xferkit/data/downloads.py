"""The large sets of the full profile, read under `XFERKIT_DATA` and downloaded on first use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from xferkit.data.digits import DIGITS, grey_to_rgb, resize
from xferkit.data.split import Domain, Split, random_parts
from xferkit.session import data_root


def _torchvision_set(name: str, kind: type, train: dict[str, object], test: dict[str, object]) -> tuple[object, object]:
    """torchvision's own train and test set under `XFERKIT_DATA/name`, downloaded on first use."""
    root = data_root() / name
    try:
        try:
            return kind(root, download=False, **train), kind(root, download=False, **test)
        except (RuntimeError, FileNotFoundError):
            return kind(root, download=True, **train), kind(root, download=True, **test)
    except Exception as error:
        sums = getattr(kind, "split_list", None) or getattr(kind, "resources", None)
        raise OSError(
            f"{name}: the files under {root} are missing or damaged, and could not be downloaded ({error}). "
            f"Expected files and MD5 sums: {sums}. Delete {root} and call again with internet access, "
            "or set XFERKIT_DATA to the folder that holds it, or use XFERKIT_PROFILE=small."
        ) from error


def _train_val(name: str, train: Split, test: Split, val_size: int) -> Domain:
    val, rest = random_parts(train.y, (val_size,), seed=0)
    return Domain(name, train.subset(rest), train.subset(val), test, DIGITS)


def mnist_full() -> Domain:
    import torchvision

    sets = _torchvision_set("mnist", torchvision.datasets.MNIST, {"train": True}, {"train": False})
    train, test = (Split(grey_to_rgb(s.data), s.targets) for s in sets)  # type: ignore[attr-defined]
    # The first 55,000 train, in order: MNIST-M's pictures follow the same order, so the parts match.
    n = len(train) - 5000
    head, tail = torch.arange(n), torch.arange(n, len(train))
    return Domain("mnist", train.subset(head), train.subset(tail), test, DIGITS)


def usps() -> Domain:
    import torchvision

    sets = _torchvision_set("usps", torchvision.datasets.USPS, {"train": True}, {"train": False})
    splits = [
        Split(resize(grey_to_rgb(torch.from_numpy(np.asarray(s.data))), 28), torch.tensor(s.targets))  # type: ignore[attr-defined]
        for s in sets
    ]
    return _train_val("usps", splits[0], splits[1], 1000)


def svhn() -> Domain:
    import torchvision

    sets = _torchvision_set("svhn", torchvision.datasets.SVHN, {"split": "train"}, {"split": "test"})
    splits = [Split(resize(torch.from_numpy(s.data), 28), torch.from_numpy(s.labels).long()) for s in sets]  # type: ignore[attr-defined]
    return _train_val("svhn", splits[0], splits[1], 5000)


def mnist_m_released() -> Domain:
    """MNIST-M as Ganin et al. released it: 32×32, of which the middle 28×28 holds MNIST's frame."""
    root = data_root() / "mnist_m"
    train, test = (_released_part(root, part) for part in ("train", "test"))
    n = len(train) - max(1, len(train) // 12)  # 55,000 of 60,000, as for MNIST
    head, tail = torch.arange(n), torch.arange(n, len(train))
    return Domain("mnist_m", train.subset(head), train.subset(tail), test, DIGITS)


def _released_part(root: Path, part: str) -> Split:
    """One part, from `PART*.npz` (`images`, `labels`) or from the archive's `mnist_m_PART/` and its list of labels."""
    listing = root / f"mnist_m_{part}_labels.txt"
    arrays = sorted(root.glob(f"{part}*.npz"))
    if not arrays and not listing.is_file():
        raise OSError(
            f"MNIST-M: neither {root}/{part}*.npz nor {listing} is there. Download mnist_m.tar.gz from the authors' "
            f"page (linked in the data card), unpack it into {root}, or use XFERKIT_PROFILE=small."
        )
    try:
        if arrays:
            with np.load(arrays[0]) as file:
                images, labels = file["images"], file["labels"]
        else:
            rows = [line.split() for line in listing.read_text().splitlines() if line.strip()]
            images = np.stack([np.asarray(Image.open(root / f"mnist_m_{part}" / n).convert("RGB")) for n, _ in rows])
            labels = np.array([int(label) for _, label in rows])
    except Exception as error:
        raise OSError(
            f"MNIST-M: the {part} files under {root} are damaged ({error}). Unpack the archive again."
        ) from error
    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    cut = (x.shape[-1] - 28) // 2
    return Split(x[:, :, cut : cut + 28, cut : cut + 28].contiguous(), torch.from_numpy(labels).long().flatten())
