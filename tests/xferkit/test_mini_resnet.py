"""The small ResNet: its shapes, its pretrained weights, and whether its model card tells the truth."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
import torch

from xferkit.data import few_labels, load_domain
from xferkit.data.digits import SYN_TYPEFACES
from xferkit.models import Classifier, mini_resnet, resnet
from xferkit.models.resnet import ASSETS, MINI_RESNET_FILE, load_checked
from xferkit.session import seed_everything
from xferkit.train import evaluate
from xferkit.tuning import linear_probe

WEIGHTS = ASSETS / MINI_RESNET_FILE
CARD = WEIGHTS.with_suffix(".md")


def count_parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def card_row(name: str) -> str:
    """What the card's table says in the row of this name."""
    found = re.search(rf"^\| {re.escape(name)} \| (.+) \|$", CARD.read_text(), re.MULTILINE)
    assert found, f"the card has no row {name!r}"
    return found.group(1)


@pytest.mark.parametrize(("depth", "block"), [(8, "basic"), (20, "basic"), (56, "basic"), (11, "bottleneck")])
def test_plain_and_residual_nets_have_the_same_parameters(depth: int, block: str) -> None:
    plain = mini_resnet(depth=depth, width=4, residual=False, block=block)
    residual = mini_resnet(depth=depth, width=4, residual=True, block=block)
    shapes = [{n: t.shape for n, t in net.state_dict().items()} for net in (plain, residual)]
    assert shapes[0] == shapes[1]


def test_the_shortcut_is_the_only_difference() -> None:
    plain, residual = (mini_resnet(depth=8, width=4, residual=r).eval() for r in (False, True))
    residual.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(plain(x), residual(x))
    for net in (plain, residual):  # with F = 0 a plain block puts out zeros, a residual block its input
        for name, parameter in net.named_parameters():
            if ".body.4." in name:
                torch.nn.init.zeros_(parameter)
    stem = residual.features.stem(x)
    assert torch.equal(residual.features.stage1(stem), stem)
    assert plain.features.stage1(plain.features.stem(x)).abs().max() == 0


@pytest.mark.parametrize("depth", [8, 20, 32, 56])
def test_depth_counts_the_layers_with_weights(depth: int) -> None:
    layers = [
        m for m in mini_resnet(depth=depth, width=4).modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)
    ]
    assert len(layers) == depth


@pytest.mark.parametrize(
    ("depth", "block", "hint"), [(21, "basic", "6n"), (2, "basic", "6n"), (21, "bottleneck", "9n")]
)
def test_a_depth_that_no_net_has_is_refused_with_the_formula(depth: int, block: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        mini_resnet(depth=depth, block=block)


def test_published_parameter_counts() -> None:
    # He et al. (2016a), Table 6, in millions.
    for depth, millions in {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85}.items():
        assert count_parameters(mini_resnet(depth=depth)) / 1e6 == pytest.approx(millions, abs=0.01)


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
    monkeypatch.setattr(resnet, "ASSETS", tmp_path)
    with pytest.raises(OSError, match="damaged") as error:
        mini_resnet(pretrained=True)
    assert hashlib.sha256(data).hexdigest() in str(error.value)
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() in str(error.value)


def test_the_card_tells_the_truth() -> None:
    sha256 = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert card_row("SHA-256") == f"`{sha256}`"
    assert Path(f"{WEIGHTS}.sha256").read_text().split() == [sha256, WEIGHTS.name]
    assert card_row("file") == f"`{WEIGHTS.name}`, {WEIGHTS.stat().st_size:,} bytes, 32-bit floats"
    assert card_row("parameters") == f"{count_parameters(mini_resnet(pretrained=True).features):,}"
    assert WEIGHTS.stat().st_size < 5_000_000
    assert card_row("training") == ", ".join(SYN_TYPEFACES["train"])
    assert card_row("validation") == ", ".join(SYN_TYPEFACES["val"])


def test_features_of_letters_serve_digits_better_than_untrained_ones() -> None:
    domain = load_domain("uci_digits")
    labelled = few_labels(domain.train, 10, torch.Generator().manual_seed(0))

    def right(net: Classifier) -> float:
        probed, _ = linear_probe(net, labelled, domain.val)
        return evaluate(probed, domain.val).accuracy

    seed_everything(0)
    untrained = right(mini_resnet())
    assert right(mini_resnet(pretrained=True)) > untrained + 0.05
