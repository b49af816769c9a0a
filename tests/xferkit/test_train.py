"""The training loop against the same loop by hand, its errors, and what is read off a trained network."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xferkit._loop import to_device
from xferkit.data import Split, TensorLoader, load_domain, to_float
from xferkit.models import Classifier, lenet, mini_resnet
from xferkit.schedules import inverse_decay
from xferkit.session import device, setup
from xferkit.train import NonFiniteLoss, evaluate, evaluation_mode, fit, predict, supervised_loss
from xferkit.tuning import replace_head

Batch = tuple[Tensor, Tensor]


def pictures(n: int = 48, size: int = 28, classes: int = 10) -> Split:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(256, (n, 3, size, size), generator=generator, dtype=torch.uint8)
    return Split(x, torch.arange(n) % classes)


def loader(split: Split, seed: int = 0) -> TensorLoader:
    return TensorLoader(split.x, split.y, 16, shuffle=True, generator=torch.Generator().manual_seed(seed))


def net() -> Classifier:
    torch.manual_seed(0)
    return lenet().to(device())


def sgd(model: nn.Module, lr: float = 0.05) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr, momentum=0.9)


def weights_of(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_fit_is_the_loop_that_one_would_write_by_hand() -> None:
    """Bit for bit on a CPU; within 1e-4 on a GPU. Seven steps over three batches an epoch."""
    split, steps = pictures(), 7
    model = net()
    history = fit(model, loader(split), supervised_loss, sgd(model), steps, schedule=lambda p: 1 - p, progress=False)

    by_hand, losses = net().train(), []
    optimizer = sgd(by_hand)
    generator = torch.Generator().manual_seed(0)
    order: list[Tensor] = []
    for step in range(steps):
        if not order:
            order = list(torch.randperm(len(split), generator=generator).split(16))
        index = order.pop(0)
        x, y = to_float(split.x[index].to(device())), split.y[index].to(device())
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / steps)
        optimizer.zero_grad()
        loss = F.cross_entropy(by_hand(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    tolerance = 0.0 if device().type == "cpu" else 1e-4
    torch.testing.assert_close(weights_of(model), weights_of(by_hand), atol=tolerance, rtol=tolerance)
    assert history["loss"] == pytest.approx(losses, abs=tolerance)
    assert history["lr"] == pytest.approx([0.05 * (1 - s / steps) for s in range(steps)])


def test_two_runs_from_one_seed_are_identical() -> None:
    """On a CPU to the last bit; on a GPU within the tolerance that `session` states."""

    def run() -> tuple[list[float], Tensor, float]:
        setup(seed=0)
        train = load_domain("mnist").train.subset(range(256))
        model = mini_resnet(depth=8, width=8).to(device())
        batches = TensorLoader(train.x, train.y, 32, shuffle=True, generator=torch.Generator().manual_seed(0))
        history = fit(model, batches, supervised_loss, sgd(model), 6, progress=False)
        return history["loss"], weights_of(model), evaluate(model, train).accuracy

    (losses, weights, accuracy), (losses_2, weights_2, accuracy_2) = run(), run()
    if device().type == "cpu":
        assert losses == losses_2 and torch.equal(weights, weights_2) and accuracy == accuracy_2
    else:
        assert losses == pytest.approx(losses_2, abs=1e-3) and accuracy == pytest.approx(accuracy_2, abs=0.01)


def test_a_network_learns_digits() -> None:
    domain = load_domain("mnist")
    model = net()
    before = evaluate(model, domain.val).accuracy
    batches = TensorLoader(domain.train.x, domain.train.y, 32, shuffle=True, generator=torch.Generator().manual_seed(0))
    history = fit(model, batches, supervised_loss, sgd(model, 0.03), 150, progress=False)
    assert before < 0.3 and evaluate(model, domain.val).accuracy > 0.85
    assert sum(history["loss"][-20:]) < 0.4 * sum(history["loss"][:20])


def test_progress_runs_over_the_whole_run_and_the_schedule_scales_every_group() -> None:
    model, seen, rates = net(), [], []
    optimizer = torch.optim.SGD([
        {"params": model.features.parameters(), "lr": 0.1}, {"params": model.head.parameters(), "lr": 0.3},
    ])  # fmt: skip

    def loss_fn(m: nn.Module, batch: Batch, p: float) -> Tensor:
        seen.append(p)
        rates.append([group["lr"] for group in optimizer.param_groups])
        return supervised_loss(m, batch, p)

    history = fit(model, loader(pictures()), loss_fn, optimizer, 4, schedule=lambda p: 2 - p, progress=False)
    assert seen == [0, 0.25, 0.5, 0.75]
    assert rates == [pytest.approx([0.1 * f, 0.3 * f]) for f in (2, 1.75, 1.5, 1.25)]
    assert history["lr"] == pytest.approx([r[0] for r in rates])
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.3]  # put back for the next call


def test_every_scalar_is_recorded_once_a_step() -> None:
    model = net()

    def loss_fn(m: nn.Module, batch: Batch, p: float) -> dict[str, Tensor]:
        loss = supervised_loss(m, batch, p)
        return {"loss": loss, "half": loss / 2}

    history = fit(model, loader(pictures()), loss_fn, sgd(model), 25, progress=False)
    assert {name: len(values) for name, values in history.items()} == {"loss": 25, "lr": 25, "half": 25}
    assert history["half"] == pytest.approx([v / 2 for v in history["loss"]])


def test_fit_puts_the_network_in_training_mode() -> None:
    model = lenet(norm="batch").to(device()).eval()
    before = model.features.stage1[1].running_mean.clone()
    fit(model, loader(pictures()), supervised_loss, sgd(model), 1, progress=False)
    assert model.training and not torch.equal(model.features.stage1[1].running_mean, before)


def test_the_progress_bar_can_be_switched_off(capsys: pytest.CaptureFixture[str]) -> None:
    model = net()
    fit(model, loader(pictures()), supervised_loss, sgd(model), 2, progress=False)
    quiet = capsys.readouterr()
    assert quiet.out + quiet.err == ""
    fit(model, loader(pictures()), supervised_loss, sgd(model), 2)
    assert "2/2" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_fit(bad: float) -> None:
    model = net()

    def loss_fn(m: nn.Module, batch: Batch, p: float) -> Tensor:
        return supervised_loss(m, batch, p) * (bad if p >= 0.3 else 1.0)

    optimizer = sgd(model, 0.05)
    with pytest.raises(NonFiniteLoss, match=r"step 3 of 10 \(learning rate 0\.035\)") as caught:
        fit(model, loader(pictures()), loss_fn, optimizer, 10, schedule=lambda p: 1 - p, progress=False)
    assert optimizer.param_groups[0]["lr"] == 0.05
    if device().type == "cpu":  # on a GPU losses are read every 20 steps, so some bad steps may have been taken
        assert weights_of(model).isfinite().all()
    history = caught.value.history
    assert len(history["loss"]) == len(history["lr"]) == 4 and not math.isfinite(history["loss"][3])


def test_a_rate_that_is_too_high_is_found_out() -> None:
    model = net()
    with pytest.raises(NonFiniteLoss, match="lower learning rate"):
        fit(model, loader(pictures()), supervised_loss, sgd(model, 1e6), 60, progress=False)


@pytest.mark.parametrize("step", [0, 1, 23])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, ZeroDivisionError])
def test_whatever_ends_a_run_early_carries_the_history_and_writes_no_file(
    step: int, kind: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the working folder cannot be written to: the error that comes out is the one that went in."""
    monkeypatch.chdir(tmp_path)
    calls: list[float] = []
    thrown = kind()

    def loss_fn(m: nn.Module, batch: Batch, p: float) -> dict[str, Tensor | float]:
        if len(calls) == step:
            raise thrown
        loss = supervised_loss(m, batch, p)
        calls.append(loss.item())
        return {"loss": loss, "double": 2 * loss.item()}

    model = net()
    optimizer = sgd(model)
    with pytest.raises(kind) as caught:
        fit(model, loader(pictures()), loss_fn, optimizer, 50, schedule=lambda p: 0.5, progress=False)
    assert caught.value is thrown and optimizer.param_groups[0]["lr"] == 0.05
    expected = {"loss": calls, "double": [2 * c for c in calls], "lr": [0.025] * step}
    history = caught.value.history
    assert all(history.get(name, []) == pytest.approx(expected[name]) for name in expected)
    assert f"{step} of 50 steps" in caught.value.__notes__[0] and "history" in caught.value.__notes__[0]
    assert list(tmp_path.iterdir()) == []


