"""Folders and disks that misbehave: image_folder on any tree of files, the cache as a user whom permissions bind."""

from __future__ import annotations

import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from xferkit.data import image_folder
from xferkit.features import extract_features
from xferkit.models import lenet

from .conftest import outcome

try:  # imported here, since the other user of the last test may not read this environment
    import resource
except ImportError:  # not on Windows
    pass


def picture(mode: str, seed: int, side: tuple[int, int] = (20, 14)) -> Image.Image:
    rng = np.random.default_rng(seed)
    shape = side if mode in ("L", "P", "1") else (*side, len(mode))
    return Image.fromarray(
        rng.integers(0, 256, shape, np.uint8), None if mode in ("RGB", "RGBA", "L") else None
    ).convert(mode)


def write(path: Path, kind: str, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind in ("RGB", "RGBA", "L", "P", "1"):
        base = picture("RGB" if kind in ("P", "1") else kind, seed)
        base.convert(kind).save(path.with_suffix(".png"))
    elif kind == "jpeg":
        picture("RGB", seed).save(path.with_suffix(".JPG"), "JPEG")
    elif kind == "thin":
        picture("RGB", seed, (400, 1)).save(path.with_suffix(".png"))
    elif kind == "cut off":
        picture("RGB", seed).save(path.with_suffix(".png"))
        whole = path.with_suffix(".png").read_bytes()
        path.with_suffix(".png").write_bytes(whole[: len(whole) // 2])
    else:
        path.with_suffix({"text": ".txt", "empty": ".png", "text as png": ".png", "hidden": ".png"}[kind]).write_bytes(
            b"" if kind == "empty" else b"no picture"
        )
        if kind == "hidden":
            path.with_suffix(".png").rename(path.parent / f".{path.stem}.png")


GOOD, BAD, IGNORED = (
    ("RGB", "RGBA", "L", "P", "1", "jpeg", "thin"),
    ("cut off", "empty", "text as png"),
    ("text", "hidden"),
)
folders = st.sampled_from(
    ["cat", "dog", "train", "Training", "val", "test", "train/cat", "train/dog", "test/cat", "test/dog"]
)
files = st.lists(st.tuples(folders, st.sampled_from([*GOOD * 4, *BAD, *IGNORED])), min_size=1, max_size=24)


@given(files)
def test_any_tree_of_files_is_a_whole_domain_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, tree: list[tuple[str, str]]
) -> None:
    root = tmp_path_factory.mktemp("tree")
    for i, (folder, kind) in enumerate(tree):
        write(root / folder / f"{i}.x", kind, i)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what was left out is counted in a warning; other tests look at it
        domain, error = outcome(lambda: image_folder(root, image_size=16))
    if error is not None:
        assert str(root) in str(error) or "class" in str(error)
        return
    parts = (domain.train, domain.val, domain.test)
    for part in parts:
        assert part.x.shape[1:] == (3, 16, 16) and part.x.dtype == torch.uint8
        assert len(part.y.unique()) == len(domain.classes) >= 2
    assert sum(map(len, parts)) == sum(kind in GOOD for _, kind in tree)
    assert not any(kind in BAD for _, kind in tree)


@pytest.fixture
def everything_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Imported by this user what an extraction imports on its way: another may not read this environment."""
    monkeypatch.setenv("XFERKIT_CACHE", str(tmp_path))
    for _ in range(2):
        extract_features(lenet(), torch.zeros(2, 3, 28, 28, dtype=torch.uint8))


@pytest.mark.skipif(sys.platform != "linux", reason="limits and user ids as Linux has them")
@pytest.mark.parametrize("disk", ["sound", "read-only", "full", "a file", "unreadable"])
def test_no_disk_stops_an_extraction_or_changes_its_answer(
    disk: str, everything_loaded: None, as_nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit on the size of files stands for the full disk: the kernel stops the write half-way in the same place."""
    monkeypatch.setattr("xferkit._cache._said", set())
    place = Path(tempfile.mkdtemp()) / "cache"
    places = {"read-only": as_nobody, "a file": as_nobody / "secret", "unreadable": as_nobody / "closed"}
    monkeypatch.setenv("XFERKIT_CACHE", str(places.get(disk, place)))
    torch.manual_seed(0)
    model = lenet()
    x = torch.randint(0, 256, (8, 3, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    with torch.no_grad():
        expected = model.eval().features((x.float() - 127) / 128)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        if disk == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            answers = [extract_features(model, x)["flatten"] for _ in range(2)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    for answer in answers:
        assert float((answer - expected).abs().max()) < 1e-4
    said = [str(w.message) for w in caught if "XFERKIT_CACHE" in str(w.message)]
    assert len(said) == (0 if disk == "sound" else 1), said
    kept = sorted(place.glob("*")) if place.is_dir() else []
    assert len(kept) == (1 if disk == "sound" else 0), kept
    shutil.rmtree(place.parent)
