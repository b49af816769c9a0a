"""Surgery: a new head, an honest report of what was copied, weights in between."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from xferkit.models import lenet
from xferkit.session import device
from xferkit.tuning import copy_weights, interpolate_weights, replace_head


def test_a_new_head_has_the_asked_shape_and_leaves_the_encoder_alone() -> None:
    model = lenet().to(device())
    before = copy.deepcopy(model.features.state_dict())
    assert replace_head(model, 7) is model
    x = torch.zeros(2, 3, 28, 28, device=device())
    assert model(x).shape == (2, 7)
    assert all(torch.equal(t, before[name]) for name, t in model.features.state_dict().items())
    assert isinstance(model.head, nn.Linear) and model.head.weight.device.type == device().type
    with pytest.raises(ValueError, match="num_classes=1"):
        replace_head(model, 1)


def source_and_destination() -> tuple[nn.Module, nn.Module]:
    """A shared layer, one of another shape, one on each side alone, and buffers."""
    torch.manual_seed(0)
    src = nn.ModuleDict(
        {
            "same": nn.Linear(3, 4),
            "norm": nn.BatchNorm1d(4),
            "wider": nn.Linear(4, 5),
            "old": nn.Linear(2, 2),
        }
    )
    dst = nn.ModuleDict({
        "same": nn.Linear(3, 4), "norm": nn.BatchNorm1d(4), "wider": nn.Linear(4, 6), "new": nn.Linear(2, 2),
    })  # fmt: skip
    nn.init.normal_(src["norm"].running_mean)  # type: ignore[arg-type]
    return src, dst


@pytest.mark.parametrize("layers", [None, ["same"], ["same", "wider."], ["norm.running_mean"]])
def test_the_report_names_every_tensor_exactly_once(layers: list[str] | None) -> None:
    src, dst = source_and_destination()
    report = copy_weights(src, dst, layers=layers)
    reported = [*report.copied, *report.skipped, *report.mismatched]
    assert sorted(reported) == sorted({*src.state_dict(), *dst.state_dict()})


def test_copied_tensors_are_equal_and_all_others_untouched() -> None:
    src, dst = source_and_destination()
    before = copy.deepcopy(dst.state_dict())
    report = copy_weights(src, dst)
    after = dst.state_dict()
    same = [name for name in src.state_dict() if name.startswith(("same", "norm"))]
    assert report.copied == same
    assert all(torch.equal(after[name], src.state_dict()[name]) for name in same)
    assert all(torch.equal(after[name], before[name]) for name in after if name not in same)
    assert report.mismatched == {"wider.weight": ((5, 4), (6, 4)), "wider.bias": ((5,), (6,))}
    assert report.skipped["old.weight"] == "only in the source"
    assert report.skipped["new.bias"] == "only in the destination"
    assert "copied 7, skipped 4, mismatched 2" in str(report) and "(5, 4)" in str(report)


def test_copying_copies_and_does_not_share() -> None:
    src, dst = source_and_destination()
    copy_weights(src, dst)
    with torch.no_grad():
        src["same"].weight.fill_(9.0)  # type: ignore[union-attr,operator]
    assert not (dst["same"].weight == 9.0).any()  # type: ignore[union-attr]


def test_nothing_is_broadcast() -> None:
    report = copy_weights(nn.Linear(1, 4), (dst := nn.Linear(3, 4)))
    assert report.mismatched == {"weight": ((4, 1), (4, 3))} and report.copied == ["bias"]
    assert dst.weight[:, 0].unique().numel() > 1


def test_layers_are_whole_names_and_unknown_ones_are_refused() -> None:
    src = nn.ModuleDict({"stage1": nn.Linear(2, 2), "stage10": nn.Linear(2, 2)})
    report = copy_weights(src, copy.deepcopy(src), layers=["stage1"])
    assert report.copied == ["stage1.weight", "stage1.bias"]
    assert report.skipped["stage10.weight"] == "not asked for"
    with pytest.raises(ValueError, match=r"'stage2'.*stage1\.weight"):
        copy_weights(src, src, layers=["stage2"])


# ---------------------------------------------------------------------------------------------- interpolate_weights


def two_nets() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    a, b = (lenet(norm="batch").to(device()) for _ in range(2))
    for steps, net in ((1, a), (3, b)):
        for _ in range(steps):
            net(torch.randn(4, 3, 28, 28, device=device()))
    return a, b


def test_the_end_points_are_the_two_networks() -> None:
    a, b = two_nets()
    for alpha, net in ((0.0, a), (1.0, b)):
        mixed, own = interpolate_weights(a, b, alpha), net.state_dict()
        assert list(mixed) == list(own)
        assert all(torch.equal(mixed[name], own[name]) for name in own)


def test_in_between_is_the_weighted_mean_and_loads() -> None:
    a, b = two_nets()
    mixed = interpolate_weights(a, b, 0.25)
    weight = "features.stage1.0.weight"
    torch.testing.assert_close(mixed[weight], 0.75 * a.state_dict()[weight] + 0.25 * b.state_dict()[weight])
    before = copy.deepcopy(a.state_dict())
    lenet(norm="batch").to(device()).load_state_dict(mixed)
    mixed[weight].zero_()
    assert all(torch.equal(t, before[name]) for name, t in a.state_dict().items())


def test_networks_of_two_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in 2 tensors.*head.4.bias"):
        interpolate_weights(lenet(10), lenet(11), 0.5)
