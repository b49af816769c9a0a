"""The linear probe against scikit-learn, and what it leaves alone."""

from __future__ import annotations

import copy

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from xferkit.data import Split, load_domain
from xferkit.models import Classifier, lenet
from xferkit.session import device
from xferkit.train import predict
from xferkit.tuning import fit_logistic, linear_probe


def digits(part: str = "train", n: int = 200) -> Split:
    return getattr(load_domain("uci_digits"), part).subset(range(n))


def net() -> Classifier:
    torch.manual_seed(0)
    return lenet().to(device())


def state(model: Classifier) -> dict[str, Tensor]:
    return copy.deepcopy(model.state_dict())


@pytest.mark.parametrize("copies", [1, 40], ids=["more rows than dimensions", "more dimensions than rows"])
@pytest.mark.parametrize("l2", [1e-2, 1.0])
def test_logistic_regression_equals_scikit_learns(l2: float, copies: int) -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(3, (150,), generator=generator)
    scale = torch.tensor([1, 5, 0.1, 1, 1, 3]).repeat(copies)
    z = torch.randn(150, len(scale), generator=generator) * scale + y[:, None] * 0.5 + 2
    ours = fit_logistic(z, y, 3, l2=l2)
    standardised = (z - z.mean(0)) / z.std(0, correction=0)
    theirs = LogisticRegression(C=1 / (len(z) * l2), tol=1e-8, max_iter=5000).fit(standardised.numpy(), y.numpy())
    expected = torch.tensor(theirs.predict_proba(standardised.numpy()), dtype=torch.float32)
    torch.testing.assert_close(ours(z).softmax(1).detach(), expected, atol=1e-3, rtol=0)


def test_a_constant_feature_does_no_harm() -> None:
    z = torch.cat([torch.randn(40, 2), torch.full((40, 1), 3.0)], 1)
    layer = fit_logistic(z, (z[:, 0] > 0).long(), 2, l2=0.01)
    assert layer.weight.isfinite().all() and layer.bias.isfinite().all()


def test_a_probe_leaves_the_encoder_untouched_and_learns_the_head() -> None:
    model = net()
    before = state(model)
    probed, l2 = linear_probe(model, digits(), digits("val", 100))
    assert probed is model and l2 in (1e-3, 1e-2, 1e-1, 1.0)
    assert all(torch.equal(t, before[f"features.{name}"]) for name, t in model.features.state_dict().items())
    assert model.head.weight.device.type == device().type
    test = digits("test", 200)
    assert (predict(model, test).logits.argmax(1) == test.y).float().mean() > 0.75


def test_the_penalty_is_chosen_on_the_validation_part() -> None:
    """Labels of two validation parts that contradict each other lead to two different choices."""
    train, val = digits(n=60), digits("val", 100)
    scores = {}
    for l2 in (1e-4, 1e2):
        model, _ = linear_probe(net(), train, val, l2s=[l2])
        scores[l2] = predict(model, val).logits.argmax(1)
    assert not torch.equal(scores[1e-4], scores[1e2])
    for l2, labels in scores.items():  # a part on which this penalty is right everywhere
        assert linear_probe(net(), train, Split(val.x, labels), l2s=[1e-4, 1e2])[1] == l2
