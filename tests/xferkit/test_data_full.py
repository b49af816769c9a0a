"""The full profile and a reader's own pictures.

Small stand-ins for the real files are made here, in the layout that the loaders read, so these tests run everywhere and
offline. Where `XFERKIT_TEST_DATA` names a folder with the real sets (`usps/`, `mnist_m/`, `hymenoptera_data/`), they
are read too.
"""

from __future__ import annotations

import gzip
import os
import struct
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

from xferkit.data import Domain, domains, image_folder, load_domain

REAL = Path(os.environ.get("XFERKIT_TEST_DATA", ""))


def real(folder: str) -> pytest.MarkDecorator:
    there = bool(os.environ.get("XFERKIT_TEST_DATA")) and (REAL / folder).is_dir()
    return pytest.mark.skipif(not there, reason=f"XFERKIT_TEST_DATA names no folder with {folder}/")


@pytest.fixture(autouse=True)
def full_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The full profile over an empty folder, without a network, and nothing kept for other tests."""

    def no_network(*args: Any, **kwargs: Any) -> None:
        raise URLError("no network in this test")

    monkeypatch.setenv("XFERKIT_PROFILE", "full")
    monkeypatch.setenv("XFERKIT_DATA", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    domains._digit_domain.cache_clear()
    yield
    domains._digit_domain.cache_clear()


def names_of(domain: Domain) -> dict[str, set[str]]:
    return {part: set(getattr(domain, part).names) for part in ("train", "val", "test")}


# ---------------------------------------------------------------------------------------------------- stand-in: MNIST


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def test_mnist_is_read_in_order_with_its_last_5000_as_validation(tmp_path: Path) -> None:
    raw = tmp_path / "mnist" / "MNIST" / "raw"
    for part, n in (("train", 5020), ("t10k", 7)):
        x = np.zeros((n, 28, 28))
        x[:, 0, 0], x[:, 0, 1] = np.arange(n) % 256, np.arange(n) // 256
        write_idx(raw / f"{part}-images-idx3-ubyte", x)
        write_idx(raw / f"{part}-labels-idx1-ubyte", np.arange(n) % 10)
    domain = load_domain("mnist")
    assert (len(domain.train), len(domain.val), len(domain.test)) == (20, 5000, 7)
    positions = [int(p[0, 0, 0]) + 256 * int(p[0, 0, 1]) for s in (domain.train, domain.val) for p in s.x]
    assert positions == list(range(5020))
    assert domain.val.y.tolist() == [i % 10 for i in range(20, 5020)]
    assert torch.equal(domain.test.x[:, 0], domain.test.x[:, 2])


# -------------------------------------------------------------------------------------------------- stand-in: MNIST-M


def numbered(n: int) -> np.ndarray:
    """(n, 32, 32, 3): the picture's number in the middle 28×28 pixels of channel 0, a frame of 99 around them."""
    pictures = np.full((n, 32, 32, 3), 99, np.uint8)
    pictures[:, 2:30, 2:30] = 0
    pictures[:, 2:30, 2:30, 0] = np.arange(n)[:, None, None]
    return pictures


def write_archive(root: Path, sizes: dict[str, int]) -> None:
    """The layout of the authors' archive: a folder of PNG files and a list of labels for each part."""
    for part, n in sizes.items():
        (root / f"mnist_m_{part}").mkdir(parents=True)
        for i, picture in enumerate(numbered(n)):
            Image.fromarray(picture).save(root / f"mnist_m_{part}" / f"{i:08d}.png")
        lines = [f"{i:08d}.png {i % 10}\n" for i in range(n)]
        (root / f"mnist_m_{part}_labels.txt").write_text("".join(lines))


def write_arrays(root: Path, sizes: dict[str, int]) -> None:
    root.mkdir()
    for part, n in sizes.items():
        np.savez(root / f"{part}.npz", images=numbered(n), labels=np.arange(n) % 10)


@pytest.mark.parametrize("write", [write_archive, write_arrays])
def test_released_mnist_m_is_cut_to_the_digits_frame_and_kept_in_order(write: Any, tmp_path: Path) -> None:
    write(tmp_path / "mnist_m", {"train": 36, "test": 5})
    domain = load_domain("mnist_m")
    assert (len(domain.train), len(domain.val), len(domain.test)) == (33, 3, 5)
    for part, start in ((domain.train, 0), (domain.val, 33), (domain.test, 0)):
        assert part.x.shape[1:] == (3, 28, 28) and 99 not in part.x.unique()
        assert part.x[:, 0, 5, 9].tolist() == list(range(start, start + len(part)))
        assert part.y.tolist() == [i % 10 for i in range(start, start + len(part))]
    assert load_domain("mnist_m", image_size=14).test.x.shape == (5, 3, 14, 14)


