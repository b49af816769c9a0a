"""The small ResNet: its shapes, its pretrained weights, and whether its model card tells the truth."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from xferkit.data import few_labels, load_domain
from xferkit.data.digits import SYN_TYPEFACES
from xferkit.models import Classifier, feature_dim, mini_resnet
from xferkit.models import resnet as resnet_file
from xferkit.models.resnet import ASSETS, MINI_RESNET_FILE, load_checked
from xferkit.session import device, seed_everything
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
        assert parameters(mini_resnet(depth=depth)) / 1e6 == pytest.approx(millions, abs=0.01)


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
        probed, _ = linear_probe(net, labelled, domain.val)
        return evaluate(probed, domain.val).accuracy

    seed_everything(0)
    untrained = right(mini_resnet())
    assert right(mini_resnet(pretrained=True)) > untrained + 0.05


@pytest.mark.parametrize(
    ("depth", "block"), [(8, "basic"), (20, "basic"), (32, "basic"), (11, "bottleneck"), (29, "bottleneck")]
)
def test_depth_counts_layers_with_weights(depth: int, block: str) -> None:
    model = mini_resnet(depth=depth, block=block)
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in model.modules()) == depth


def test_resnets_have_the_papers_number_of_parameters() -> None:
    """He et al. 2016a, Table 6: 0.27 million at depth 20, 0.85 million at depth 56."""
    assert round(parameters(mini_resnet(depth=20)) / 1e6, 2) == 0.27
    assert round(parameters(mini_resnet(depth=56)) / 1e6, 2) == 0.85


def test_stages_halve_the_picture_and_double_the_channels() -> None:
    model = mini_resnet(7, depth=8, width=8).to(device())
    z, shapes = torch.zeros(2, 3, 28, 28, device=device()), {}
    for name, stage in model.features.named_children():
        z = stage(z)
        shapes[name] = tuple(z.shape[1:])
    assert shapes == {
        "stem": (8, 28, 28),
        "stage1": (8, 28, 28),
        "stage2": (16, 14, 14),
        "stage3": (32, 7, 7),
        "pool": (32,),
    }
    assert model.head(z).shape == (2, 7)
    assert feature_dim(mini_resnet(depth=11, width=8, block="bottleneck")) == 128


def test_plain_and_residual_nets_differ_in_the_shortcut_alone() -> None:
    residual, plain = mini_resnet(depth=14), mini_resnet(depth=14, residual=False)
    assert {n: t.shape for n, t in residual.state_dict().items()} == {n: t.shape for n, t in plain.state_dict().items()}
    plain.load_state_dict(residual.state_dict())
    x = torch.randn(2, 3, 28, 28)
    assert not torch.allclose(residual.eval()(x), plain.eval()(x))


def test_a_residual_block_with_a_silent_body_passes_its_input_on() -> None:
    """The shortcut is the identity; where the stage halves, every other pixel and zeros for the new channels."""
    model = mini_resnet(depth=14, width=4).eval()
    for name, m in model.features.named_modules():
        if name.startswith("stage") and isinstance(m, nn.BatchNorm2d):
            nn.init.zeros_(m.weight)
    x = torch.rand(1, 4, 8, 8)
    assert torch.equal(model.features.stage1(x), x)
    halved = model.features.stage2(x)
    assert torch.equal(halved[:, :4], x[:, :, ::2, ::2]) and halved[:, 4:].abs().sum() == 0
    plain = mini_resnet(depth=14, width=4, residual=False).eval()
    plain.load_state_dict(model.state_dict())
    assert plain.features.stage1(x).abs().sum() == 0


def test_gradients_reach_the_first_layer_of_a_deep_residual_net() -> None:
    """At initialisation a deep plain net's signal has faded or grown; the identity path keeps every block alive."""
    x = torch.randn(4, 3, 28, 28, device=device())
    for depth in (8, 56):
        torch.manual_seed(0)
        model = mini_resnet(depth=depth, width=4).to(device()).train()
        model(x).square().mean().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        assert model.features.stem[0].weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 21}, "depth=21.*6n \\+ 2.*8, 14, 20"),
        ({"depth": 14, "block": "bottleneck"}, "depth=14.*9n \\+ 2.*11, 20, 29"),
        ({"depth": 2}, "depth=2"),
        ({"block": "wide"}, "'wide'.*'basic'.*'bottleneck'"),
        ({"depth": 8, "pretrained": True}, "depth=20, width=16"),
    ],
)
def test_mini_resnet_refuses_what_it_cannot_be(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mini_resnet(**arguments)


# ---------------------------------------------------------------------------------------------------- checked files


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
