"""Surgery: a new head, an honest report of what was copied, weights in between."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from xferkit.models import Classifier, lenet
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


# -------------------------------------------------------------------------- wrapped networks, kinds of numbers, nothing


def wrappers() -> dict[str, Callable[[nn.Module], nn.Module]]:
    return {
        "DataParallel": nn.DataParallel,
        "compile": lambda net: torch.compile(net, backend="aot_eager"),  # type: ignore[dict-item,return-value]
        "average": torch.optim.swa_utils.AveragedModel,
        "both": lambda net: nn.DataParallel(torch.compile(net, backend="aot_eager")),  # type: ignore[arg-type]
    }


@pytest.mark.parametrize("how", ["DataParallel", "compile", "average", "both"])
def test_wrapped_networks_are_copied_under_their_own_names(how: str) -> None:
    torch.manual_seed(0)
    src, dst = lenet(norm="batch"), lenet(norm="batch")
    wrap = wrappers()[how]
    assert copy_weights(wrap(src), dst).copied == list(src.state_dict())
    assert all(torch.equal(t, src.state_dict()[name]) for name, t in dst.state_dict().items())
    lenet(norm="batch").load_state_dict(interpolate_weights(wrap(src), dst, 0.5))
    if how == "average":
        return  # it copies what it wraps, so nothing can be copied into that
    fresh = lenet(norm="batch")
    report = copy_weights(src, wrap(fresh), layers=["features.stage1"])
    assert len(report.copied) == 7 and torch.equal(fresh.features.stage1[0].weight, src.features.stage1[0].weight)


def test_a_wrapper_inside_a_network_is_seen_through() -> None:
    src, dst = lenet(), lenet()
    src.features = nn.DataParallel(src.features)  # type: ignore[assignment]
    assert copy_weights(src, dst).copied == list(dst.state_dict())


def test_a_child_called_module_is_no_wrapper() -> None:
    src, dst = nn.ModuleDict({"module": nn.Linear(2, 2)}), nn.ModuleDict({"module": nn.Linear(2, 2)})
    assert copy_weights(src, dst).copied == ["module.weight", "module.bias"]


def test_copying_nothing_is_an_error_with_the_report() -> None:
    with pytest.raises(ValueError, match="no tensor was copied(.|\n)*only in the source"):
        copy_weights(nn.ModuleDict({"a": nn.Linear(2, 2)}), nn.ModuleDict({"b": nn.Linear(2, 2)}))
    with pytest.raises(ValueError, match="no tensor was copied(.|\n)*not asked for"):
        copy_weights(nn.Linear(2, 2), nn.Linear(2, 2), layers=[])
    with pytest.raises(TypeError, match=r"\['weight'\]"):
        copy_weights(nn.Linear(2, 2), nn.Linear(2, 2), layers="weight")
    for pair in ((nn.Linear(2, 2, device="meta"), nn.Linear(2, 2)), (nn.Linear(2, 2), nn.Linear(2, 2, device="meta"))):
        with pytest.raises(ValueError, match="meta"):
            copy_weights(*pair)


def test_copies_take_the_destinations_precision_and_never_another_kind_of_number() -> None:
    src, half = nn.Linear(2, 2).double(), nn.Linear(2, 2).half()
    copy_weights(src, half)
    assert half.weight.dtype == torch.float16 and torch.equal(half.weight, src.weight.half())
    report = copy_weights(nn.Linear(2, 2), (dst := odd_kind()))
    assert report.copied == ["bias"] and report.skipped == {"weight": "torch.float32 in the source, torch.int64 here"}
    assert torch.equal(dst.weight, torch.ones(2, 2, dtype=torch.int64))


def odd_kind() -> nn.Module:
    module = nn.Module()
    module.register_buffer("weight", torch.ones(2, 2, dtype=torch.int64))
    module.bias = nn.Parameter(torch.zeros(2))
    return module


def test_between_precisions_and_complex_weights() -> None:
    a, b = nn.Linear(2, 2).double(), nn.Linear(2, 2)
    mixed = interpolate_weights(a, b, 0.5)
    assert mixed["weight"].dtype == torch.float64
    torch.testing.assert_close(mixed["weight"], 0.5 * (a.weight + b.weight.double()).detach())
    a, b = nn.Linear(2, 2, dtype=torch.complex64), nn.Linear(2, 2, dtype=torch.complex64)
    torch.testing.assert_close(interpolate_weights(a, b, 0.5)["bias"], (0.5 * (a.bias + b.bias)).detach())
    with pytest.raises(ValueError, match="differ in 2 tensors"):
        interpolate_weights(a, nn.Linear(2, 2), 0.5)
    with pytest.raises(ValueError, match="alpha=nan"):
        interpolate_weights(a, b, float("nan"))
    with pytest.raises(ValueError, match="no tensors"):
        interpolate_weights(nn.ReLU(), nn.ReLU(), 0.5)


def test_a_new_head_goes_into_the_network_and_not_onto_its_wrapper() -> None:
    model = lenet().double()
    parallel = nn.DataParallel(model)
    assert replace_head(parallel, 4) is parallel  # type: ignore[arg-type]
    assert model.head.weight.shape == (4, 768) and model.head.weight.dtype == torch.float64
    assert "head" not in parallel._modules
    with pytest.raises(TypeError, match="Linear.*last layer yourself"):
        replace_head(nn.Linear(2, 2), 4)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no linear layer.*model.head"):
        replace_head(Classifier(nn.Sequential(nn.Flatten()), nn.ReLU()), 4)
    for wrong in (2.0, True):
        with pytest.raises(TypeError, match="num_classes"):
            replace_head(lenet(), wrong)  # type: ignore[arg-type]