def test_missing_mnist_m_says_which_files_and_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        load_domain("mnist_m")
    for part in (str(tmp_path), "mnist_m_train_labels.txt", "mnist_m.tar.gz", "XFERKIT_PROFILE=small"):
        assert part in str(caught.value)


@pytest.mark.parametrize("write", [write_archive, write_arrays])
def test_damaged_mnist_m_is_named(write: Any, tmp_path: Path) -> None:
    root = tmp_path / "mnist_m"
    write(root, {"train": 12, "test": 3})
    victim = next(root.glob("test.npz"), root / "mnist_m_test" / "00000001.png")
    victim.write_bytes(victim.read_bytes()[:50])
    with pytest.raises(OSError, match="test files under .* are damaged.*Unpack the archive again"):
        load_domain("mnist_m")


def test_mnist_m_arrays_without_the_right_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mnist_m").mkdir()
    np.savez(tmp_path / "mnist_m" / "train.npz", pictures=numbered(12))
    with pytest.raises(OSError, match="damaged"):
        load_domain("mnist_m")


# ------------------------------------------------------------------------------------------- torchvision's other sets


@pytest.mark.parametrize("name", ["mnist", "usps", "svhn"])
def test_a_missing_set_says_which_files_their_checksums_and_how_to_get_them(name: str, tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        load_domain(name)
    message = str(caught.value)
    checksum = {
        "mnist": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "usps": "ec16c51db3855ca6c91edd34d0e9b197",
        "svhn": "e26dedcc434d2e4c54c9b2d4a06d8373",
    }[name]
    assert str(tmp_path / name) in message and checksum in message
    assert "XFERKIT_DATA" in message and "XFERKIT_PROFILE=small" in message


def test_a_damaged_set_is_named(tmp_path: Path) -> None:
    (tmp_path / "usps").mkdir()
    (tmp_path / "usps" / "usps.bz2").write_bytes(b"not bzip2")
    with pytest.raises(OSError, match="usps.*missing or damaged"):
        load_domain("usps")
    raw = tmp_path / "mnist" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{file}-ubyte").write_bytes(gzip.compress(b"nothing"))
    with pytest.raises(OSError, match="mnist.*missing or damaged"):
        load_domain("mnist")


# ------------------------------------------------------------------------------------------------ a reader's pictures


def write_folder(root: Path, classes: dict[str, int], size: tuple[int, int] = (40, 30)) -> None:
    for c, (name, n) in enumerate(classes.items()):
        (root / name).mkdir(parents=True)
        for i in range(n):
            Image.new("RGB", size, (50 * c, 10, 200)).save(root / name / f"{root.name}_{name}_{i}.png")


def test_a_folder_of_classes_is_split_60_20_20(tmp_path: Path) -> None:
    write_folder(tmp_path / "pets", {"cat": 20, "dog": 10})
    domain = image_folder(tmp_path / "pets", image_size=24)
    assert domain.name == "pets" and domain.classes == ("cat", "dog")
    names = names_of(domain)
    assert not names["train"] & names["val"] and not (names["train"] | names["val"]) & names["test"]
    assert len(set().union(*names.values())) == 30
    counts = [getattr(domain, part).y.bincount().tolist() for part in ("train", "val", "test")]
    assert counts == [[12, 6], [4, 2], [4, 2]]
    assert domain.train.x.shape == (18, 3, 24, 24)
    for part in (domain.train, domain.val, domain.test):
        assert part.x[:, 0, 0, 0].tolist() == [50 * c for c in part.y.tolist()]
        assert all(name.split("_")[1] == domain.classes[c] for name, c in zip(part.names, part.y.tolist(), strict=True))
    assert names_of(image_folder(tmp_path / "pets", image_size=24)) == names
    assert names_of(image_folder(tmp_path / "pets", image_size=24, seed=1)) != names


def test_train_and_val_alone_keep_val_for_the_end(tmp_path: Path) -> None:
    for part, n in (("train", 10), ("val", 4)):
        write_folder(tmp_path / part, {"cat": n, "dog": n})
    domain = image_folder(tmp_path, image_size=16)
    assert (len(domain.train), len(domain.val), len(domain.test)) == (16, 4, 8)
    assert all(name.startswith("val_") for name in domain.test.names or ())
    assert all(name.startswith("train_") for name in (domain.train.names or ()) + (domain.val.names or ()))
    assert not names_of(domain)["train"] & names_of(domain)["val"]


def test_train_val_and_test_are_taken_as_they_are(tmp_path: Path) -> None:
    for part, n in (("train", 5), ("val", 3), ("test", 2)):
        write_folder(tmp_path / part, {"cat": n, "dog": n})
    domain = image_folder(tmp_path, image_size=16)
    for part, n in (("train", 10), ("val", 6), ("test", 4)):
        names = getattr(domain, part).names
        assert len(names) == n and all(name.startswith(f"{part}_") for name in names)


def test_pictures_are_scaled_by_the_short_side_and_cut_to_the_middle(tmp_path: Path) -> None:
    """Left half red, right half blue, twice as wide as high: the cut shows both halves alike, undistorted."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        picture = np.zeros((70, 140, 3), np.uint8)
        picture[:, :70, 0], picture[:, 70:, 2] = 255, 255
        picture[25:45, 60:80, 1] = 255  # a green square, 20 pixels wide and high, in the middle
        for i in range(3):
            Image.fromarray(picture).save(tmp_path / name / f"{i}.png")
    x = image_folder(tmp_path, image_size=56).train.x[0].float()
    assert x[0, :, :20].mean() > 250 and x[2, :, -20:].mean() > 250
    green = x[1] > 127
    assert abs(int(green.any(0).sum()) - 18) <= 1 and abs(int(green.any(1).sum()) - 18) <= 1  # 20 · 64 / 70
    assert abs(float(green.nonzero().float().mean()) - 27.5) < 0.6


def test_grey_and_transparent_pictures_become_rgb(tmp_path: Path) -> None:
    for name, mode in (("a", "L"), ("b", "RGBA")):
        (tmp_path / name).mkdir()
        for i in range(5):
            Image.new(mode, (20, 20)).save(tmp_path / name / f"{i}.png")
    assert image_folder(tmp_path, image_size=8).train.x.shape == (6, 3, 8, 8)


def test_folders_that_are_no_domain_are_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere is not a folder"):
        image_folder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(OSError, match="empty: expected one sub-folder of pictures for each class"):
        image_folder(tmp_path / "empty")
    write_folder(tmp_path / "lonely", {"cat": 3})
    with pytest.raises(ValueError, match="at least two"):
        image_folder(tmp_path / "lonely")
    write_folder(tmp_path / "odd" / "train", {"cat": 3, "dog": 3})
    with pytest.raises(ValueError, match="must be val/ or test/"):
        image_folder(tmp_path / "odd")
    write_folder(tmp_path / "odd" / "val", {"cat": 3, "cow": 3})
    with pytest.raises(ValueError, match="'dog'.*'cow'"):
        image_folder(tmp_path / "odd")


@pytest.mark.parametrize("keep", [0, 60])
def test_a_damaged_picture_is_named(keep: int, tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 3, "dog": 3})
    victim = sorted((tmp_path / "dog").glob("*.png"))[1]
    victim.write_bytes(victim.read_bytes()[:keep])
    with pytest.raises(OSError, match=f"{victim.name} is not a readable picture"):
        image_folder(tmp_path)


# -------------------------------------------------------------------------------------------------------- the real sets


@real("usps")
def test_real_usps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XFERKIT_DATA", str(REAL))
    domain = load_domain("usps")
    assert (len(domain.train), len(domain.val), len(domain.test)) == (6291, 1000, 2007)
    assert domain.test.x.shape == (2007, 3, 28, 28)
    assert domain.test.y.bincount().tolist() == [359, 264, 198, 166, 200, 160, 170, 147, 166, 177]
    held_out = {p.numpy().tobytes() for p in domain.test.x[:, 0]}
    seen = [p.numpy().tobytes() for p in torch.cat([domain.train.x, domain.val.x])[:, 0]]
    assert sum(p in held_out for p in seen) == 0
    # Ink is bright and stands in the middle, as in MNIST.
    mass = domain.train.x[:, 0].float().mean(0)
    assert mass[10:18, 10:18].mean() > 3 * mass[:, :3].mean()


@real("mnist_m")
def test_real_mnist_m(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XFERKIT_DATA", str(REAL))
    domain = load_domain("mnist_m")
    assert len(domain.test) == 9001 and domain.test.x.shape[1:] == (3, 28, 28)
    assert len(domain.train) + len(domain.val) in (20_000, 59_001)
    assert domain.train.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]  # MNIST's own order
    held_out = {p.numpy().tobytes() for p in domain.test.x}
    assert not any(p.numpy().tobytes() in held_out for p in torch.cat([domain.train.x, domain.val.x]))


@real("hymenoptera_data")
def test_real_hymenoptera() -> None:
    domain = image_folder(REAL / "hymenoptera_data", image_size=64)
    assert domain.classes == ("ants", "bees") and len(domain.test) == 153
    assert (len(domain.train), len(domain.val)) == (195, 49)
    names = names_of(domain)
    assert not (names["train"] | names["val"]) & names["test"]
