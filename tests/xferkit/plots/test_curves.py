"""Curves, bands, spread and bars: what is drawn is what was measured, and axes are named."""

from __future__ import annotations

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pytest

from xferkit.plots import PALETTE, plot_band, plot_curves, plot_spread, plot_transfer, smooth


def test_where_two_methods_share_a_colour_the_line_tells_them_apart() -> None:
    curves = {"LP-FT": [[1, 2]], "LP-FT, BN held": [[2, 3]]}
    ax = plot_curves(curves, [1, 2], xlabel="", ylabel="")
    assert ax.lines[0].get_color() == ax.lines[1].get_color()
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()


def test_smoothing_is_a_running_mean_with_as_many_points() -> None:
    np.testing.assert_allclose(smooth([2, 4, 6, 8], span=2), [2, 3, 5, 7])
    np.testing.assert_allclose(smooth([2, 4, 6], span=10), [2, 3, 4])
    # A large value leaves no rounding error behind when it has left the window.
    assert smooth([1e17, 0.1, 0.1], span=1).tolist() == [1e17, 0.1, 0.1]


@pytest.mark.parametrize(
    ("values", "span", "error"),
    [
        ([1.0, 2.0], 0, ValueError),
        ([1.0, 2.0], -3, ValueError),
        ([1.0, 2.0], 2.5, TypeError),
        ([1.0, float("nan"), 2.0], 2, ValueError),
        ([[1.0, 2.0]], 2, ValueError),
        ([], 2, ValueError),
    ],
)
def test_what_cannot_be_smoothed_is_refused(values: list[float], span: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        smooth(values, span)


def test_curves_show_the_mean_and_the_whole_spread() -> None:
    ax = plot_curves(
        {"a": [[1, 2, 3], [3, 4, 9], [2, 3, 6]], "b": [[5, 5, 5]]}, [1, 10, 100], xlabel="steps", ylabel="loss (nats)"
    )
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [2, 3, 6])
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [5, 5, 5])
    (band,) = ax.collections  # one seed has no spread, so no band
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.min() == 1 and heights.max() == 9
    legend = [t.get_text() for t in ax.get_legend().get_texts()]
    assert legend == ["a", "b", "shaded: range of 3 seeds"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("steps", "loss (nats)")
    assert ax.lines[0].get_color() != ax.lines[1].get_color() and ax.lines[0].get_marker() != ax.lines[1].get_marker()


def test_curves_can_stand_on_a_logarithmic_axis_in_given_axes() -> None:
    _, mine = plt.subplots()
    ax = plot_curves({"a": [[1, 2]]}, [1, 100], xlabel="labels", ylabel="%", log_x=True, ax=mine)
    assert ax is mine and ax.get_xscale() == "log"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "100"]


def test_bands_say_what_they_are_and_are_that() -> None:
    rows = np.random.default_rng(0).normal(size=(6, 3))
    mean, sd = rows.mean(0), rows.std(0, ddof=1)
    for band, half in (("deviation", sd), ("interval", 2.5706 * sd / 6**0.5)):  # t(0.975) with five degrees of freedom
        ax = plot_curves({"a": rows}, [0, 1, 2], xlabel="", ylabel="", band=band, of="folds")  # type: ignore[arg-type]
        heights = ax.collections[0].get_paths()[0].vertices[:, 1]
        assert heights.min() == pytest.approx((mean - half).min(), abs=1e-3)
        assert heights.max() == pytest.approx((mean + half).max(), abs=1e-3)
        said = ax.get_legend().get_texts()[-1].get_text()
        assert "6 folds" in said and {"deviation": "± deviation", "interval": "95 % interval"}[band] in said
    bare = plot_curves({"a": rows}, [0, 1, 2], xlabel="", ylabel="", band=None)
    assert not bare.collections and len(bare.get_legend().get_texts()) == 1