def test_labels_beyond_the_head_are_refused_with_the_cure() -> None:
    model = replace_head(net(), 4)
    with pytest.raises(ValueError, match=r"\(16, 4\).*labels go up to \d.*replace_head\(model, \d+\)"):
        fit(model, loader(pictures()), supervised_loss, sgd(model), 1, progress=False)
    with pytest.raises(ValueError, match=r"\(48, 4\).*labels go up to 9"):
        evaluate(model, pictures())


def told(error: BaseException) -> str:
    """What the reader sees: the message and the notes under it."""
    return "\n".join([str(error), *getattr(error, "__notes__", [])])


def test_pictures_of_another_size_are_refused_with_both_shapes() -> None:
    model = net()
    with pytest.raises(RuntimeError) as caught:
        fit(model, loader(pictures(size=40)), supervised_loss, sgd(model), 1, progress=False)
    assert "(16, 3, 40, 40)" in told(caught.value) and "768" in told(caught.value)
    with pytest.raises(RuntimeError) as caught:
        predict(model, pictures(size=40))
    assert "(48, 3, 40, 40)" in told(caught.value) and "768" in told(caught.value)


def test_pictures_with_other_channels_are_refused_with_both_shapes() -> None:
    model = net()
    grey = [(torch.zeros(4, 1, 28, 28), torch.zeros(4, dtype=torch.int64))]
    with pytest.raises(RuntimeError) as caught:
        fit(model, grey, supervised_loss, sgd(model), 1, progress=False)
    assert "(4, 1, 28, 28)" in told(caught.value) and "(32, 3, 5, 5)" in told(caught.value)


