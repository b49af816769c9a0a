"""The small ResNet's pretrained weights, and whether its model card tells the truth."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from xferkit.data import few_labels, load_domain
from xferkit.data.digits import SYN_TYPEFACES
from xferkit.models import Classifier, mini_resnet
from xferkit.models import resnet as resnet_file
from xferkit.models.resnet import ASSETS, MINI_RESNET_FILE, load_checked
from xferkit.session import seed_everything
from xferkit.train import evaluate
from xferkit.tuning import linear_probe

WEIGHTS = ASSETS / MINI_RESNET_FILE
CARD = WEIGHTS.with_suffix(".md")


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def card_row(name: str) -> str:
    """What the card's table says in the row of this name."""
    found = re.search(rf"^\| {re.escape(name)} \| (.+) \|$", CARD.read_text(), re.MULTILINE)
    assert found, f"the card has no row {name!r}"
    return found.group(1)


def test_pretrained_weights_load_and_the_head_stays_fresh() -> None:
    net = mini_resnet(7, pretrained=True)
    for name, tensor in load_checked(WEIGHTS).items():
        assert torch.equal(net.features.state_dict()[name], tensor), name
    assert net.head.weight.shape == (7, 64)


def test_pretrained_weights_of_another_architecture_are_refused() -> None:
    with pytest.raises(ValueError, match="depth=20"):
        mini_resnet(depth=32, pretrained=True)


def test_a_tampered_file_is_refused_with_both_checksums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(WEIGHTS.read_bytes())
    data[-1] ^= 1
    (tmp_path / WEIGHTS.name).write_bytes(bytes(data))
    (tmp_path / f"{WEIGHTS.name}.sha256").write_text(Path(f"{WEIGHTS}.sha256").read_text())
    monkeypatch.setattr(resnet_file, "ASSETS", tmp_path)
    with pytest.raises(OSError, match="damaged") as error:
        mini_resnet(pretrained=True)
    assert hashlib.sha256(data).hexdigest() in str(error.value)
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() in str(error.value)


def test_the_card_tells_the_truth() -> None:
    sha256 = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert card_row("SHA-256") == f"`{sha256}`"
    assert Path(f"{WEIGHTS}.sha256").read_text().split() == [sha256, WEIGHTS.name]
    assert card_row("file") == f"`{WEIGHTS.name}`, {WEIGHTS.stat().st_size:,} bytes, 32-bit floats"
    assert card_row("parameters") == f"{parameters(mini_resnet(pretrained=True).features):,}"
    assert WEIGHTS.stat().st_size < 5_000_000
    assert card_row("training") == ", ".join(SYN_TYPEFACES["train"])
    assert card_row("validation") == ", ".join(SYN_TYPEFACES["val"])


def test_features_of_letters_serve_digits_better_than_untrained_ones() -> None:
    domain = load_domain("uci_digits")
    labelled = few_labels(domain.train, 10, torch.Generator().manual_seed(0))

    def right(net: Classifier) -> float:
        linear_probe(net, labelled, domain.val)
        return evaluate(net, domain.val).accuracy

    seed_everything(0)
    untrained = right(mini_resnet())
    assert right(mini_resnet(pretrained=True)) > untrained + 0.05


def test_a_checked_file_loads_only_while_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"w": torch.arange(4.0)}, path)
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    Path(f"{path}.sha256").write_text(f"{right}  {path.name}\n")
    assert torch.equal(resnet_file.load_checked(path)["w"], torch.arange(4.0))

    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(OSError, match="damaged") as caught:
        resnet_file.load_checked(path)
    found = hashlib.sha256(damaged).hexdigest()
    assert all(part in str(caught.value) for part in (str(path), right, found, "Get it again"))

    path.unlink()
    with pytest.raises(OSError, match="missing") as caught:
        resnet_file.load_checked(path)
    assert all(part in str(caught.value) for part in (str(path), right, "Get it again"))


@pytest.mark.parametrize("words", [None, "", "not a checksum"])
def test_a_checksum_that_is_missing_or_damaged_is_an_oserror_too(words: str | None, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"w": torch.arange(4.0)}, path)
    if words is not None:
        Path(f"{path}.sha256").write_text(words)
    with pytest.raises(OSError, match="checksum of weights.safetensors.*missing or damaged.*Get it again"):
        load_checked(path)
