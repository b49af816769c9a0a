"""mini_alexnet, mini_vgg and mini_googlenet: what each is known for, with counts worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xferkit._fingerprint import Fingerprint
from xferkit.models import Classifier, anatomy, feature_dim, lenet, mini_alexnet, mini_googlenet, mini_vgg
from xferkit.models.alexnet import LocalResponseNorm
from xferkit.models.googlenet import AUXILIARY, MODULES, auxiliary_loss
from xferkit.models.vgg import CONFIGURATIONS
from xferkit.session import device
from xferkit.train import fit, supervised_loss

NETS = [mini_alexnet, mini_vgg, mini_googlenet]


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def conv(c_in: int, c_out: int, kernel: int) -> int:
    return (c_in * kernel**2 + 1) * c_out


def shapes(net: Classifier) -> dict[str, tuple[int, ...]]:
    """What each stage gives for one picture."""
    z, found = torch.zeros(2, 3, 32, 32), {}
    for name, stage in net.eval().features.named_children():
        z = stage(z)
        found[name] = tuple(z.shape[1:])
    return found


def batch(n: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 3, 32, 32, generator=generator)
    return x.to(device()), torch.arange(n, device=device()) % 10


@pytest.mark.parametrize("make", NETS)
def test_the_common_shape(make: Callable[..., Classifier]) -> None:
    net = make(7).to(device()).eval()
    x, _ = batch(3)
    assert net(x).shape == (3, 7) and net.features(x).shape == (3, feature_dim(net))
    assert torch.equal(net(x), net.head(net.features(x)))
    assert parameters(make()) < 1_050_000
    weights = [m.weight for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


@pytest.mark.parametrize("make", NETS)
def test_weights_travel_by_state_dict(make: Callable[..., Classifier]) -> None:
    a, b = make().eval(), make().eval()
    x = batch(2)[0].cpu()
    assert not torch.equal(a(x), b(x))
    b.load_state_dict(a.state_dict())
    assert torch.equal(a(x), b(x))


@pytest.mark.parametrize("make", NETS)
def test_a_digest_describes_the_net_so_that_its_features_can_be_kept(make: Callable[..., Classifier]) -> None:
    def digest(net: Classifier) -> str:
        found = Fingerprint()
        found.add(net)
        return found.digest()

    a, b = make(), make()
    assert digest(a) != digest(b)
    b.load_state_dict(a.state_dict())
    assert digest(a) == digest(b)


@pytest.mark.parametrize("make", NETS)
def test_gradients_reach_every_part_and_a_step_lowers_the_loss(make: Callable[..., Classifier]) -> None:
    torch.manual_seed(0)
    net = make(dropout=0.0).to(device())
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-2)
    history = fit(net, [batch()], supervised_loss, optimizer, 5, progress=False)
    assert history["loss"][-1] < history["loss"][0]
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


@pytest.mark.parametrize("make", NETS)
def test_the_signal_neither_fades_nor_grows_at_the_start(make: Callable[..., Classifier]) -> None:
    torch.manual_seed(0)
    z, sizes = batch(64)[0].cpu(), []
    for stage in make(dropout=0.0).features:
        z = stage(z)
        sizes.append(z.detach().square().mean().sqrt().item())
    assert 0.02 < min(sizes) and max(sizes) < 10


@pytest.mark.parametrize("make", NETS)
def test_dropout_acts_in_training_alone_and_can_be_left_out(make: Callable[..., Classifier]) -> None:
    x = batch(2)[0].cpu()
    net = make()
    assert not torch.equal(net(x), net(x))
    assert torch.equal(net.eval()(x), net(x))
    plain = make(dropout=0.0)
    assert plain.state_dict().keys() == net.state_dict().keys()
    assert torch.equal(plain(x), plain(x))


@pytest.mark.parametrize("make", [mini_alexnet, mini_vgg, lambda: mini_googlenet(average_pool=False)])
def test_pictures_of_another_size_are_refused(make: Callable[[], Classifier]) -> None:
    with pytest.raises(ValueError, match="32×32 pixels.*image_size=32"):
        make()(torch.zeros(2, 3, 64, 64))


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_classes": 1}, ValueError, "num_classes=1"),
        ({"num_classes": 10.0}, TypeError, "num_classes=10.0"),
        ({"dropout": 1.0}, ValueError, "dropout=1.0 must be a share"),
        ({"dropout": -0.1}, ValueError, "dropout=-0.1"),
        ({"dropout": "half"}, TypeError, "dropout='half'"),
    ],
)
def test_what_no_net_can_be_is_refused(
    make: Callable[..., Classifier], arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make(**arguments)


@pytest.mark.parametrize("make", [mini_alexnet, mini_vgg])
@pytest.mark.parametrize("setting", ["width", "hidden"])
def test_widths_are_whole_numbers_in_range(make: Callable[..., Classifier], setting: str) -> None:
    with pytest.raises(ValueError, match=f"{setting}=0"):
        make(**{setting: 0})
    with pytest.raises(TypeError, match=setting):
        make(**{setting: True})
    assert parameters(make(**{setting: 8})) < parameters(make())


# --------------------------------------------------------------------------------------------------------- mini_alexnet


def test_alexnet_has_five_convolutions_and_three_linear_layers() -> None:
    net = mini_alexnet()
    convs = conv(3, 32, 7) + conv(32, 64, 5) + conv(64, 96, 3) + conv(96, 96, 3) + conv(96, 64, 3)
    linears = (256 + 1) * 640 + (640 + 1) * 640 + (640 + 1) * 10
    assert parameters(net) == convs + linears == 830_922 and linears > 2 * convs
    assert shapes(net) == {
        "conv1": (32, 8, 8), "conv2": (64, 4, 4), "conv3": (96, 4, 4), "conv4": (96, 4, 4), "conv5": (64, 2, 2),
        "flatten": (256,), "fc6": (640,), "fc7": (640,),
    }  # fmt: skip


def test_alexnets_switches_change_no_shape_and_no_parameter() -> None:
    usual = mini_alexnet().eval()
    x = batch(2)[0].cpu()
    for switch in ({"overlapping": False}, {"lrn": False}):
        other = mini_alexnet(**switch).eval()  # type: ignore[arg-type]
        other.load_state_dict(usual.state_dict())
        assert shapes(other) == shapes(usual)
        assert not torch.allclose(other(x), usual(x))
    kinds = [type(part) for part in usual.features.conv1]
    assert kinds == [nn.Conv2d, nn.ReLU, LocalResponseNorm, nn.MaxPool2d]
    assert [type(part) for part in mini_alexnet(lrn=False).features.conv1] == [nn.Conv2d, nn.ReLU, nn.MaxPool2d]


def test_local_response_normalisation_is_the_papers_formula() -> None:
    """And torch's, whose α is divided by n."""
    norm = LocalResponseNorm()
    x = torch.randn(2, 9, 4, 5)
    expected = torch.empty_like(x)
    for i in range(9):
        near = x[:, max(0, i - 2) : min(9, i + 3)]  # min(N − 1, i + n/2) and max(0, i − n/2), both included
        expected[:, i] = x[:, i] / (2 + 1e-4 * 128**2 * (near**2).sum(1)) ** 0.75
    torch.testing.assert_close(norm(x), expected)
    torch.testing.assert_close(norm(x), F.local_response_norm(x, 5, alpha=5 * norm.alpha, beta=0.75, k=2.0))


