"""The linear probe against scikit-learn, and what it leaves alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from feature_toys import entries
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from xferkit.data import Split, load_domain
from xferkit.models import Classifier, lenet
from xferkit.session import device
from xferkit.train import evaluate, predict
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
    history = linear_probe(model, digits(), digits("val", 100))
    assert history["l2"] == [1e-3, 1e-2, 1e-1, 1.0] and set(history["chosen_l2"]) <= set(history["l2"])
    assert len(history["val_accuracy"]) == len(history["val_loss"]) == 4 and len(history["chosen_l2"]) == 1
    assert all(torch.equal(t, before[f"features.{name}"]) for name, t in model.features.state_dict().items())
    assert model.head.weight.device.type == device().type
    test = digits("test", 200)
    assert (predict(model, test).logits.argmax(1) == test.y).float().mean() > 0.75


def test_the_penalty_is_chosen_on_the_validation_part() -> None:
    """Labels of two validation parts that contradict each other lead to two different choices."""
    train, val = digits(n=60), digits("val", 100)
    scores = {}
    for l2 in (1e-4, 1e2):
        linear_probe(model := net(), train, val, l2s=[l2])
        scores[l2] = predict(model, val).logits.argmax(1)
    assert not torch.equal(scores[1e-4], scores[1e2])
    for l2, labels in scores.items():  # a part on which this penalty is right everywhere
        history = linear_probe(net(), train, Split(val.x, labels), l2s=[1e-4, 1e2])
        assert history["chosen_l2"] == [l2] and max(history["val_accuracy"]) == 1.0


def test_ties_are_settled_by_the_loss() -> None:
    """Two classes far apart: every penalty is right everywhere, and the least penalty has the least loss."""
    x = torch.zeros(40, 3, 28, 28, dtype=torch.uint8)
    x[20:] = 255
    split = Split(x, torch.arange(40) // 20)
    history = linear_probe(net(), split, split, l2s=[1.0, 1e-3, 0.1])
    assert history["val_accuracy"] == [1.0] * 3 and history["chosen_l2"] == [1e-3]
    assert history["val_loss"][1] == min(history["val_loss"])


def test_a_probe_reports_what_its_head_scores() -> None:
    model, val = net(), digits("val", 100)
    history = linear_probe(model, digits(), val)
    chosen = history["l2"].index(history["chosen_l2"][0])
    score = evaluate(model, val)
    assert history["val_accuracy"][chosen] == pytest.approx(score.accuracy)
    assert history["val_loss"][chosen] == pytest.approx(score.loss, rel=1e-4)


def test_the_second_probe_finds_the_features_and_gives_the_same_weights(folder: Path, asked: list[int]) -> None:
    train, val = digits(), digits("val", 100)
    first, second = net(), net()
    histories = [linear_probe(first, train, val)]
    assert len(asked) == 2 and len(entries(folder)) == 2
    histories.append(linear_probe(second, train, val))
    assert len(asked) == 2, "the second probe computes no features"
    assert torch.equal(first.head.weight, second.head.weight) and torch.equal(first.head.bias, second.head.bias)
    assert histories[0] == histories[1]
    with torch.no_grad():
        second.features.stage1[0].weight.add_(1e-3)  # another network, other features
    linear_probe(second, train, val)
    assert len(asked) == 4


@pytest.mark.parametrize("last", ["a map", "one part"])
def test_features_that_are_no_stage_or_no_vector_are_taken_as_they_come(last: str, folder: Path) -> None:
    """A map would be averaged over space by the extraction, and the head would not fit the network any more."""
    split = digits(n=40)
    if last == "one part":
        model = Classifier(torch.nn.Flatten(), torch.nn.Linear(2352, 10)).to(device())  # type: ignore[arg-type]
        linear_probe(model, split, split)
        assert model.head.in_features == 2352 and evaluate(model, split).accuracy > 0.9
    else:
        model = Classifier(net().features[:2], torch.nn.Flatten())
        with pytest.raises(ValueError, match=r"shape \(N, D\), not \(40, 48, 4, 4\)"):
            linear_probe(model, split, split)
    assert entries(folder) == []


def test_a_probe_asks_for_penalties_classes_and_a_classifier() -> None:
    train = digits()
    with pytest.raises(ValueError, match="l2s is empty"):
        linear_probe(net(), train, train, l2s=[])
    one = train.subset((train.y == 3).nonzero().flatten())
    with pytest.raises(ValueError, match="labels are 3"):
        linear_probe(net(), one, train)
    with pytest.raises(TypeError, match="Classifier"):
        linear_probe(torch.nn.Linear(2, 2), train, train)  # type: ignore[arg-type]


def planted(n: int = 60, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 3
    return torch.randn(n, 4, generator=generator).to(dtype) + torch.nn.functional.one_hot(y, 4), y


def test_a_logistic_regression_works_in_every_precision() -> None:
    z, y = planted()
    expected = fit_logistic(z, y, 3, l2=0.1)
    double = fit_logistic(z.double(), y.int(), 3, l2=0.1)
    assert double.weight.dtype == torch.float64
    torch.testing.assert_close(double.weight.float(), expected.weight, atol=1e-3, rtol=1e-3)
    for dtype in (torch.float16, torch.bfloat16):
        low = fit_logistic(z.to(dtype), y, 3, l2=0.1)
        assert low.weight.dtype == torch.float32
        torch.testing.assert_close(low.weight, fit_logistic(z.to(dtype).float(), y, 3, l2=0.1).weight)


def test_the_scale_of_the_features_does_not_matter() -> None:
    z, y = planted()
    expected = fit_logistic(z, y, 3, l2=0.1)(z)
    for scale in (1e-12, 1e8, 1e30):
        torch.testing.assert_close(fit_logistic(scale * z, y, 3, l2=0.1)(scale * z), expected, atol=1e-3, rtol=1e-3)


def test_constant_features_get_no_weight_that_matters() -> None:
    z, y = planted()
    expected = fit_logistic(z, y, 3, l2=0.1)(z)
    wider = torch.cat([z, torch.full((60, 1), 12345.678), torch.zeros(60, 1)], 1)
    torch.testing.assert_close(fit_logistic(wider, y, 3, l2=0.1)(wider), expected, atol=1e-2, rtol=1e-2)
    y = torch.tensor([0] * 30 + [1] * 10)
    p = fit_logistic(torch.full((40, 2), 0.1), y, 2, l2=0.1)(torch.full((1, 2), 0.1)).softmax(1)
    torch.testing.assert_close(p, torch.tensor([[0.75, 0.25]]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
def test_a_fit_works_where_gradients_are_off(guard: type) -> None:
    z, y = planted()
    expected = fit_logistic(z, y, 3, l2=0.1).weight
    with guard():
        found = fit_logistic(z.clone(), y.clone(), 3, l2=0.1).weight
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda z, y: (z, y[:-1], 3, 0.1), "60 rows, but 59 labels"),
        (lambda z, y: (z, y[:, None], 3, 0.1), r"\(60, 1\)"),
        (lambda z, y: (z, y.float(), 3, 0.1), "float32"),
        (lambda z, y: (z, y, 2, 0.1), "go up to 2, but num_classes=2"),
        (lambda z, y: (z, y - 1, 3, 0.1), "-1"),
        (lambda z, y: (z, 0 * y, 3, 0.1), "all 60 labels are 0"),
        (lambda z, y: (z[:1], y[:1], 3, 0.1), "all 1 labels"),
        (lambda z, y: (z[:0], y[:0], 3, 0.1), "0 rows"),
        (lambda z, y: (z.long(), y, 3, 0.1), "int64"),
        (lambda z, y: (z * float("nan"), y, 3, 0.1), "60 of 60 rows"),
        (lambda z, y: (z.sign() * 3e38, y, 3, 0.1), "too large"),
        (lambda z, y: (z.to(torch.complex64), y, 3, 0.1), "complex64"),
        (lambda z, y: (z, y, 3, -0.1), "l2=-0.1"),
        (lambda z, y: (z, y, 3, float("nan")), "l2=nan"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change: Callable[[Tensor, Tensor], tuple], message: str) -> None:
    z, y, num_classes, l2 = change(*planted())
    with pytest.raises((ValueError, TypeError), match=message):
        fit_logistic(z, y, num_classes, l2=l2)


def named(split: Split, *names: str) -> Split:
    """The pictures of as many classes as there are names."""
    known = split.subset(split.y < len(names))
    return replace(known, classes=names)


def test_class_names_make_the_head_and_stay_with_the_network() -> None:
    """A class that has a name and no picture has a score; without names the highest label counts."""
    train, val = (named(digits(part), "zero", "one", "two") for part in ("train", "val"))
    model = net()
    linear_probe(model, train.subset(train.y != 2), val)
    assert model.classes == ("zero", "one", "two") and model.head.out_features == 3
    with pytest.raises(ValueError, match="training and validation part name different.*zero, one, two and two, one"):
        linear_probe(net(), train, named(digits("val"), "two", "one", "zero"))
    bare = replace(train.subset(train.y != 2), classes=None)
    linear_probe(model, bare, bare)
    assert model.classes is None and model.head.out_features == 2


def test_pictures_without_a_label_are_refused() -> None:
    train = digits()
    unlabelled = replace(train, y=train.y.where(train.y != 4, -1), classes=None)
    for parts in ((unlabelled, train), (train, unlabelled)):
        with pytest.raises(ValueError, match="-1"):
            linear_probe(net(), *parts)