@pytest.mark.parametrize("mistake", ["the reader's own mistake", "the size of tensor a must match the shape, channels"])
def test_other_errors_pass_unchanged(mistake: str) -> None:
    """Also where they speak of sizes and shapes, as most errors of a loss function do."""
    model = net()

    def broken(m: nn.Module, batch: Batch, p: float) -> Tensor:
        raise RuntimeError(mistake)

    with pytest.raises(RuntimeError, match=mistake) as caught:
        fit(model, loader(pictures()), broken, sgd(model), 1, progress=False)
    assert str(caught.value) == mistake and "weight" not in told(caught.value)
    assert caught.traceback[-1].name == "broken"


def test_no_batches_and_no_steps_are_refused() -> None:
    model = net()
    with pytest.raises(ValueError, match="no batch"):
        fit(model, [], supervised_loss, sgd(model), 1, progress=False)
    with pytest.raises(ValueError, match="no batch"):  # an iterator is used up after one pass
        fit(model, iter(loader(pictures())), supervised_loss, sgd(model), 9, progress=False)
    with pytest.raises(ValueError, match="steps=0"):
        fit(model, loader(pictures()), supervised_loss, sgd(model), 0, progress=False)


@pytest.mark.skipif(device().type != "cpu", reason="a GPU's losses are read every 20 steps")
def test_a_bad_batch_leaves_weights_momentum_and_running_statistics_as_they_were() -> None:
    """NaN pixels at step 2: what was learned before is there to the last bit, and training goes on from it."""
    torch.manual_seed(0)
    model = mini_resnet(depth=8, width=4)
    optimizer = sgd(model, 0.01)
    good = list(loader(pictures()))
    bad = (good[2][0] * math.nan, good[2][1])
    fit(model, good[:2], supervised_loss, optimizer, 2, progress=False)
    state = {name: t.clone() for name, t in model.state_dict().items()}
    momentum = [optimizer.state[w]["momentum_buffer"].clone() for w in model.parameters()]
    statistics = model.features.stem[1].running_mean
    with pytest.raises(NonFiniteLoss, match="step 0 of 1"):
        fit(model, [bad], supervised_loss, optimizer, 1, progress=False)
    assert all(torch.equal(t, state[name]) for name, t in model.state_dict().items())
    kept = [optimizer.state[w]["momentum_buffer"] for w in model.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(kept, momentum, strict=True))
    assert model.features.stem[1].running_mean is statistics  # the same tensor, which others may hold
    again = fit(model, good[2:], supervised_loss, sgd(model, 0.001), 3, progress=False)
    assert all(map(math.isfinite, again["loss"]))


