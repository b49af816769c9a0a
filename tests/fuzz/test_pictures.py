"""Everything that takes pictures or networks: a right answer or a clear error, whatever wraps the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import xferkit as xk
from xferkit.alignment import batchnorm
from xferkit.data import blend_mnist_m, few_labels, paired_batches
from xferkit.models import lenet

from .conftest import outcome


def pictures(n: int = 12, seed: int = 0, side: int = 28) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, side, side), generator=g, dtype=torch.uint8)


def labels(n: int = 12) -> Tensor:
    return torch.arange(n) % 3


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def net(norm: str = "batch") -> xk.Classifier:
    torch.manual_seed(0)
    return lenet(3, norm=norm)


def first_pair(x: Any) -> Any:
    whole = xk.Split(pictures(), labels())
    other = xk.Split(x, labels(len(x) if isinstance(x, Tensor) else 12))
    return next(paired_batches(whole, other, 4, generator=generator()))


TAKES_PICTURES: dict[str, Callable[[Any], Any]] = {
    "to_float": xk.to_float,
    "Split": lambda x: xk.Split(x, labels()).x,
    "TensorLoader": lambda x: next(iter(xk.TensorLoader(x, labels(), 4)))[0],
    "paired_batches": lambda x: first_pair(x)[2],
    "predict": lambda x: xk.predict(net(), x).logits,
    "evaluate": lambda x: xk.evaluate(net(), xk.Split(x, labels())).loss,
    "extract_features": lambda x: xk.extract_features(net(), x)["flatten"],
    "adapt_statistics": lambda x: batchnorm.adapt_statistics(net(), x).features.stage1[1].running_mean,
    "blend_mnist_m": lambda x: blend_mnist_m(x, [pictures(1, side=60)[0]], generator()),
    "show_images": lambda x: len(xk.plots.show_images(x).axes),
}
BROKEN: dict[str, Callable[[Tensor], Any]] = {
    "floats in 0…1": lambda x: x.float() / 255,
    "floats in 0…255": lambda x: x.float(),
    "scaled before": lambda x: (x.float() - 127) / 128,
    "double": lambda x: x.double(),
    "int64": lambda x: x.long(),
    "int8": lambda x: x.view(torch.int8),
    "truth values": lambda x: x > 100,
    "NaN": lambda x: torch.full(x.shape, torch.nan),
    "one channel": lambda x: x[:, :1],
    "four channels": lambda x: torch.cat([x, x[:, :1]], 1),
    "channels last": lambda x: x.permute(0, 2, 3, 1),
    "one picture alone": lambda x: x[0],
    "no pictures": lambda x: x[:0],
    "no pixels": lambda x: x[:, :, :0],
    "on meta": lambda x: x.to("meta"),
    "an array": lambda x: x.numpy(),
    "a list": lambda x: x.tolist(),
    "nothing": lambda x: None,
}
# to_float scales any shape, as it also scales the batch that a reader cut out himself.
ANY_SHAPE = (
    "one channel",
    "four channels",
    "channels last",
    "one picture alone",
    "no pictures",
    "no pixels",
    "on meta",
)


@pytest.mark.parametrize("flaw", BROKEN)
@pytest.mark.parametrize("name", TAKES_PICTURES)
def test_broken_pictures_end_in_a_clear_error(name: str, flaw: str) -> None:
    answer, error = outcome(lambda: TAKES_PICTURES[name](BROKEN[flaw](pictures())))
    plt.close("all")
    if name == "to_float" and flaw in ANY_SHAPE:
        assert error is None and answer.dtype == torch.float32
    elif (name, flaw) == ("blend_mnist_m", "no pictures"):
        assert error is None and len(answer) == 0
    else:
        assert error is not None, answer


@pytest.mark.parametrize("name", TAKES_PICTURES)
def test_how_pictures_lie_in_memory_does_not_matter(name: str) -> None:
    x = pictures()
    expected = TAKES_PICTURES[name](x.clone())
    for same in (x.to(memory_format=torch.channels_last), torch.stack([x, x])[1], x.repeat_interleave(2, 0)[::2]):
        got = TAKES_PICTURES[name](same)
        torch.testing.assert_close(torch.as_tensor(got), torch.as_tensor(expected), atol=1e-4, rtol=1e-4)
    plt.close("all")


# ------------------------------------------------------------------------------------------------------------ batches


@given(st.integers(0, 9), st.integers(-2, 12), st.booleans(), st.booleans())
def test_a_loader_gives_each_picture_once_or_says_why_not(n: int, size: int, shuffle: bool, drop: bool) -> None:
    x, y = pictures(9)[:n], torch.arange(n)
    found, error = outcome(
        lambda: [b[1] for b in xk.TensorLoader(x, y, size, shuffle=shuffle, drop_last=drop, generator=generator())]
    )
    if n == 0 or size < 1:
        assert error is not None
    elif not drop:
        assert error is None and sorted(torch.cat(found).tolist()) == list(range(n))
    elif error is None:
        seen = torch.cat(found).tolist() if found else []
        assert len(set(seen)) == len(seen) and all(len(b) == size for b in found)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12))
def test_pairs_are_whole_batches_of_both_domains(n: int, m: int, size: int) -> None:
    source, target = xk.Split(pictures(n), torch.arange(n)), xk.Split(pictures(m, seed=1), torch.full((m,), -1))
    found, error = outcome(lambda: next(paired_batches(source, target, size, generator=generator())))
    if size > min(n, m):
        assert error is not None and "fewer" in str(error)
    else:
        assert (
            error is None and found[0].shape == found[2].shape == (size, 3, 28, 28) and len(found[1].unique()) == size
        )


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(-1, 8))
def test_few_labels_are_so_many_of_each_class(y: list[int], k: int) -> None:
    split = xk.Split(pictures(len(y)), torch.tensor(y))
    few, error = outcome(lambda: few_labels(split, k, generator()))
    if k < 1:
        assert error is not None
    else:
        counts = {c: min(k, y.count(c)) for c in set(y)}
        assert error is None and {c: few.y.tolist().count(c) for c in set(y)} == counts


@given(st.lists(st.integers(-12, 12), max_size=8), st.sampled_from(["list", "tensor", "array", "floats", "mask"]))
def test_positions_and_masks_pick_what_python_would(at: list[int], kind: str) -> None:
    split = xk.Split(pictures(9), torch.arange(9))
    if kind == "mask":
        mask = torch.tensor([i in at for i in range(9)])
        assert split.subset(mask).y.tolist() == [i for i in range(9) if i in at]
        return
    picked: Any = {"list": at, "tensor": torch.tensor(at), "array": torch.tensor(at).long().numpy()}.get(kind)
    if kind == "floats":
        picked = torch.tensor(at).float() + 0.5
    found, error = outcome(lambda: split.subset(picked))
    if (kind == "floats" and at) or any(not -9 <= i < 9 for i in at):
        assert error is not None
    elif error is None:
        assert found.y.tolist() == [list(range(9))[i] for i in at]


# ----------------------------------------------------------------------------------------------------------- networks

WRAPPED: dict[str, Callable[[xk.Classifier], nn.Module]] = {
    "DataParallel": nn.DataParallel,
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "frozen": xk.tuning.freeze,
    "statistics held": xk.tuning.hold_statistics,
    "double": lambda model: model.double(),
    "channels last": lambda model: model.to(memory_format=torch.channels_last),
    "in training mode": lambda model: model.train(),
}


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    before = {name: t.clone() for name, t in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    yield
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes


@pytest.mark.parametrize("wrap", WRAPPED)
@pytest.mark.parametrize("batch_size", [1, 5, 12, 500])
def test_a_wrapped_network_says_the_same_and_stays_as_it_was(wrap: str, batch_size: int) -> None:
    x, y = pictures(), labels()
    plain = net().eval()
    with torch.no_grad():
        expected = plain((x.float() - 127) / 128)
    model = WRAPPED[wrap](net())
    with untouched(model):
        got, error = outcome(lambda: xk.predict(model, x, batch_size=batch_size))
        score, _ = outcome(lambda: xk.evaluate(model, xk.Split(x, y), batch_size=batch_size))
        features, _ = outcome(lambda: xk.extract_features(model, x, batch_size=batch_size))
    assert error is None, error
    torch.testing.assert_close(got.logits, expected, atol=1e-4, rtol=1e-4)
    assert score.loss == pytest.approx(F.cross_entropy(expected, y).item(), abs=1e-4)
    torch.testing.assert_close(features["flatten"], got.features, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("spoil", ["NaN", "infinite", "on meta"])
def test_a_spoiled_network_gets_no_score(spoil: str) -> None:
    model = net()
    if spoil == "on meta":
        model = model.to("meta")
    else:
        with torch.no_grad():
            model.head[0].weight[0, 0] = float(spoil.lower()[:3])
    _, error = outcome(lambda: xk.evaluate(model, xk.Split(pictures(), labels())))
    assert error is not None


@given(st.integers(2, 40), st.integers(1, 33), st.sampled_from(["finetune", "lp_ft", "gradual_unfreeze"]))
def test_recipes_learn_from_any_number_of_pictures(n: int, batch_size: int, recipe: str) -> None:
    """Batches larger than the data, a last batch of one: trained to the end, or refused before a weight has moved."""
    split = xk.Split(pictures(n, side=16), torch.arange(n) % 2)
    torch.manual_seed(0)
    model = lenet(2, image_size=16, norm="batch")
    extra = (split, split) if recipe == "lp_ft" else (split,)
    history, error = outcome(
        lambda: getattr(xk.tuning, recipe)(model, *extra, steps=3, lr=1e-3, batch_size=batch_size, progress=False)
    )
    assert all(torch.isfinite(t).all() for t in model.state_dict().values())
    if error is None:
        assert len(history["loss"]) >= 3 and all(torch.isfinite(torch.tensor(history["loss"])))
    else:
        assert batch_size == 1, error
