"""Everything that takes features, scores or labels: a right answer or a clear error, never a plausible number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from xferkit import metrics, plots, report, selection, tuning
from xferkit.alignment import dann, maps, subspaces

from .conftest import outcome

Inputs = dict[str, Any]


def disc(z: Any) -> nn.Module:
    torch.manual_seed(0)
    if not isinstance(z, Tensor) or z.is_meta or z.ndim < 2 or z.shape[-1] == 0:
        return dann.DomainDiscriminator(4)
    return dann.DomainDiscriminator(z.shape[-1]).to(z.dtype if z.is_floating_point() else torch.float32)


@dataclass(frozen=True)
class Call:
    """A function of the package on `n` rows: where features stand, where labels, and the range of its answer."""

    run: Callable[..., Any]
    rows: tuple[str, ...]  # float (n, 4) each
    labels: Mapping[str, str] = field(default_factory=dict)  # labels ↦ the rows that they belong to
    pairs: bool = False  # row i of each argument shows the same thing
    low: float = -float("inf")
    high: float = float("inf")
    renames: bool = True  # another numbering of the classes gives the same answer
    passes_nan: bool = False  # a training step: NaN comes out as NaN, which `fit` stops at


CALLS = {
    "whiten": Call(lambda z: maps.whiten(z), ("z",)),
    "coral_map": Call(lambda s, t: maps.coral_map(s, t), ("s", "t")),
    "subspace_alignment": Call(lambda s, t: torch.cat(subspaces.subspace_alignment(s, t, 2)).abs(), ("s", "t")),
    "fit_linear_map": Call(lambda s, t: maps.fit_linear_map(s, t), ("s", "t"), pairs=True),
    "a_distance": Call(lambda s, t: metrics.a_distance(s, t), ("s", "t"), low=-2, high=2),
    "linear_cka": Call(lambda s, t: metrics.linear_cka(s, t), ("s", "t"), pairs=True, low=0, high=1),
    "linear_cka, debiased": Call(lambda s, t: metrics.linear_cka(s, t, debiased=True), ("s", "t"), pairs=True, high=1),
    "retrieval_precision": Call(
        lambda q, g, q_y, g_y: metrics.retrieval_precision(q, q_y, g, g_y, 3), ("q", "g"), {"q_y": "q", "g_y": "g"},
        low=0, high=1,
    ),
    "domain_accuracy": Call(lambda s, t: metrics.domain_accuracy(disc(s), s, t), ("s", "t"), low=0, high=1),
    "fresh_domain_accuracy": Call(
        lambda s, t: metrics.fresh_domain_accuracy(s, t, s, t, steps=3), ("s", "t"), low=0, high=1
    ),
    "dann.loss": Call(lambda s, t: dann.loss(disc(s), s, t, 1.0), ("s", "t"), low=0, passes_nan=True),
    "logme": Call(lambda z, y: selection.logme(z, y), ("z",), {"y": "z"}),
    "entropy_score": Call(lambda z: selection.entropy_score(z), ("z",), high=1e-9),
    "im_score": Call(lambda z: selection.im_score(z), ("z",), low=-1e-9),
    "snd_score": Call(lambda z: selection.snd_score(z), ("z",), low=-1e-9),
    "fit_logistic": Call(
        lambda z, y: tuning.fit_logistic(z, y, 4, l2=0.1).weight, ("z",), {"y": "z"}, renames=False
    ),
    "accuracy": Call(
        lambda z, y: report.accuracy(z, y), ("z",), {"y": "z"}, low=0, high=1, renames=False
    ),
    "balanced_accuracy": Call(
        lambda z, y: report.balanced_accuracy(z, y), ("z",), {"y": "z"}, low=0, high=1, renames=False
    ),
}  # fmt: skip


def sound(call: Call, n: int, seed: int) -> Inputs:
    """Inputs with nothing wrong: two clouds some way apart, three classes of at least three rows each."""
    g = torch.Generator().manual_seed(seed)
    inputs: Inputs = {name: torch.randn(n, 4, generator=g) + i for i, name in enumerate(call.rows)}
    for name in call.labels:
        inputs[name] = torch.arange(n)[torch.randperm(n, generator=g)] % 3
    return inputs


# What must end in an error whatever the function, since no answer can be right.
BROKEN: dict[str, Callable[[Tensor], Any]] = {
    "NaN in one row": lambda z: z.index_put((torch.tensor([1]), torch.tensor([2])), torch.tensor(torch.nan)),
    "infinite": lambda z: z.index_put((torch.tensor([0]), torch.tensor([0])), torch.tensor(torch.inf)),
    "all NaN": lambda z: torch.full_like(z, torch.nan),
    "no rows": lambda z: z[:0],
    "no columns": lambda z: z[:, :0],
    "one dimension": lambda z: z[:, 0],
    "three dimensions": lambda z: z[:, :, None],
    "complex": lambda z: z.to(torch.complex64),
    "truth values": lambda z: z > 0,
    "on meta": lambda z: z.to("meta"),
    "a list": lambda z: z.tolist(),
    "nothing": lambda z: None,
}
BROKEN_LABELS: dict[str, Callable[[Tensor], Any]] = {
    "one too few": lambda y: y[1:],
    "one too many": lambda y: torch.cat([y, y[:1]]),
    "a column": lambda y: y[:, None],
    "one-hot": lambda y: nn.functional.one_hot(y, 3),
    "floats": lambda y: y.float(),
    "floats between": lambda y: y + 0.5,
    "truth values": lambda y: y > 0,
    "ignored ones": lambda y: torch.where(y == 0, -100, y),
    "none": lambda y: y[:0],
    "on meta": lambda y: y.to("meta"),
    "words": lambda y: ["cat"] * len(y),
}
# What must change nothing.
SAME: dict[str, Callable[[Tensor], Tensor]] = {
    "double": lambda z: z.double(),
    "strided": lambda z: torch.stack([z, z])[1].T.contiguous().T,
    "every other of twice": lambda z: z.repeat_interleave(2, 0)[::2],
    "requires grad": lambda z: z.clone().requires_grad_(),
}
SAME_LABELS: dict[str, Callable[[Tensor], Tensor]] = {
    "int32": lambda y: y.int(),
    "int16": lambda y: y.to(torch.int16),
    "every other of twice": lambda y: y.repeat_interleave(2)[::2],
}
# What may be answered or refused, but not with a number outside the range, nor NaN.
STRANGE: dict[str, Callable[[Tensor], Tensor]] = {
    "constant": lambda z: torch.full_like(z, 3.0),
    "zeros": torch.zeros_like,
    "one constant column": lambda z: z.index_fill(1, torch.tensor([1]), 2.0),
    "rows all alike": lambda z: z[:1].expand_as(z),
    "every row twice": lambda z: z[: max(1, len(z) // 2)].repeat(3, 1)[: len(z)],
    "one row": lambda z: z[:1],
    "two rows": lambda z: z[:2],
    "huge": lambda z: z * 1e18,
    "tiny": lambda z: z * 1e-18,
    "half": lambda z: z.half(),
    "bfloat16": lambda z: z.bfloat16(),
    "integers": lambda z: (10 * z).long(),
    "far from the origin": lambda z: z + 1e4,
}


def numbers(answer: Any) -> Tensor:
    return torch.as_tensor(answer).detach().double()


def check_range(call: Call, answer: Any) -> None:
    values = numbers(answer)
    assert torch.isfinite(values).all(), answer
    assert values.numel() == 0 or (values.min() >= call.low - 1e-6 and values.max() <= call.high + 1e-6), answer


names = st.sampled_from(sorted(CALLS))
seeds = st.integers(0, 2**16)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_sound_inputs_are_answered(name: str) -> None:
    for seed in range(3):
        answer, error = outcome(lambda seed=seed: CALLS[name].run(**sound(CALLS[name], 24, seed)))
        assert error is None, error
        check_range(CALLS[name], answer)


@pytest.mark.parametrize("flaw", [*BROKEN, *(f"labels: {f}" for f in BROKEN_LABELS)])
@pytest.mark.parametrize("name", sorted(CALLS))
def test_broken_inputs_end_in_a_clear_error(name: str, flaw: str) -> None:
    """Each argument in turn; all pairs of function and flaw, so that none depends on what was drawn."""
    call, kind = CALLS[name], flaw.removeprefix("labels: ")
    of_labels = kind != flaw
    for argument in call.labels if of_labels else call.rows:
        inputs = sound(call, 24, 0)
        inputs[argument] = (BROKEN_LABELS if of_labels else BROKEN)[kind](inputs[argument])
        answer, error = outcome(lambda inputs=inputs: call.run(**inputs))
        if error is None and call.passes_nan and flaw in ("NaN in one row", "infinite", "all NaN"):
            assert not torch.isfinite(numbers(answer)).all(), answer
        else:
            assert error is not None, f"{argument}: {flaw} was answered by {answer}"


@given(names, seeds, st.integers(1, 23))
def test_rows_that_do_not_belong_together(name: str, seed: int, kept: int) -> None:
    call = CALLS[name]
    inputs = sound(call, 24, seed)
    if call.pairs:
        inputs[call.rows[0]] = inputs[call.rows[0]][:kept]
    elif len(call.rows) == 2:
        inputs[call.rows[1]] = inputs[call.rows[1]][:, : 1 + kept % 3]
    elif call.labels:
        inputs[call.rows[0]] = inputs[call.rows[0]][:kept]
    else:
        return
    answer, error = outcome(lambda: call.run(**inputs))
    assert error is not None, f"answered by {answer}"


@given(names, seeds, st.data())
def test_what_changes_nothing_changes_nothing(name: str, seed: int, data: st.DataObject) -> None:
    call = CALLS[name]
    clean = sound(call, 24, seed)
    argument = data.draw(st.sampled_from([*call.rows, *call.labels]))
    ways = SAME_LABELS if argument in call.labels else SAME
    way = data.draw(st.sampled_from(sorted(ways)))
    changed = dict(clean)
    if way == "double":  # all of them: two precisions in one call may be refused
        changed |= {row: clean[row].double() for row in call.rows}
    else:
        changed[argument] = ways[way](clean[argument])
    expected = call.run(**{k: v.clone() for k, v in clean.items()})
    got, error = outcome(lambda: call.run(**changed))
    assert error is None, (way, error)
    torch.testing.assert_close(numbers(got), numbers(expected), atol=5e-3, rtol=5e-3)


@given(st.sampled_from(sorted(n for n, c in CALLS.items() if c.labels and c.renames)), seeds, st.permutations(range(3)))
def test_the_numbering_of_classes_does_not_matter(name: str, seed: int, order: list[int]) -> None:
    call = CALLS[name]
    inputs = sound(call, 24, seed)
    gaps = torch.tensor([1, 5, 40])[torch.tensor(order)]
    renamed = inputs | {y: gaps[inputs[y]] for y in call.labels}
    torch.testing.assert_close(numbers(call.run(**renamed)), numbers(call.run(**inputs)), atol=1e-5, rtol=1e-5)


@given(names, seeds, st.data())
def test_strange_inputs_never_give_a_number_out_of_range(name: str, seed: int, data: st.DataObject) -> None:
    call = CALLS[name]
    n = data.draw(st.sampled_from([6, 12, 24, 40]))
    inputs = sound(call, n, seed)
    everywhere = data.draw(st.booleans())
    way = data.draw(st.sampled_from(sorted(STRANGE)))
    for row in call.rows if everywhere else [data.draw(st.sampled_from(call.rows))]:
        inputs[row] = STRANGE[way](inputs[row])
        for y, of in call.labels.items():
            if of == row:
                inputs[y] = inputs[y][: len(inputs[row])]
    answer, error = outcome(lambda: call.run(**inputs))
    if error is None:
        check_range(call, answer)


@pytest.mark.parametrize("name", sorted(n for n, c in CALLS.items() if "y" in c.labels))
def test_one_class_alone(name: str) -> None:
    """Accuracies are defined for it, by their definition; a fit to labels is not."""
    inputs = sound(CALLS[name], 24, 0) | {"y": torch.zeros(24, dtype=torch.int64)}
    answer, error = outcome(lambda: CALLS[name].run(**inputs))
    if name in ("accuracy", "balanced_accuracy"):
        assert error is None and answer == pytest.approx((inputs["z"].argmax(1) == 0).double().mean().item())
    else:
        assert error is not None, answer


DEGENERATE = (
    "constant",
    "zeros",
    "rows all alike",
    "one row",
    "two rows",
    "one constant column",
    "huge",
    "tiny",
    "half",
)


@pytest.mark.parametrize("way", [*DEGENERATE, *BROKEN])
def test_an_embedding_never_takes_the_kernel_with_it(way: str) -> None:
    z = (STRANGE | BROKEN)[way](torch.randn(30, 6, generator=torch.Generator().manual_seed(0)))  # type: ignore[operator]
    n = len(z) if isinstance(z, Tensor | list) else 30
    _, error = outcome(lambda: plots.plot_embedding(z, torch.arange(n) % 2, ["a", "b"]))
    plt.close("all")
    if way in BROKEN or way in ("constant", "zeros", "rows all alike", "one row"):
        assert error is not None
