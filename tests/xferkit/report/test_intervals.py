"""Means, intervals and shares: intervals cover what they promise, and nothing is made of NaN."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xferkit.report import Interval, gap_closed, interval, mean_sd, paired_bootstrap, percent

NBSP = "\u00a0"

# ------------------------------------------------------------------------------------------------------------ mean ± sd


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


# ------------------------------------------------------------------------------------------------------------ intervals


def test_an_interval_formats_itself() -> None:
    gap = Interval(1.23, -0.26, 2.5)
    assert f"{gap:+.1f}" == "+1.2 [−0.3, +2.5]" and str(gap) == "1.2 [−0.3, 2.5]" and gap.ends(".0f") == "[−0, 2]"
    assert Interval(0.25, -0.5, 1).percent == Interval(25, -50, 100)
    assert -Interval(0.25, -0.5, 1, 0.9) == Interval(-0.25, -1, 0.5, 0.9)


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


# ----------------------------------------------------------------------------------------------------------- gap closed


def test_gap_closed_is_the_share_of_the_gap() -> None:
    assert gap_closed(0.5, 0.5, 0.9) == 0 and gap_closed(0.5, 0.9, 0.9) == 1
    assert gap_closed(0.5, 0.4, 0.9) == pytest.approx(-0.25)
    # Ganin et al. 2016, Table 2, MNIST → MNIST-M: their own accuracies give 55.8 %.
    assert gap_closed(52.25, 76.66, 95.96) == pytest.approx(0.558, abs=5e-4)
    for target_only in (0.5, 0.4):
        with pytest.raises(ValueError, match="no gap"):
            gap_closed(0.5, 0.6, target_only)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_no_share_is_made_of_nan(bad: float, place: int) -> None:
    figures = [0.5, 0.6, 0.9]
    figures[place] = bad
    with pytest.raises(ValueError):
        gap_closed(*figures)
