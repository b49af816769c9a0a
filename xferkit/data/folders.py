"""A reader's own pictures: one sub-folder a class."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from xferkit._checks import check_count
from xferkit.data.pictures import SUFFIXES, read_picture
from xferkit.data.split import PARTS, Domain, Split, stratified_parts

_PART_OF = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_Labelled = list[tuple[Path, int]]


def image_folder(path: str | Path, *, image_size: int = 224, seed: int = 0) -> Domain:
    """A domain from a folder of pictures, one sub-folder a class.

    - Classes alone: 60, 20 and 20 % of each class are drawn as train, val and test.
    - train, val and test, each with its classes: as they are.
    - train and test: a fifth of each class of train is drawn as val.
    - train and val: the same, and val is kept for the end, as test.

    Parts may be called training; valid, validation or dev; testing; in small or capital letters. What is drawn is right
    to the nearest picture, and each part gets at least one of each class. Hidden files and folders are skipped. Files
    of a class that are no pictures are left out, with a warning that counts them; so are links to folders. Pictures
    that are the very same in two parts are warned of too. `xferkit.data.pictures` says how a picture becomes a square.

    Args:
        image_size: side of the pictures in the domain, in pixels.
        seed: of the draw.
    Returns:
        The domain, named after the folder. A picture's name is its file's without the ending.
    Raises:
        OSError: no such folder, no class folders, a class without pictures, or a file that is not a readable picture;
            the message names it.
        ValueError: fewer than two classes, a class with fewer pictures than parts to be drawn, parts whose classes
            differ, parts without train or beside classes, or pictures that lie deeper than expected.
        TypeError: `image_size` or `seed` is no whole number.
    """
    image_size = check_count(image_size, what="image_size")
    seed = check_count(seed, what="seed", least=0)
    root = _folder(path)
    left_out: list[Path] = []
    folders = _part_folders(root)
    read = {part: _classes(folder, left_out) for part, folder in (folders or {"train": root}).items()}
    classes, whole = read.pop("train")
    for part, (found, _) in read.items():
        if found != classes:
            odd = sorted(set(classes) ^ set(found))
            raise ValueError(
                f"{root}: the classes of {folders['train'].name} are {classes}, of {folders[part].name} {found}: they "
                f"must be the same, but {odd} are in one of the two alone."
            )
    given = {part: pictures for part, (_, pictures) in read.items()}
    if "val" in given and "test" not in given:
        given["test"] = given.pop("val")
    missing = [part for part in ("val", "test") if part not in given]
    y = torch.tensor([label for _, label in whole])
    drawn = stratified_parts(y, (0.2,) * len(missing), seed, classes) if missing else [torch.arange(len(whole))]
    for part, at in zip(["train", *missing], drawn, strict=True):
        given[part] = [whole[i] for i in at.tolist()]
    if left_out:
        _warn_of_left_out(root, left_out)
    splits = {part: _read(given[part], image_size, classes) for part in PARTS}
    _warn_of_twins(root, splits, given)
    return Domain(root.name, splits["train"], splits["val"], splits["test"], classes)


def _folder(path: str | Path) -> Path:
    try:
        root = Path(path).expanduser()
    except RuntimeError as error:
        raise OSError(f"{path}: {error}. Give the whole path.") from error
    if not root.is_dir():
        raise OSError(f"{root} is not a folder.")
    return root if root.name not in ("", "..") else root.resolve()


def _seen(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders and the files in a folder, in order, without hidden ones and what macOS leaves in archives."""
    entries = sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.name != "__MACOSX")
    kinds: dict[bool, list[Path]] = {True: [], False: []}
    for entry in entries:
        kinds[entry.is_dir()].append(entry)
    return kinds[True], kinds[False]


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and file.is_file()


def _files_under(folder: Path) -> list[Path]:
    """All files of a class, and links to folders: those are not followed, for they can lead to other classes."""
    folders, files = _seen(folder)
    for sub in folders:
        files += [sub] if sub.is_symlink() else _files_under(sub)
    return files


