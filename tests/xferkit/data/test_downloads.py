"""The full profile's large sets.

Small stand-ins for the real files are made here, in the layout that the loaders read, so these tests run everywhere and
offline. Where `XFERKIT_TEST_DATA` names a folder with the real sets (`usps/`, `mnist_m/`), they are read too.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
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
import torchvision
from data_toys import REAL, real
from PIL import Image

from xferkit.data import domains, load_domain


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


def write_mnist(root: Path, sizes: dict[str, int], **damage: np.ndarray) -> None:
    for part, n in sizes.items():
        write_idx(root / f"{part}-images-idx3-ubyte", np.zeros((n, 28, 28)))
        write_idx(root / f"{part}-labels-idx1-ubyte", damage.get(part, np.arange(n) % 10))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ({"train": np.arange(5000) % 10}, "5020 pictures but 5000 labels"),
        ({"t10k": np.full(7, 12)}, "labels go up to 12, but there are 10 class names"),
    ],
)
def test_files_that_can_be_read_but_do_not_belong_together_are_damaged(
    damage: dict[str, np.ndarray], reason: str, tmp_path: Path
) -> None:
    write_mnist(tmp_path / "mnist" / "MNIST" / "raw", {"train": 5020, "t10k": 7}, **damage)
    with pytest.raises(OSError, match=f"mnist.*missing or damaged.*{reason}"):
        load_domain("mnist")


def test_a_set_too_small_to_be_whole_is_damaged(tmp_path: Path) -> None:
    write_mnist(tmp_path / "mnist" / "MNIST" / "raw", {"train": 5000, "t10k": 7})
    with pytest.raises(OSError, match="mnist.*damaged.*only 5000 training pictures"):
        load_domain("mnist")


@pytest.mark.parametrize(
    "arrays",
    [
        {"images": numbered(12).astype(np.float32) / 255, "labels": np.arange(12) % 10},
        {"images": numbered(12)[:, :20, :20], "labels": np.arange(12) % 10},
        {"images": numbered(12)[..., 0], "labels": np.arange(12) % 10},
        {"images": numbered(12), "labels": np.arange(11) % 10},
        {"images": numbered(12), "labels": np.arange(12)},
        {"images": numbered(12), "labels": np.linspace(0, 9, 12)},
        {"images": numbered(0), "labels": np.arange(0)},
    ],
)
def test_mnist_m_arrays_of_another_kind_are_damaged(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    write_arrays(tmp_path / "mnist_m", {"test": 5})
    np.savez(tmp_path / "mnist_m" / "train.npz", **arrays)
    with pytest.raises(OSError, match="the train files under .* are damaged"):
        load_domain("mnist_m")


# ---------------------------------------------------------------------------------------------------------- downloading


USPS_LINE = "{} " + " ".join(f"{i}:{(-1) ** i}" for i in range(1, 257)) + "\n"


class Server:
    """Stands in for the network: `files` are served, and the connection breaks after `limit` bytes in all."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files = {
            name: bz2.compress("".join(USPS_LINE.format(i % 10 + 1) for i in range(n)).encode())
            for name, n in (("usps.bz2", 1010), ("usps.t.bz2", 7))
        }
        self.limit, self.served = 10**9, 0
        sums = {name: hashlib.md5(data).hexdigest() for name, data in self.files.items()}
        split_list = {
            part: ["http://host/" + name, name, sums[name]]
            for part, name in (("train", "usps.bz2"), ("test", "usps.t.bz2"))
        }
        monkeypatch.setattr(torchvision.datasets.USPS, "split_list", split_list)
        monkeypatch.setattr(urllib.request, "urlopen", self.open)

    def open(self, request: Any, **kwargs: Any) -> Any:
        data = self.files[request.full_url.rsplit("/", 1)[1]]
        server = self

        class Response(io.BytesIO):
            url, length, headers = request.full_url, len(data), {"Content-Length": str(len(data))}

            def read(self, size: int | None = -1) -> bytes:
                piece = super().read(min(size or 100, 100) if size and size > 0 else 100)
                server.served += len(piece)
                if server.served > server.limit:
                    raise ConnectionResetError("the connection was reset")
                return piece

        return Response(data)


@pytest.fixture
def server(full_profile: None, monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


def test_a_set_is_downloaded_once(server: Server, tmp_path: Path) -> None:
    domain = load_domain("usps")
    assert (len(domain.train), len(domain.val), len(domain.test)) == (10, 1000, 7)
    assert sorted(p.name for p in (tmp_path / "usps").iterdir()) == ["usps.bz2", "usps.t.bz2"]
    assert [p.name for p in tmp_path.iterdir()] == ["usps"]
    domains._digit_domain.cache_clear()
    server.limit = 0
    load_domain("usps")


def test_a_download_that_breaks_off_leaves_nothing_behind_and_can_be_repeated(server: Server, tmp_path: Path) -> None:
    for limit in (150, len(server.files["usps.bz2"]) + 50):  # in the first file, and in the second
        server.limit, server.served = limit, 0
        with pytest.raises(OSError, match="usps.*could not be downloaded .*reset.*Call again"):
            load_domain("usps")
        assert not list(tmp_path.rglob("*.bz2"))
    server.limit = 10**9
    assert len(load_domain("usps").train) == 10


def test_half_a_file_from_elsewhere_is_downloaded_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "usps").mkdir()
    (tmp_path / "usps" / "usps.bz2").write_bytes(server.files["usps.bz2"][:100])
    assert len(load_domain("usps").train) == 10
    assert (tmp_path / "usps" / "usps.bz2").read_bytes() == server.files["usps.bz2"]


def test_a_download_with_another_checksum_is_refused(server: Server, tmp_path: Path) -> None:
    server.files["usps.bz2"] = bz2.compress(b"something else")
    with pytest.raises(OSError, match="usps.*could not be downloaded .*corrupted"):
        load_domain("usps")
    assert not list(tmp_path.rglob("*.bz2"))


# --------------------------------------------------------------------------------------------------------- data folders


def test_a_data_folder_that_is_a_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place in ("file", "file/below"):
        monkeypatch.setenv("XFERKIT_DATA", str(tmp_path / place))
        with pytest.raises(OSError, match="Set XFERKIT_DATA to a folder that you can write to"):
            load_domain("usps")


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_read_only_data_folder_is_named(as_nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XFERKIT_DATA", str(as_nobody))
    with pytest.raises(OSError, match=f"{as_nobody}.*cannot be read or written.*ermission denied.*Set XFERKIT_DATA"):
        load_domain("usps")
    monkeypatch.setenv("XFERKIT_DATA", str(as_nobody / "closed"))
    for name in ("usps", "mnist_m"):
        with pytest.raises(OSError, match="XFERKIT_DATA"):
            load_domain(name)


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XFERKIT_DATA")

    def no_home(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    with pytest.raises(OSError, match="no home folder.*set XFERKIT_DATA"):
        load_domain("usps")
    monkeypatch.setenv("XFERKIT_PROFILE", "small")
    load_domain("uci_digits")  # which needs no data folder


def test_another_data_folder_is_another_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept in memory is kept for its folder."""
    for place, n in (("one", 24), ("two", 36)):
        (tmp_path / place).mkdir()
        write_arrays(tmp_path / place / "mnist_m", {"train": n, "test": 5})
    for place, n in (("one", 22), ("two", 33), ("one", 22)):
        monkeypatch.setenv("XFERKIT_DATA", str(tmp_path / place))
        assert len(load_domain("mnist_m").train) == n


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
