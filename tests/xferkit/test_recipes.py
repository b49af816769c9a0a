"""Recipes: the probe against scikit-learn, and which part of a network each recipe moves, and when."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from xferkit.data import Split, load_domain
from xferkit.models import Classifier, lenet, mini_resnet
from xferkit.schedules import cosine
from xferkit.session import device
from xferkit.train import predict
from xferkit.tuning import finetune, fit_logistic, freeze, gradual_unfreeze, linear_probe, lp_ft, replace_head


def digits(part: str = "train", n: int = 200) -> Split:
    return getattr(load_domain("uci_digits"), part).subset(range(n))


def net() -> Classifier:
    torch.manual_seed(0)
    return lenet().to(device())


def state(model: Classifier) -> dict[str, Tensor]:
    return copy.deepcopy(model.state_dict())


def moved(model: Classifier, before: dict[str, Tensor]) -> set[str]:
    """Which of stage1, stage2, head changed."""
    names = {name for name, t in model.state_dict().items() if not torch.equal(t, before[name])}
    return {name.removeprefix("features.").split(".")[0] for name in names}


# ------------------------------------------------------------------------------------------------ linear probing


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


# ---------------------------------------------------------------------------------------------------- fine-tuning


def test_finetuning_learns_and_moves_everything() -> None:
    model = net()
    before = state(model)
    history = finetune(model, digits(), steps=60, lr=3e-3)
    assert moved(model, before) == {"stage1", "stage2", "head"}
    assert len(history["loss"]) == 60 and sum(history["loss"][-10:]) < 0.6 * sum(history["loss"][:10])


def test_finetuning_leaves_frozen_stages_alone() -> None:
    model = net()
    freeze(model.features.stage1)
    before = state(model)
    finetune(model, digits(), steps=3, lr=1e-3)
    assert moved(model, before) == {"stage2", "head"}


def test_finetuning_repeats_with_its_seed() -> None:
    runs = [finetune(net(), digits(), steps=4, lr=1e-3, seed=s)["loss"] for s in (1, 1, 2)]
    assert runs[0] == pytest.approx(runs[1], abs=0 if device().type == "cpu" else 1e-3)
    assert runs[0] != runs[2]


def test_augmentation_acts_on_every_training_batch() -> None:
    seen: list[tuple[int, ...]] = []

    def blank(x: Tensor) -> Tensor:
        seen.append(tuple(x.shape))
        return torch.zeros_like(x)

    model = net()
    before = state(model)
    finetune(model, digits(), steps=3, lr=1e-3, batch_size=8, augment=blank)
    assert seen == [(8, 3, 28, 28)] * 3
    # From black pictures the first layer's kernels get no gradient (AdamW's decay moves them, a little).
    drift = (model.features.stage1[0].weight - before["features.stage1.0.weight"]).abs().max()
    assert drift < 1e-6


def test_lp_ft_starts_from_the_probed_head() -> None:
    train, val = digits(), digits("val", 100)
    probed, tuned = net(), net()
    linear_probe(probed, train, val)
    history = lp_ft(tuned, train, val, steps=2, lr=1e-9)
    torch.testing.assert_close(tuned.head.weight, probed.head.weight, atol=1e-6, rtol=1e-4)
    scratch = finetune(replace_head(net(), 10), train, steps=2, lr=1e-9)
    assert history["loss"][0] < 0.6 * scratch["loss"][0]
    before = state(probed)
    finetune(probed, train, steps=2, lr=1e-3)
    assert "stage1" in moved(probed, before)


def test_gradual_unfreezing_goes_from_the_head_down() -> None:
    """Three rounds for two stages: with k steps, k parts have moved."""
    for steps, expected in ((1, {"head"}), (2, {"head", "stage2"}), (3, {"head", "stage2", "stage1"})):
        model = net()
        before = state(model)
        history = gradual_unfreeze(model, digits(), steps=steps, lr=1e-3)
        assert moved(model, before) == expected
        assert len(history["loss"]) == len(history["lr"]) == steps


def test_gradually_unfrozen_stages_train_in_full() -> None:
    """An unfrozen stage's running statistics follow the data again; those below wait for their turn."""
    torch.manual_seed(0)
    model = mini_resnet(depth=8, width=4).to(device())
    before = state(model)
    gradual_unfreeze(model, digits(), steps=2, lr=1e-3)  # five rounds: the head, then stage3
    assert not torch.equal(
        model.features.stage3[0].body[1].running_mean, before["features.stage3.0.body.1.running_mean"]
    )
    assert moved(model, before) == {"head", "stage3"}


def test_cosine_rises_falls_and_ends_near_zero() -> None:
    factors = [cosine(step / 200) for step in range(200)]
    peak = factors.index(max(factors))
    assert 0 < factors[0] < 0.1 and max(factors) == pytest.approx(1.0, abs=0.01)
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert cosine(0.55) == pytest.approx(0.5) and math.isclose(cosine(1.0), 0, abs_tol=1e-9)