def test_local_response_normalisation_has_the_papers_strength_on_our_scale() -> None:
    """Pixels 128 times smaller give the same features, 128 times smaller."""
    x, papers = 128 * torch.randn(2, 8, 4, 4), LocalResponseNorm()
    papers.alpha = 1e-4
    torch.testing.assert_close(LocalResponseNorm()(x / 128) * 128, papers(x))


# ------------------------------------------------------------------------------------------------------------- mini_vgg


@pytest.mark.parametrize(("letter", "depth"), [("A", 11), ("B", 13), ("C", 16), ("D", 16), ("E", 19)])
def test_vgg_configurations_have_the_papers_depths_and_shapes(letter: str, depth: int) -> None:
    net = mini_vgg(configuration=letter)
    weighted = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weighted) == depth
    kernels = [m.kernel_size[0] for m in weighted if isinstance(m, nn.Conv2d)]
    assert kernels.count(1) == (3 if letter == "C" else 0) and set(kernels) <= {1, 3}
    assert list(shapes(net).values()) == [
        (12, 16, 16),
        (24, 8, 8),
        (48, 4, 4),
        (96, 2, 2),
        (96, 1, 1),
        (96,),
        (512,),
        (512,),
    ]


def test_vggs_parameters_by_hand_and_at_the_papers_width() -> None:
    widths = [3, 12, 12, 24, 24, 48, 48, 48, 96, 96, 96, 96, 96, 96]
    convs = sum(conv(a, b, 3) for a, b in pairwise(widths))
    linears = (96 + 1) * 512 + (512 + 1) * 512 + (512 + 1) * 10
    assert parameters(mini_vgg(configuration="D")) == convs + linears == 835_670
    shallow = sum(conv(a, b, 3) for a, b in pairwise([3, 12, 24, 48, 48, 96, 96, 96, 96]))
    assert parameters(mini_vgg()) == parameters(mini_vgg(configuration="A")) == shallow + linears == 642_290
    # VGG-16's convolutions: 138,357,544 parameters less those of its three linear layers (25088, 4096, 4096, 1000).
    linear = (25088 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 1000
    wide = mini_vgg(configuration="D", width=64, hidden=8).features
    assert sum(parameters(wide[i]) for i in range(5)) == 138_357_544 - linear


def test_vgg_refuses_an_unknown_configuration() -> None:
    with pytest.raises(ValueError, match="configuration='F' is not known.*A, B, C, D, E"):
        mini_vgg(configuration="F")
    assert [sum(map(len, stages)) + 3 for stages in CONFIGURATIONS.values()] == [11, 13, 16, 16, 19]


# ------------------------------------------------------------------------------------------------------- mini_googlenet


def test_googlenet_is_22_layers_deep_with_57_convolutions() -> None:
    """Depth: the longest path through layers with weights; an inception module is two layers deep."""
    net = mini_googlenet()
    convs = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == 57 and 3 + 2 * len(MODULES) + 1 == 22
    assert sum(m.kernel_size == (5, 5) for m in convs) == 9
    assert not any(isinstance(m, nn.BatchNorm2d) for m in net.modules())


def test_googlenets_channels_are_a_quarter_of_the_papers() -> None:
    """Szegedy et al. (2015), Table 1, column "output size"."""
    paper = dict(zip(MODULES, (256, 480, 512, 512, 512, 528, 832, 832, 1024), strict=True))
    sides = dict(zip(MODULES, (8, 8, 4, 4, 4, 4, 4, 2, 2), strict=True))
    found = shapes(mini_googlenet())
    assert {name: found[name] for name in MODULES} == {n: (c // 4, sides[n], sides[n]) for n, c in paper.items()}
    assert found["conv1"] == (16, 8, 8) and found["conv2"] == (48, 8, 8) and found["pool"] == (256,)


def test_googlenets_parameters_by_hand() -> None:
    c, total = 48, conv(3, 16, 7) + conv(16, 16, 1) + conv(16, 48, 3)
    for c1, (r3, c3), (r5, c5), c_pool in MODULES.values():
        c1, r3, c3, r5, c5, c_pool = (n // 4 for n in (c1, r3, c3, r5, c5, c_pool))
        total += (
            conv(c, c1, 1) + conv(c, r3, 1) + conv(r3, c3, 3) + conv(c, r5, 1) + conv(r5, c5, 5) + conv(c, c_pool, 1)
        )
        c = c1 + c3 + c5 + c_pool
    assert parameters(mini_googlenet()) == total + 257 * 10 == 379_046
    heads = sum(conv(c, 32, 1) + 129 * 256 + 257 * 10 for c in (128, 132))
    assert parameters(mini_googlenet(auxiliary=True)) == total + 257 * 10 + heads
    assert parameters(mini_googlenet(average_pool=False)) == total + 1025 * 10
    assert sum(layer.parameters for layer in anatomy(mini_googlenet(), (3, 32, 32))) == total + 257 * 10


def test_auxiliary_heads_learn_in_training_and_are_not_asked_otherwise() -> None:
    net = mini_googlenet(auxiliary=True, dropout=0.0).to(device())
    assert tuple(net.auxiliary) == AUXILIARY
    x, y = batch()
    fit(net, [(x, y)], auxiliary_loss, torch.optim.SGD(net.parameters(), lr=1e-3), 1, progress=False)
    assert all(p.grad is not None for p in net.parameters())
    asked: list[str] = []
    for name, head in net.auxiliary.items():
        head.register_forward_hook(lambda *_, name=name: asked.append(name))
    net.train()(x)
    net.eval()(x)
    assert auxiliary_loss(net, (x, y), 0.0) == F.cross_entropy(net(x), y) and asked == []
    main, *early = net.all_scores(x)
    assert asked == list(AUXILIARY) and torch.equal(main, net(x)) and [s.shape for s in early] == [(8, 10)] * 2


def test_the_auxiliary_loss_is_the_weighted_sum() -> None:
    net = mini_googlenet(auxiliary=True, dropout=0.0).to(device()).train()
    for part in net.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    x, y = batch()
    main, *early = (F.cross_entropy(scores, y) for scores in net.all_scores(x))
    torch.testing.assert_close(auxiliary_loss(net, (x, y), 0.0), main + 0.3 * (early[0] + early[1]))
    torch.testing.assert_close(auxiliary_loss(net, (x, y), 0.0, weight=0.0), main)
    plain = mini_googlenet(dropout=0.0).to(device())
    assert torch.equal(auxiliary_loss(plain, (x, y), 0.0), F.cross_entropy(plain(x), y))
    with pytest.raises(TypeError, match="Classifier has no auxiliary heads"):
        auxiliary_loss(lenet(image_size=32), (x, y), 0.0)


def test_an_inception_module_is_four_paths_side_by_side() -> None:
    module = mini_googlenet().features.inception3a
    x = torch.randn(2, 48, 8, 8)
    paths = [module.path1(x), module.path3(x), module.path5(x), module.path_pool(x)]
    assert [p.shape[1] for p in paths] == [16, 32, 8, 8]
    assert torch.equal(module(x), torch.cat(paths, 1))


@pytest.mark.parametrize("size", [(28, 28), (32, 48), (64, 64)])
def test_googlenet_takes_any_size(size: tuple[int, int]) -> None:
    assert mini_googlenet(5)(torch.zeros(2, 3, *size)).shape == (2, 5)