def _part_folders(root: Path) -> dict[str, Path]:
    """The folders of the parts, or none if the sub-folders of `root` are classes."""
    folders, _ = _seen(root)
    parts = [f for f in folders if f.name.lower() in _PART_OF]
    flat = [f for f in parts if any(map(_is_picture, _seen(f)[1]))]  # pictures lie in it, as in a class
    others = [f for f in folders if f not in parts and any(map(_is_picture, _files_under(f)))]
    if not parts or (others and flat == parts):
        return {}
    names = ", ".join(f.name for f in parts)
    if others:
        raise ValueError(
            f"{root}: {names} are names of parts, but {others[0].name} beside them is not. Put either the parts there "
            "(train, val, test, each with one sub-folder a class) or the classes."
        )
    if flat:
        raise ValueError(f"{flat[0]} holds pictures itself: put them into one sub-folder for each class.")
    found: dict[str, Path] = {}
    for folder in parts:
        part = _PART_OF[folder.name.lower()]
        if part in found:
            raise ValueError(f"{root}: {found[part].name} and {folder.name} are both the {part} part. Keep one.")
        found[part] = folder
    if "train" not in found:
        raise ValueError(f"{root}: there is {names}, but no train: nothing to learn from. Add train/ with the classes.")
    if len(found) == 1:
        raise ValueError(
            f"{root}: beside {names}/ there must be val/ or test/. To have all three parts drawn from {names}/, give "
            "that folder itself."
        )
    return found


def _classes(folder: Path, left_out: list[Path]) -> tuple[tuple[str, ...], _Labelled]:
    """The classes of a folder and its pictures with their labels; what is no picture is added to `left_out`."""
    folders, stray = _seen(folder)
    if not folders:
        raise OSError(f"{folder}: expected one sub-folder of pictures for each class, but there is no sub-folder.")
    left_out += filter(_is_picture, stray)  # beside the classes; other files there, such as a readme, are no loss
    pictures: _Labelled = []
    for label, sub in enumerate(folders):
        files = _files_under(sub)
        mine = [(file, label) for file in files if _is_picture(file)]
        left_out += [file for file in files if not _is_picture(file)]
        if not mine:
            raise OSError(
                f"{folder}: expected one sub-folder of pictures for each class, but {sub.name} has none among its "
                f"{len(files)} files. Pictures end in {', '.join(SUFFIXES)}; convert others, or remove the folder."
            )
        if inner := [f.name for f in _seen(sub)[0] if f.name.lower() in _PART_OF]:
            raise ValueError(
                f"{folder}: the class {sub.name} holds {', '.join(inner)}. Give {sub} itself if the classes are in "
                "there; or put the parts on top: train, val and test, each with one sub-folder a class."
            )
        pictures += mine
    if not any(file.parent == folders[label] for file, label in pictures):
        raise ValueError(
            f"{folder}: no picture lies in a class itself, only deeper, such as {pictures[0][0]}. Give a folder whose "
            "sub-folders are the classes."
        )
    if len(folders) < 2:
        raise ValueError(f"{folder}: only the class {folders[0].name!r} is there; at least two are needed.")
    return tuple(f.name for f in folders), pictures


def _read(pictures: _Labelled, image_size: int, classes: tuple[str, ...]) -> Split:
    x = np.empty((len(pictures), image_size, image_size, 3), np.uint8)
    for i, (file, _) in enumerate(pictures):
        x[i] = read_picture(file, image_size)
    y = torch.tensor([label for _, label in pictures])
    names = tuple(file.stem for file, _ in pictures)
    return Split(torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(), y, names, classes=classes)


def _warn_of_left_out(root: Path, files: list[Path]) -> None:
    kinds = Counter("pictures beside the classes" if _is_picture(f) else f.suffix.lower() or "no ending" for f in files)
    counts = ", ".join(f"{n} × {kind}" for kind, n in kinds.most_common())
    warnings.warn(
        f"{root}: {len(files)} files were left out ({counts}), such as {files[0].relative_to(root)}. "
        f"Pictures end in {', '.join(SUFFIXES)} and lie in the folder of their class.",
        stacklevel=3,
    )


def _warn_of_twins(root: Path, splits: dict[str, Split], files: dict[str, _Labelled]) -> None:
    """Equal pixels in two parts: what was learned by heart would then count as recognised."""
    first: dict[bytes, tuple[str, Path]] = {}
    twins = []
    for part in PARTS:
        for picture, (file, _) in zip(splits[part].x, files[part], strict=True):
            known, original = first.setdefault(hashlib.sha256(picture.numpy()).digest(), (part, file))
            if known != part:
                twins.append(f"{file.relative_to(root)} in {part} is {original.relative_to(root)} in {known}")
    if twins:
        warnings.warn(
            f"{root}: {len(twins)} pictures are the very same in two parts; the first: {twins[0]}. Remove them from "
            "one part, or scores on it are too high.",
            stacklevel=3,
        )