def test_one_seed_has_no_band_and_the_legend_promises_none() -> None:
    ax = plot_curves({"a": [[1, 2]], "b": [[2, 3]]}, [1, 2], xlabel="", ylabel="")
    assert not ax.collections and [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b"]


def test_a_band_of_ones_own_is_named_once_and_moves_no_limit() -> None:
    _, ax = plt.subplots()
    rows = [[50, 51], [52, 53]]
    for name, colour in zip("ab", PALETTE, strict=False):
        ax.plot([7, 8], [51, 52], label=name)
        assert plot_band(ax, [7, 8], rows, colour=colour) == "shaded: range of 2 seeds"
    assert ax.get_legend_handles_labels()[1] == ["a", "b", "shaded: range of 2 seeds"] and len(ax.collections) == 2
    assert plot_band(ax, [7, 8], [*rows, [50, 50]], colour="black") == "shaded: range of 2 to 3 seeds"
    plot_band(ax, [7, 8], rows, colour="black", of="folds")
    assert ax.get_legend_handles_labels()[1][2:] == ["shaded: range of 2 to 3 seeds", "shaded: range of 2 folds"]
    assert ax.get_xlim()[0] > 6 and ax.get_ylim()[0] > 49
    with pytest.raises(ValueError, match="at least two"):
        plot_band(ax, [7, 8], [[1, 2]], colour="black")


def test_curves_may_stand_over_names() -> None:
    ax = plot_curves({"a": [[1, 2]]}, ["stem", "pool"], xlabel="layer", ylabel="%")
    assert [t.get_text() for t in ax.get_xticklabels()] == ["stem", "pool"]


def test_spread_shows_each_seed_and_the_mean() -> None:
    _, ax = plt.subplots()
    plot_spread(ax, 3, [1, 2, 6], colour=PALETTE[0], label="a")
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [1, 2, 6])
    np.testing.assert_allclose(ax.lines[1].get_xdata(), [3, 3])
    plot_spread(ax, 3, [1, 2, 6], colour=PALETTE[0], vertical=True)
    np.testing.assert_allclose(ax.lines[2].get_ydata(), [1, 2, 6])
    np.testing.assert_allclose(ax.lines[3].get_ydata(), [3, 3])


CURVE = {"xlabel": "", "ylabel": ""}


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plot_curves({}, [1, 2], **CURVE), "no curve"),
        (lambda: plot_curves({"bad": [[1, float("nan")]]}, [1, 2], **CURVE), "'bad' holds NaN or infinity in 1 of 2"),
        (lambda: plot_curves({"bad": [[1, 2], [1]]}, [1, 2], **CURVE), "as many points for every seed"),
        (lambda: plot_curves({"bad": np.zeros((2, 2, 2))}, [1, 2], **CURVE), r"shape \(seeds, points\)"),
        (lambda: plot_curves({"bad": []}, [], **CURVE), "not be empty"),
        (lambda: plot_curves({"a": [[1, 2]]}, [1, float("nan")], **CURVE), "x holds NaN"),
        (lambda: plot_curves({"a": [[1, 2]]}, [0, 1], log_x=True, **CURVE), "log_x needs positive"),
        (lambda: plot_curves({"a": [[1, 2]]}, ["stem", "pool"], log_x=True, **CURVE), "log_x needs positive"),
        (lambda: plot_curves({"a": [[0, 2]]}, [1, 2], log_y=True, **CURVE), "log_y needs positive"),
        (lambda: plot_curves({"a": [[1, 2], [2, 3]]}, [1, 2], band="wide", **CURVE), "band='wide'"),
        (lambda: plot_transfer({}), "no method"),
        (lambda: plot_transfer({"a": []}), "not be empty"),
        (lambda: plot_transfer({"a": [0.5, float("nan")]}), "'a' holds NaN"),
        (lambda: plot_transfer({"a": [63.5]}), r"accuracies in \[0, 1\]"),
        (lambda: plot_transfer({"a": [[0.5, 0.6]]}), r"shape \(n,\)"),
        (lambda: plot_transfer({"a": [0.5]}, lower="source"), "'source' is not among the methods"),
        (lambda: plot_spread(plt.subplots()[1], 0, [], colour="k"), "not be empty"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()


def test_a_curve_of_another_length_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'short' has 2 points, x has 3"):
        plot_curves({"short": [[1, 2]]}, [1, 2, 3], xlabel="", ylabel="")


def test_transfer_shows_each_seed_the_mean_and_the_bounds() -> None:
    scores = {"source only": [0.5, 0.6], "DANN": [0.7, 0.8, 0.9], "target only": [0.95]}
    ax = plot_transfer(scores, lower="source only", upper="target only")
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [55, 80, 95])
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(dots[1].get_xdata(), [70, 80, 90])
    assert [t.get_text() for t in ax.texts] == ["55.0 ± 7.1", "80.0 ± 10.0", "95.0"]
    dashed = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"]
    np.testing.assert_allclose(dashed, [55, 95])
    assert [t.get_text() for t in ax.get_yticklabels()] == list(scores) and "%" in ax.get_xlabel()
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first method stands on top
    assert ax.get_xlim()[0] == 0
