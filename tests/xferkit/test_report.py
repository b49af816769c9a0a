"""What is reported: tables read as written, intervals cover what they promise, accuracies count what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import xferkit as xk
from xferkit.report import (
    Interval,
    accuracy,
    balanced_accuracy,
    gap_closed,
    interval,
    markdown_table,
    mean_sd,
    paired_bootstrap,
    percent,
    table,
)

NBSP = "\u00a0"

# -------------------------------------------------------------------------------------------------------------- tables


def test_a_table_is_markdown_with_aligned_columns_and_formatted_numbers() -> None:
    text = markdown_table(
        [["DANN", 0.4567, 12345, "61.2 ± 1.0", "none"], ["source only", -3.0, 7, "50.5", None]],
        ["method", "gap", "steps", "accuracy", "norm"],
        digits=2,
        caption="Over seeds:",
        note="A note.",
    )
    assert text == (
        "Over seeds:\n\n"
        "| method      |   gap |  steps |   accuracy | norm |\n"
        "| ----------- | ----: | -----: | ---------: | ---- |\n"
        "| DANN        |  0.46 | 12,345 | 61.2 ± 1.0 | none |\n"
        "| source only | −3.00 |      7 |       50.5 | –    |\n\n"
        "A note."
    )


def test_numbers_of_the_libraries_are_numbers_and_nan_is_not_hidden() -> None:
    rows = [[np.float32(0.25), torch.tensor(3), np.int64(4000), float("nan"), True]]
    assert markdown_table(rows, list("abcde")).splitlines()[-1].split() == ("| 0.2 | 3 | 4,000 | NaN | True |".split())


def test_a_bar_or_a_line_break_does_not_end_a_cell() -> None:
    assert markdown_table([["a|b", "c\nd", r"e\|f"]], ["x", "y", "z"]).splitlines()[-1] == (r"| a\|b | c<br>d | e\|f |")


def test_rows_must_fit_the_header() -> None:
    with pytest.raises(ValueError, match="row 2 has 1 cells, the header 2"):
        table([[1, 2], [3]], ["a", "b"])
    with pytest.raises(ValueError, match="at least one row"):
        table([], ["a", "b"])
    with pytest.raises(TypeError, match="not one text"):
        table(["ab"], ["a", "b"])
    with pytest.raises(TypeError, match=r"array of shape \(2,\)"):
        table([[1, np.zeros(2)]], ["a", "b"])


def test_a_table_is_shown_once_and_its_markdown_returned(capsys: pytest.CaptureFixture[str]) -> None:
    shown = xk.table([["a", 1]], ["x", "y"])
    assert capsys.readouterr().out == f"{shown}\n" and shown == markdown_table([["a", 1]], ["x", "y"])
    shown._ipython_display_()
    assert capsys.readouterr().out == ""


def test_in_a_notebook_a_table_is_markdown_and_plain_text() -> None:
    shell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell
    from IPython.utils.capture import capture_output

    shell.instance()
    try:
        with capture_output() as captured:
            shown = table([["a", 1]], ["x", "y"])
    finally:
        shell.clear_instance()
    (output,) = captured.outputs
    assert output.data == {"text/plain": str(shown), "text/markdown": str(shown)} and captured.stdout == ""


# ----------------------------------------------------------------------------------------------------------- mean ± sd


def test_mean_and_sample_deviation_stand_on_one_line() -> None:
    assert mean_sd([1.0, 2.0, 3.0]) == f"2.0{NBSP}±{NBSP}1.0"
    assert percent(torch.tensor([0.5, 0.6]), digits=2) == f"55.00{NBSP}±{NBSP}7.07"
    assert mean_sd([0.5, 0.6], percent=True) == percent([0.5, 0.6])
    assert mean_sd([-1.0, -3.0], digits=0) == f"−2{NBSP}±{NBSP}1"


def test_one_value_has_no_deviation() -> None:
    assert percent([0.5]) == "50.0"


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [1.0, float("inf")], [[1.0, 2.0]], 3.0])
def test_no_mean_is_made_of_what_is_not_a_row_of_numbers(values: object) -> None:
    with pytest.raises(ValueError, match="values"):
        mean_sd(values)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="values"):
        percent(values)  # type: ignore[arg-type]


# ----------------------------------------------------------------------------------------------------------- intervals


def test_an_interval_formats_itself() -> None:
    gap = Interval(1.23, -0.26, 2.5)
    assert f"{gap:+.1f}" == "+1.2 [−0.3, +2.5]" and str(gap) == "1.2 [−0.3, 2.5]" and gap.ends(".0f") == "[−0, 2]"
    assert Interval(0.25, -0.5, 1).percent == Interval(25, -50, 100)


def test_the_interval_of_many_independent_items_is_that_of_the_normal_law() -> None:
    right = np.r_[np.ones(300), np.zeros(100)]
    found = interval(right)
    half = 1.96 * (0.75 * 0.25 / 400) ** 0.5
    assert found.mean == 0.75
    assert found.low == pytest.approx(0.75 - half, abs=0.003) and found.high == pytest.approx(0.75 + half, abs=0.003)
    assert interval(right, level=0.5).low > found.low


def test_items_that_belong_together_are_drawn_together() -> None:
    right = np.repeat(np.r_[np.ones(30), np.zeros(20)], 8)  # 50 groups of eight copies: fifty facts, not four hundred
    by_group = interval(right, groups=np.repeat(np.arange(50), 8))
    alone = interval(right)
    ratio = (by_group.high - by_group.low) / (alone.high - alone.low)
    assert ratio == pytest.approx(8**0.5, rel=0.05)
    # The groups' numbers are names: neither their order nor gaps between them matter.
    assert interval(right, groups=torch.arange(50).repeat_interleave(8) * 7 + 3) == by_group


def test_seeds_and_items_are_resampled_where_both_are_random() -> None:
    rng = np.random.default_rng(0)
    by_seed, by_item = rng.normal(0, 1.0, (8, 1)), rng.normal(0, 1.0, (1, 200))
    values = by_seed + by_item
    width = {r: (i := interval(values, resample=r)).high - i.low for r in ("all", "seeds", "items")}
    assert width["seeds"] == pytest.approx(2 * 1.96 * by_seed.std() / 8**0.5, rel=0.1)
    assert width["items"] == pytest.approx(2 * 1.96 * by_item.std() / 200**0.5, rel=0.1)
    assert width["all"] == pytest.approx((width["seeds"] ** 2 + width["items"] ** 2) ** 0.5, rel=0.1)


def test_many_items_are_resampled_in_parts_with_the_same_result() -> None:
    values = np.random.default_rng(1).random(9000)
    found = interval(values, draws=500)
    rng = np.random.default_rng(0)
    picks = rng.multinomial(9000, np.full(9000, 1 / 9000), size=500)
    np.testing.assert_allclose((found.low, found.high), np.quantile(picks @ values / 9000, [0.025, 0.975]))


def test_a_paired_difference_loses_what_both_have_in_common() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random((1, 300))  # some pictures are hard for everybody
    a, b = ((rng.random((5, 300)) * 0.2 + hard < t).astype(float) for t in (0.65, 0.60))
    paired = paired_bootstrap(a, b)
    apart = interval(a).high - interval(a).low
    assert paired.mean == pytest.approx(a.mean() - b.mean())
    assert paired.high - paired.low < apart and paired == interval(a - b)


def test_the_bootstrap_can_be_repeated_and_another_seed_is_another_draw() -> None:
    right = np.random.default_rng(0).random((3, 50)) < 0.7
    assert interval(right) == interval(right) != interval(right, seed=1)


@pytest.mark.parametrize(
    ("values", "settings", "message"),
    [
        ([[1.0, 0.0, 1.0]], {}, "1 of seeds"),  # one seed says nothing of how seeds vary
        ([1.0], {}, "1 of items"),
        ([1.0, 0.0], {"groups": [3, 3]}, "1 of items or groups"),
        ([1.0, 0.0], {"groups": [1, 2, 3]}, "2 and 3 rows"),
        ([1.0, 0.0], {"groups": [[1, 2]]}, r"shape \(items,\)"),
        ([1.0, float("nan")], {}, "NaN"),
        ([[1.0, 2.0], [1.0]], {}, "as many as the others"),
        ([1.0, 0.0], {"resample": "seeds"}, "seeds × items"),
        ([1.0, 0.0], {"resample": "both"}, "choose"),
        ([1.0, 0.0], {"level": 95}, "between 0 and 1"),
        ([1.0, 0.0], {"draws": 10}, "at least 100"),
    ],
)
def test_what_cannot_be_resampled_is_refused(values: object, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        interval(values, **settings)  # type: ignore[arg-type]


def test_one_seed_still_has_items() -> None:
    assert interval([[1.0, 0.0, 1.0, 1.0]], resample="items").mean == 0.75


def test_pairs_need_the_same_shape() -> None:
    with pytest.raises(ValueError, match="pairs need the same seeds and items"):
        paired_bootstrap(np.ones((5, 1)), np.ones((5, 30)))


# ------------------------------------------------------------------------------------------------------------ accuracy


def test_accuracy_of_scores_and_of_classes() -> None:
    scores = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0], [0.0, 5.0, 1.0], [1.0, 0.0, 0.0]])
    y = torch.tensor([0, 2, 2, 1])
    assert accuracy(scores, y) == accuracy(scores.argmax(1), y) == 0.5


def test_in_balanced_accuracy_a_rare_class_weighs_as_much_as_a_common_one() -> None:
    y = torch.tensor([0] * 8 + [1] * 2)
    always_zero = torch.zeros_like(y)
    assert accuracy(always_zero, y) == 0.8 and balanced_accuracy(always_zero, y) == 0.5
    # Labels with gaps; class 9 is predicted and occurs nowhere: it is left out, the miss counts for class 7.
    assert balanced_accuracy(torch.tensor([3, 3, 9, 7]), torch.tensor([3, 3, 7, 7])) == 0.75


def test_balanced_accuracy_is_scikit_learns() -> None:
    from sklearn.metrics import balanced_accuracy_score

    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 4, (50,), generator=generator) ** 2
    predicted = torch.randint(0, 4, (50,), generator=generator) ** 2
    predicted[0] = y[0]
    expected = balanced_accuracy_score(y.numpy(), predicted.numpy(), sample_weight=None)
    assert balanced_accuracy(predicted, y) == pytest.approx(expected)


@pytest.mark.parametrize("measure", [accuracy, balanced_accuracy])
@pytest.mark.parametrize(
    ("predicted", "y", "message"),
    [
        (torch.tensor([[0.0, float("nan")], [1.0, 0.0]]), torch.tensor([0, 1]), "NaN"),
        (torch.zeros(2, 1), torch.tensor([0, 0]), "nothing to choose"),
        (torch.zeros(2, 3), torch.tensor([0, 3]), "label 3 has no score"),
        (torch.tensor([0, 1, 1]), torch.tensor([0, 1]), "3 and 2 rows"),
        (torch.zeros(2, dtype=torch.int64), torch.tensor([[0], [1]]), r"shape \(N,\)"),
        (torch.tensor([0, 1]), torch.tensor([0, -100]), "-100"),
        (torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), "no item"),
    ],
)
def test_no_accuracy_is_made_of_what_has_none(measure, predicted, y, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        measure(predicted, y)


def test_labels_are_whole_numbers() -> None:
    with pytest.raises(TypeError, match="integers"):
        accuracy(torch.tensor([0, 1]), torch.tensor([0.0, 1.0]))


# ---------------------------------------------------------------------------------------------------------- gap closed


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_no_share_is_made_of_nan(bad: float, place: int) -> None:
    figures = [0.5, 0.6, 0.9]
    figures[place] = bad
    with pytest.raises(ValueError):
        gap_closed(*figures)
