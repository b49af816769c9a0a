"""The training loop against the same loop by hand, its errors, and what is read off a trained network."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xferkit.data import Split, TensorLoader, load_domain, to_float
from xferkit.models import Classifier, lenet, mini_resnet
from xferkit.session import device, setup
from xferkit.train import NonFiniteLoss, evaluate, fit, predict, supervised_loss
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
    with pytest.raises(NonFiniteLoss, match=r"step 3 of 10 \(learning rate 0\.035\)"):
        fit(model, loader(pictures()), loss_fn, optimizer, 10, schedule=lambda p: 1 - p, progress=False)
    assert optimizer.param_groups[0]["lr"] == 0.05
    if device().type == "cpu":  # on a GPU losses are read every 20 steps, so some bad steps may have been taken
        assert weights_of(model).isfinite().all()


def test_a_rate_that_is_too_high_is_found_out() -> None:
    model = net()
    with pytest.raises(NonFiniteLoss, match="lower learning rate"):
        fit(model, loader(pictures()), supervised_loss, sgd(model, 1e6), 60, progress=False)


def interrupted_at(step: int, model: nn.Module, history_path: Path | None) -> dict[str, list[float]]:
    calls: list[float] = []

    def loss_fn(m: nn.Module, batch: Batch, p: float) -> dict[str, Tensor]:
        if len(calls) == step:
            raise KeyboardInterrupt
        loss = supervised_loss(m, batch, p)
        calls.append(loss.item())
        return {"loss": loss, "double": 2 * loss}

    optimizer = sgd(model)
    with pytest.raises(KeyboardInterrupt):
        fit(model, loader(pictures()), loss_fn, optimizer, 50, schedule=lambda p: 0.5, progress=False,
            history_path=history_path)  # fmt: skip
    assert optimizer.param_groups[0]["lr"] == 0.05
    return {"loss": calls, "double": [2 * c for c in calls], "lr": [0.025] * step}


@pytest.mark.parametrize("step", [1, 23])
def test_an_interrupt_saves_the_history_and_passes_through(
    step: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "history.json"
    expected = interrupted_at(step, net(), path)
    saved = json.loads(path.read_text())
    assert saved.keys() == expected.keys()
    assert all(saved[name] == pytest.approx(expected[name]) for name in expected)
    printed = capsys.readouterr().out
    assert f"after {step} of 50 steps" in printed and str(path) in printed


def test_without_a_path_the_interrupted_history_lands_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    interrupted_at(2, net(), None)
    assert len(json.loads((tmp_path / "interrupted_fit.json").read_text())["loss"]) == 2


def test_labels_beyond_the_head_are_refused_with_the_cure() -> None:
    model = replace_head(net(), 4)
    with pytest.raises(ValueError, match=r"\(16, 4\).*labels go up to \d.*replace_head\(model, \d+\)"):
        fit(model, loader(pictures()), supervised_loss, sgd(model), 1, progress=False)
    with pytest.raises(ValueError, match=r"\(48, 4\).*labels go up to 9"):
        evaluate(model, pictures())


def test_pictures_of_another_size_are_refused_with_both_shapes() -> None:
    model = net()
    with pytest.raises(ValueError) as caught:
        fit(model, loader(pictures(size=40)), supervised_loss, sgd(model), 1, progress=False)
    assert "(16, 3, 40, 40)" in str(caught.value) and "768" in str(caught.value)


def test_pictures_with_other_channels_are_refused_with_both_shapes() -> None:
    model = net()
    grey = [(torch.zeros(4, 1, 28, 28, device=device()), torch.zeros(4, dtype=torch.int64, device=device()))]
    with pytest.raises(ValueError) as caught:
        fit(model, grey, supervised_loss, sgd(model), 1, progress=False)
    assert "(4, 1, 28, 28)" in str(caught.value) and "(32, 3, 5, 5)" in str(caught.value)


def test_other_errors_pass_unchanged() -> None:
    model = net()

    def broken(m: nn.Module, batch: Batch, p: float) -> Tensor:
        raise RuntimeError("the reader's own mistake")

    with pytest.raises(RuntimeError, match="the reader's own mistake"):
        fit(model, loader(pictures()), broken, sgd(model), 1, progress=False)


def test_no_batches_and_no_steps_are_refused() -> None:
    model = net()
    with pytest.raises(ValueError, match="no batch"):
        fit(model, [], supervised_loss, sgd(model), 1, progress=False)
    with pytest.raises(ValueError, match="no batch"):  # an iterator is used up after one pass
        fit(model, iter(loader(pictures())), supervised_loss, sgd(model), 9, progress=False)
    with pytest.raises(ValueError, match="steps=0"):
        fit(model, loader(pictures()), supervised_loss, sgd(model), 0, progress=False)


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
    with pytest.raises(RuntimeError):
        predict(model, pictures(4, size=40))
    assert all(part.training for part in model.modules())


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