def test_floats_and_numpys_numbers_are_recorded_beside_tensors() -> None:
    model = net()

    def loss_fn(m: nn.Module, batch: Batch, p: float) -> dict[str, Tensor | float]:
        return {
            "loss": supervised_loss(m, batch, p),
            "p": p,
            "three": 3,
            "numpy": np.float32(0.5),
            "not known": math.nan,
        }

    history = fit(model, loader(pictures()), loss_fn, sgd(model), 4, progress=False)
    assert history["p"] == [0, 0.25, 0.5, 0.75] and history["three"] == [3.0] * 4 and history["numpy"] == [0.5] * 4
    assert all(map(math.isnan, history["not known"]))
    assert all(type(value) is float for values in history.values() for value in values)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda loss, p: {"loss": loss, "lr": 0.1}, ValueError, "'lr' stands for the learning rate"),
        (lambda loss, p: {"label": loss}, TypeError, "'loss'"),
        (lambda loss, p: 0.5, TypeError, "must give a tensor"),
        (lambda loss, p: loss.detach(), ValueError, "no parameter that learns"),
        (lambda loss, p: loss + torch.zeros(3), ValueError, r"'loss' has the shape \(3,\): reduce"),
        (lambda loss, p: {"loss": loss, "z": torch.zeros(2)}, ValueError, r"'z' has the shape \(2,\): reduce"),
        (lambda loss, p: {"loss": loss} | ({"late": 1.0} if p > 0 else {}), ValueError, "'late'.*same names"),
    ],
)  # fmt: skip
def test_a_loss_that_cannot_be_recorded_or_learned_from_is_refused(
    change: Callable, kind: type[Exception], message: str
) -> None:
    model = lenet()
    with pytest.raises(kind, match=message):
        fit(model, loader(pictures()), lambda m, batch, p: change(supervised_loss(m, batch, p), p), sgd(model), 2,
            progress=False)  # fmt: skip


@pytest.mark.parametrize("factor", [math.nan, math.inf, -0.5])
def test_a_schedule_that_gives_no_factor_is_refused(factor: float) -> None:
    model = net()
    optimizer = sgd(model)
    with pytest.raises(ValueError, match=r"schedule gives (nan|inf|-0\.5) at p=0\.5.*factor"):
        fit(model, loader(pictures()), supervised_loss, optimizer, 4, progress=False,
            schedule=lambda p: 1.0 if p < 0.5 else factor)  # fmt: skip
    assert optimizer.param_groups[0]["lr"] == 0.05


def test_a_last_batch_of_one_names_batchnorm_and_the_ways_out() -> None:
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 4, 5), nn.BatchNorm1d(5)), nn.Linear(5, 2))
    one = [(torch.zeros(1, 3, 2, 2), torch.zeros(1, dtype=torch.int64))]
    with pytest.raises(ValueError, match="one picture.*BatchNorm.*batch size.*last batch.*hold_statistics") as caught:
        fit(model, one, supervised_loss, sgd(model), 1, progress=False)
    assert isinstance(caught.value.__cause__, ValueError)


def test_an_optimizer_that_needs_a_closure_is_refused_before_anything_moves() -> None:
    model = lenet()
    before = weights_of(model)
    with pytest.raises(TypeError, match="LBFGS.*by hand"):
        fit(model, loader(pictures()), supervised_loss, torch.optim.LBFGS(model.parameters()), 2, progress=False)
    assert torch.equal(before, weights_of(model))


@pytest.mark.parametrize("name", ["AdamW", "Adagrad", "Rprop", "ASGD", "Adam with a tensor"])
def test_other_optimizers_work_with_a_schedule(name: str) -> None:
    """Also a rate that is a tensor, which the optimizer may hold on to."""
    model = net()
    lr = torch.tensor(1e-3) if "tensor" in name else 1e-3
    optimizer = getattr(torch.optim, name.split()[0])(model.parameters(), lr)
    held = optimizer.param_groups[0]["lr"]
    history = fit(model, loader(pictures()), supervised_loss, optimizer, 4, schedule=lambda p: 1 - p, progress=False)
    assert history["lr"] == pytest.approx([1e-3, 7.5e-4, 5e-4, 2.5e-4])
    assert optimizer.param_groups[0]["lr"] is held or optimizer.param_groups[0]["lr"] == held
    assert float(optimizer.param_groups[0]["lr"]) == pytest.approx(1e-3)


class Pair(NamedTuple):
    x: Tensor
    rest: dict[str, list[Tensor]]


