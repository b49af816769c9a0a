"""Features as data: what comes out of each stage of a network."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from feature_toys import pictures
from torch import Tensor, nn

from xferkit.data import to_float
from xferkit.features import extract_features
from xferkit.models import Classifier, lenet
from xferkit.session import device
from xferkit.train import predict


def test_stages_come_out_averaged_over_space() -> None:
    torch.manual_seed(0)
    model = lenet(norm="batch").to(device()).train()
    x = torch.randint(256, (7, 3, 28, 28), dtype=torch.uint8)
    got = extract_features(model, x, layers=["stage1", "flatten"], batch_size=3)
    assert all(part.training for part in model.modules())
    model.eval()
    with torch.no_grad():
        first = model.features.stage1(to_float(x.to(device())))
    assert first.shape == (7, 32, 12, 12)
    close = {"atol": 1e-5 if device().type == "cpu" else 5e-3, "rtol": 1e-3}  # a GPU's TF32 units round coarsely
    torch.testing.assert_close(got["stage1"], first.mean((2, 3)).cpu(), **close)
    torch.testing.assert_close(got["flatten"], predict(model, x).features, **close)
    assert list(got) == ["stage1", "flatten"] and got["flatten"].shape == (7, 768)


def test_the_last_stage_is_the_default_and_it_can_be_trained_on() -> None:
    model = lenet().to(device())
    x = torch.randint(256, (3, 3, 28, 28), dtype=torch.uint8)
    got = extract_features(model, x)
    assert list(got) == ["flatten"]
    for z in (got["flatten"], extract_features(model, x, layers=["stage1"])["stage1"]):
        torch.nn.Linear(z.shape[1], 2)(z).sum().backward()


def test_an_unknown_stage_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'stage9'.*stage1, stage2, flatten"):
        extract_features(lenet(), torch.zeros(1, 3, 28, 28, dtype=torch.uint8), layers=["stage1", "stage9"])


def test_settings_that_name_no_stage_are_refused() -> None:
    x = torch.zeros(1, 3, 28, 28, dtype=torch.uint8)
    with pytest.raises(TypeError, match=r"\['stage1'\]"):
        extract_features(lenet(), x, layers="stage1")
    with pytest.raises(ValueError, match="layers is empty.*stage1"):
        extract_features(lenet(), x, layers=[])
    with pytest.raises(ValueError, match="no pictures"):
        extract_features(lenet(), x[:0])
    with pytest.raises(ValueError, match="meta"):
        extract_features(lenet().to("meta"), x)
    with pytest.raises(ValueError, match=r"tokens gives \(1, 3, 784\)"):
        extract_features(Classifier(nn.Sequential(OrderedDict(tokens=nn.Flatten(2))), nn.Linear(784, 2)), x)


def test_features_with_a_forward_pass_of_their_own_are_read_at_their_end_alone() -> None:
    class Twice(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    model, x = Classifier(Twice(*lenet().features), nn.Linear(768, 2)), pictures(3)
    torch.testing.assert_close(extract_features(model, x)["2"], predict(model, x).features)
    with pytest.raises(ValueError, match="Twice.*one by one"):
        extract_features(model, x, layers=["0"])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_networks_of_another_precision_give_float32(dtype: torch.dtype) -> None:
    model, x = lenet().to(device()), pictures(4)
    expected = extract_features(model, x)["flatten"]
    got = extract_features(model.to(dtype), x)["flatten"]
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, expected, atol=0.05, rtol=0.05)
