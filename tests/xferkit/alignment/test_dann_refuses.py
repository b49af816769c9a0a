"""What a discriminator must give, and what λ can be: the mistakes that train on nonsense without a word."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xferkit.alignment import dann

Z = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))


def ending_in(*layers: nn.Module, width: int = 1) -> nn.Module:
    return nn.Sequential(nn.Linear(5, width), *layers)


class Inside(nn.Module):
    """The squashing is a call, not a module."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.linear = how, nn.Linear(5, 2)

    def forward(self, z: Tensor) -> Tensor:
        z = self.linear(z)
        if self.how == "sigmoid":
            return z[:, :1].sigmoid().squeeze(1)
        if self.how == "logsigmoid":
            return F.logsigmoid(z[:, 0])
        return (F.softmax if self.how == "softmax" else F.log_softmax)(z, 1)[:, 1]


@pytest.mark.parametrize(
    ("disc", "shape"),
    [
        (ending_in(), r"\(12, 1\)"),
        (ending_in(width=2), r"\(12, 2\)"),
        (ending_in(nn.LogSoftmax(1), width=2), r"\(12, 2\)"),
        (nn.Sequential(nn.Flatten(0), nn.Linear(60, 1), nn.Flatten(0)), r"\(1,\)"),
    ],
)
def test_another_shape_than_one_logit_a_row_is_refused(disc: nn.Module, shape: str) -> None:
    with pytest.raises(ValueError, match=rf"gave {shape} for 12 rows, but must give \(12,\).*Flatten"):
        dann.loss(disc, Z, Z, 1.0)


@pytest.mark.parametrize(
    ("disc", "name"),
    [
        (ending_in(nn.Sigmoid(), nn.Flatten(0)), "Sigmoid"),
        (ending_in(nn.Flatten(0), nn.Sigmoid()), "Sigmoid"),
        (ending_in(nn.Flatten(0), nn.LogSigmoid()), "LogSigmoid"),
        (ending_in(nn.Flatten(0), nn.Softmax(0)), "Softmax"),
        (ending_in(nn.Flatten(0), nn.LogSoftmax(0), nn.Identity()), "LogSoftmax"),
        (Inside("sigmoid"), "Sigmoid"),
        (Inside("softmax"), "Softmax"),
        (Inside("logsoftmax"), "LogSoftmax"),
        (Inside("logsigmoid"), "LogSigmoid"),
    ],
)
def test_probabilities_are_refused_by_the_name_of_what_makes_them(disc: nn.Module, name: str) -> None:
    with pytest.raises(ValueError, match=f"ends in {name}, but must give raw logits"):
        dann.loss(disc, Z, Z, 1.0)


def test_a_module_is_found_without_gradients_too() -> None:
    with torch.no_grad(), pytest.raises(ValueError, match="ends in Sigmoid"):
        dann.loss(ending_in(nn.Sigmoid(), nn.Flatten(0)), Z, Z, 1.0)


def test_a_gate_inside_is_no_end() -> None:
    disc = nn.Sequential(nn.Linear(5, 4), nn.Sigmoid(), nn.Linear(4, 1), nn.Flatten(0))
    assert dann.loss(disc, Z, Z + 1, 1.0).isfinite()


def test_logits_are_real_numbers() -> None:
    class Counts(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return (z.sum(1) > 0).long()

    with pytest.raises(TypeError, match="int64"):
        dann.loss(Counts(), Z, Z, 1.0)


def test_empty_sides_are_refused() -> None:
    for pair in ((Z[:0], Z), (Z, Z[:0])):
        with pytest.raises(ValueError, match="at least one"):
            dann.loss(dann.DomainDiscriminator(5), *pair, 1.0)


def test_nan_in_the_features_stays_nan() -> None:
    """It has to reach `fit`, which stops there; a check here would make a GPU wait at each step."""
    assert dann.loss(dann.DomainDiscriminator(5), Z * float("nan"), Z, 1.0).isnan()


@pytest.mark.parametrize("lam", [-1.0, -1e-9, float("nan"), float("inf")])
def test_lambda_is_not_negative_and_finite(lam: float) -> None:
    with pytest.raises(ValueError, match="lam="):
        dann.grad_reverse(Z, lam)
    with pytest.raises(ValueError, match="lam="):
        dann.loss(dann.DomainDiscriminator(5), Z, Z, lam)


@pytest.mark.parametrize("p", [-0.1, 1.01, 500, float("nan")])
def test_progress_is_a_share_and_no_step(p: float) -> None:
    with pytest.raises(ValueError, match="share of the run"):
        dann.lambda_ramp(p)


@pytest.mark.parametrize("gamma", [0.0, -10.0, float("nan"), float("inf")])
def test_gamma_is_positive(gamma: float) -> None:
    with pytest.raises(ValueError, match="gamma"):
        dann.lambda_ramp(0.5, gamma=gamma)


def test_widths_of_the_discriminator_are_counts() -> None:
    with pytest.raises(ValueError, match="dim=0"):
        dann.DomainDiscriminator(0)
    with pytest.raises(TypeError, match="hidden=10.0"):
        dann.DomainDiscriminator(5, hidden=10.0)  # type: ignore[arg-type]