def test_batches_of_any_nesting_come_to_the_networks_device() -> None:
    """Named tuples stay named tuples. (Without a GPU, `meta` stands for the other device.)"""
    model, seen = net(), []
    split = pictures(16)
    batch = Pair(to_float(split.x), {"y": [split.y, split.y]})

    def loss_fn(m: nn.Module, got: Pair, p: float) -> Tensor:
        seen.append((type(got), got.x.device.type, got.rest["y"][0].device.type))
        return supervised_loss(m, (got.x, got.rest["y"][1]), p)

    fit(model, [batch], loss_fn, sgd(model), 2, progress=False)
    assert seen == [(Pair, device().type, device().type)] * 2
    meta = Pair(batch.x.to("meta"), {"y": [split.y]})
    moved = to_device(meta, torch.device("meta"))
    assert type(moved) is Pair and moved.rest["y"][0].is_meta and isinstance(moved.rest["y"], list)


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda m: torch.compile(m, backend="eager")])
def test_wrapped_networks_train_and_predict_as_they_do_bare(wrap: Callable) -> None:
    bare, inner, split = net(), net(), pictures()
    wrapped = wrap(inner)
    expected = fit(bare, loader(split), supervised_loss, sgd(bare), 3, progress=False)
    history = fit(wrapped, loader(split), supervised_loss, sgd(wrapped), 3, progress=False)
    assert history["loss"] == pytest.approx(expected["loss"], rel=1e-3)
    torch.testing.assert_close(weights_of(inner), weights_of(bare), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(predict(wrapped, split), predict(inner, split))
    assert evaluate(wrapped, split) == evaluate(inner, split)


# --------------------------------------------------------------------------------------------- predict and evaluate


def test_prediction_is_made_in_evaluation_mode_and_leaves_no_trace() -> None:
    model = lenet(norm="batch").to(device())
    model.features.stage1.eval()
    modes = [part.training for part in model.modules()]
    state = {name: t.clone() for name, t in model.state_dict().items()}
    split = pictures(10)
    logits, features = predict(model, split)
    assert modes == [part.training for part in model.modules()]
    assert all(torch.equal(t, state[name]) for name, t in model.state_dict().items())
    model.eval()
    with torch.no_grad():
        expected = model(to_float(split.x.to(device()))).cpu()
    torch.testing.assert_close(logits, expected)
    assert logits.shape == (10, 10) and features.shape == (10, 768)
    assert logits.device.type == features.device.type == "cpu" and logits.dtype == torch.float32


def test_prediction_does_not_depend_on_the_batch_size() -> None:
    """To rounding, which on a GPU's TF32 units is coarse."""
    model, split = net(), pictures(10)
    tolerance = 1e-5 if device().type == "cpu" else 5e-3
    in_threes, at_once = predict(model, split, batch_size=3), predict(model, split.x)
    torch.testing.assert_close(in_threes, at_once, atol=tolerance, rtol=1e-3)


def test_modes_come_back_even_when_prediction_fails() -> None:
    model = net().train()
    model.features.stage1.eval()
    modes = [part.training for part in model.modules()]
    with pytest.raises(RuntimeError):
        predict(model, pictures(4, size=40))
    assert [part.training for part in model.modules()] == modes


def test_predicted_features_can_be_trained_on() -> None:
    features = predict(net(), pictures(8)).features
    head = nn.Linear(768, 10)
    F.cross_entropy(head(features), torch.zeros(8, dtype=torch.int64)).backward()
    assert head.weight.grad is not None


def test_accuracy_and_loss_are_what_their_definitions_say() -> None:
    """A 'network' that reads its scores off the first pixel: class 2 for black, class 0 for white."""

    class FirstPixel(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            v = x[:, 0, 0, 0]
            return torch.stack([v, torch.zeros_like(v), -v], 1)

    head = nn.Linear(3, 3)
    nn.init.eye_(head.weight), nn.init.zeros_(head.bias)
    model = Classifier(nn.Sequential(FirstPixel()), head).to(device())
    x = torch.zeros(4, 3, 2, 2, dtype=torch.uint8)
    x[2:] = 255
    score = evaluate(model, Split(x, torch.tensor([2, 2, 0, 1])), batch_size=3)
    assert score.accuracy == 0.75
    black, white = [-127 / 128, 0, 127 / 128], [1.0, 0, -1.0]
    losses = [math.log(sum(map(math.exp, s))) - s[c] for s, c in ((black, 2), (black, 2), (white, 0), (white, 1))]
    assert score.loss == pytest.approx(sum(losses) / 4, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_pictures_follow_the_networks_dtype(dtype: torch.dtype) -> None:
    model, split = net(), pictures(10)
    expected = predict(model, split)
    got = predict(model.to(dtype), split)
    assert got.logits.dtype == got.features.dtype == torch.float32
    close = {torch.float64: 1e-4, torch.bfloat16: 0.05, torch.float16: 0.01}[dtype]
    torch.testing.assert_close(got, expected, atol=close, rtol=close)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_scores_that_are_not_finite_give_no_accuracy(bad: float) -> None:
    model, split = net(), pictures()
    with torch.no_grad():
        model.head[4].bias[3] = bad
    with pytest.raises(ValueError, match="48 of 48 pictures.*NaN or infinite"):
        evaluate(model, split)


def test_labels_that_cannot_be_judged_are_refused() -> None:
    model, split = net(), pictures()
    unlabelled = Split(split.x, torch.where(torch.arange(48) == 5, -100, split.y))
    with pytest.raises(ValueError, match="-100.*[Ll]eave out"):
        evaluate(model, unlabelled)
    with pytest.raises(ValueError, match="-100.*[Ll]eave out"):
        supervised_loss(model, (to_float(unlabelled.x), unlabelled.y), 0.5)
    with pytest.raises(TypeError, match="float32"):
        supervised_loss(model, (to_float(split.x), split.y.float()), 0.5)
    with pytest.raises(ValueError, match=r"\(48, 1\)"):
        supervised_loss(model, (to_float(split.x), split.y[:, None]), 0.5)


def test_labels_in_a_smaller_integer_type_give_the_same_loss() -> None:
    model, split = net(), pictures()
    x = to_float(split.x).to(device())
    y = split.y.to(device())
    assert supervised_loss(model, (x, y.int()), 0.0).item() == supervised_loss(model, (x, y), 0.0).item()


def test_class_names_that_differ_are_refused() -> None:
    model, split = net(), pictures()
    model.classes = ("cat", "dog")
    object.__setattr__(split, "classes", ("dog", "cat"))
    with pytest.raises(ValueError, match="cat, dog.*dog, cat"):
        evaluate(model, split)


def test_what_cannot_be_predicted_is_refused_clearly() -> None:
    model, split = net(), pictures(4)
    with pytest.raises(ValueError, match="no pictures"):
        predict(model, split.x[:0])
    with pytest.raises(ValueError, match="no pictures"):
        evaluate(model, Split(split.x[:0], split.y[:0]))
    with pytest.raises(ValueError, match="batch_size=0"):
        predict(model, split, batch_size=0)
    with pytest.raises(TypeError, match="batch_size=2.5"):
        predict(model, split, batch_size=2.5)
    with pytest.raises(TypeError, match="uint8"):
        predict(model, split.x.float() / 255)
    with pytest.raises(TypeError, match="Linear.*Classifier"):
        predict(nn.Linear(3, 2), split)
    with pytest.raises(ValueError, match="pictures.*meta"):
        predict(model, split.x.to("meta"))


def test_a_network_without_numbers_is_refused() -> None:
    model = lenet().to("meta")
    for attempt in (
        lambda: predict(model, pictures(4)),
        lambda: evaluate(model, pictures(4)),
        lambda: fit(model, loader(pictures()), supervised_loss, sgd(model), 1, progress=False),
    ):
        with pytest.raises(ValueError, match="meta device"):
            attempt()


def test_the_guard_of_modes_puts_every_part_back() -> None:
    model = lenet(norm="batch").train()
    model.features.stage2.eval()
    modes = [part.training for part in model.modules()]
    with pytest.raises(ZeroDivisionError), evaluation_mode(model):
        assert not any(part.training for part in model.modules())
        1 / 0  # noqa: B018
    assert [part.training for part in model.modules()] == modes


# -------------------------------------------------------------------------------------------------------- schedules


def test_the_papers_decay_is_a_factor_on_the_optimizers_own_rate() -> None:
    """μ_p = μ₀ / (1 + 10 p)^0.75 with μ₀ = 0.01 (Ganin et al. 2016, §5.2.2)."""
    assert inverse_decay(0.0) == 1.0
    assert inverse_decay(0.5) == pytest.approx(6**-0.75) and inverse_decay(1.0) == pytest.approx(11**-0.75)
    model = net()
    history = fit(model, loader(pictures()), supervised_loss, sgd(model, 0.01), 2, schedule=inverse_decay,
                  progress=False)  # fmt: skip
    assert history["lr"] == pytest.approx([0.01, 0.01 / 6**0.75])
