"""Figures: what is drawn is what was measured, axes are named, colours can be told apart."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from xferkit.data import Split
from xferkit.plots import (
    PALETTE,
    colour_of,
    diagrams,
    plot_band,
    plot_curves,
    plot_embedding,
    plot_intervals,
    plot_spread,
    plot_transfer,
    show_images,
    smooth,
    use_style,
)
from xferkit.plots.style import STYLE, colours_for
from xferkit.report import Interval


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def test_the_palette_is_okabe_and_itos_on_white_paper() -> None:
    okabe_ito = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}
    assert set(PALETTE) < okabe_ito and len(set(PALETTE)) == 7
    with plt.rc_context({"figure.facecolor": "black"}):
        ax = plot_curves({"a": [[1, 2]]}, [1, 2], xlabel="", ylabel="")
    assert to_hex(ax.figure.get_facecolor()) == "#ffffff"


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_matplotlib_is_loaded_by_the_plots_alone() -> None:
    assert run("import sys, xferkit as xk; xk.report; print('matplotlib' in sys.modules)") == "False"


def test_importing_and_drawing_leave_the_readers_settings_alone() -> None:
    code = """
import matplotlib, torch
matplotlib.use("agg")
before = dict(matplotlib.rcParams)
import xferkit as xk
xk.plots.plot_curves({"a": [[1, 2], [2, 3]]}, [1, 2], xlabel="", ylabel="")
xk.plots.show_images(torch.zeros(2, 3, 4, 4, dtype=torch.uint8))
print({k for k, v in matplotlib.rcParams.items() if v != before[k]})
xk.plots.use_style()
print(matplotlib.rcParams["font.size"], matplotlib.rcParams["legend.frameon"])
"""
    assert run(code).splitlines() == ["set()", "10.5 False"]


def test_setup_gives_the_look_to_a_pyplot_that_comes_later() -> None:
    code = "import xferkit as xk; xk.setup(); import matplotlib.pyplot as plt; print(plt.rcParams['font.size'])"
    assert run(code).splitlines()[-1] == "10.5"


def test_the_style_is_set_when_it_is_asked_for() -> None:
    with plt.rc_context():
        use_style()
        assert all(matplotlib.rcParams[key] == value for key, value in STYLE.items())


def test_a_method_keeps_its_colour_whatever_stands_beside_it() -> None:
    first = plot_curves({"LP-FT": [[1, 2]], "whole network": [[2, 3]]}, [1, 2], xlabel="", ylabel="")
    second = plot_curves({"mine": [[1, 2]], "LP-FT": [[1, 2]]}, [1, 2], xlabel="", ylabel="")
    assert first.lines[0].get_color() == second.lines[1].get_color() == colour_of("LP-FT")
    assert second.lines[0].get_color() != colour_of("LP-FT")
    bars = plot_transfer({"DANN": [0.5], "source only": [0.4]}).patches
    assert [to_hex(bar.get_facecolor()[:3]).upper() for bar in bars] == [colour_of("DANN"), colour_of("source only")]


def test_unknown_methods_take_the_colours_that_are_left_and_have_none_of_the_books() -> None:
    colours = colours_for(["DANN", *"abcdef"])
    assert len(set(colours.values())) == 7 and set(colours.values()) == set(PALETTE)
    with pytest.raises(ValueError, match="'mine' no colour"):
        colour_of("mine")


def test_a_variant_has_its_methods_colour() -> None:
    assert colour_of("LP-FT, BN held") == colour_of("LP-FT") and colour_of("plain, depth 56") == colour_of("plain")
    assert colour_of("frozen, linear probe") == colour_of("head only") != colour_of("untrained, linear probe")


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
        (lambda: diagrams.box(plt.subplots()[1], 0, 0, 0, 1, ""), "no area"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()


def test_a_diagram_is_made_of_boxes_and_arrows_with_their_texts() -> None:
    _, ax = plt.subplots()
    diagrams.box(ax, 1, 2, 4, 2, "encoder", face="#ffffff")
    diagrams.arrow(ax, (0, 0), (2, 4), text="gradient", offset=(1, 0), dashed=True)
    assert [(t.get_text(), t.get_position()) for t in ax.texts] == [("encoder", (3, 3)), ("gradient", (2, 2))]
    assert len(ax.patches) == 2 and ax.patches[1].get_linestyle() == "--"


def test_a_curve_of_another_length_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'short' has 2 points, x has 3"):
        plot_curves({"short": [[1, 2]]}, [1, 2, 3], xlabel="", ylabel="")


def test_an_embedding_draws_every_point_under_its_name() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(30) % 3
    z = torch.randn(30, 4, generator=generator) + 30 * torch.nn.functional.one_hot(labels, 4)
    ax = plot_embedding(z, labels, ["x", "y", "z"], title="before")
    assert [len(c.get_offsets()) for c in ax.collections] == [10, 10, 10]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["x", "y", "z"] and ax.get_title() == "before"
    # Clusters far apart in the features are far apart in the picture.
    points = [np.asarray(c.get_offsets()) for c in ax.collections]
    spread = max(np.linalg.norm(p - p.mean(0), axis=1).max() for p in points)
    gaps = [np.linalg.norm(points[i].mean(0) - points[j].mean(0)) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert min(gaps) > spread


def scattered(n: int, d: int = 8) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "z",
    [
        torch.zeros(40, 8),
        torch.full((40, 8), 0.1) + 1e-9 * scattered(40),  # nothing but rounding
        torch.cat([scattered(1).expand(39, 8), torch.ones(1, 8)]),
        scattered(4),
        scattered(2).repeat(20, 1),
        torch.full((40, 8), float("nan")),
        torch.cat([scattered(39), torch.full((1, 8), float("inf"))]),
        torch.full((40, 8), 1e308, dtype=torch.float64),
        torch.zeros(0, 8),
        torch.zeros(40, 0),
    ],
    ids=["constant", "rounding", "one outlier", "four points", "two points", "nan", "inf", "overflow", "empty", "no D"],
)
def test_features_without_neighbourhoods_are_refused_and_kill_nothing(z: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="features"):
        plot_embedding(z, torch.zeros(len(z), dtype=torch.int64), ["a"])


@pytest.mark.parametrize(
    "z",
    [
        1e-30 * scattered(40),
        1e30 * scattered(40),
        100 + 1e-3 * scattered(40),
        scattered(40, d=1),
        scattered(40)[:, :1].expand(40, 8),
        scattered(5),
        torch.cat([scattered(1).expand(300, 8), scattered(6)]),
        scattered(40).half(),
        scattered(40).double().requires_grad_(),
    ],
    ids=["tiny", "huge", "far off", "one column", "one rank", "five", "mostly one", "half", "double with gradient"],
)
def test_unusual_features_are_drawn(z: torch.Tensor) -> None:
    ax = plot_embedding(z, torch.zeros(len(z), dtype=torch.int64), ["a"])
    points = np.asarray(ax.collections[0].get_offsets())
    assert np.isfinite(points).all() and len(np.unique(points, axis=0)) >= 5


def test_every_label_needs_a_name_and_every_point_a_label() -> None:
    with pytest.raises(ValueError, match="label 2 has no name"):
        plot_embedding(scattered(30), torch.arange(30) % 3, ["a", "b"])
    with pytest.raises(ValueError, match="30 rows, but 29 labels"):
        plot_embedding(scattered(30), torch.zeros(29, dtype=torch.int64), ["a"])


def test_more_than_seven_labels_keep_different_looks() -> None:
    labels = torch.arange(40) % 10
    ax = plot_embedding(torch.randn(40, 3), labels, [str(i) for i in range(10)])
    looks = {(to_hex(c.get_facecolor()[0][:3]), c.get_paths()[0].vertices.tobytes()) for c in ax.collections}
    assert len(looks) == 10


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


def test_pictures_come_out_as_they_are() -> None:
    x = torch.randint(256, (5, 3, 6, 6), dtype=torch.uint8)
    figure = show_images(Split(x, torch.zeros(5, dtype=torch.int64)), list("abcde"), columns=3, edges=[PALETTE[2]] * 5)
    drawn = [ax.images[0].get_array() for ax in figure.axes if ax.images]
    assert len(figure.axes) == 6 and len(drawn) == 5
    for picture, array in zip(x, drawn, strict=True):
        np.testing.assert_array_equal(array, picture.permute(1, 2, 0).numpy())
    assert [ax.texts[0].get_text() for ax in figure.axes[:5]] == list("abcde")
    assert {to_hex(ax.patches[0].get_edgecolor()) for ax in figure.axes[:5]} == {PALETTE[2].lower()}
    assert not any(ax.axison for ax in figure.axes)


def test_pictures_must_be_as_they_were_stored() -> None:
    with pytest.raises(TypeError, match="uint8"):
        show_images(torch.rand(2, 3, 4, 4))
    with pytest.raises(ValueError, match="no picture"):
        show_images(torch.zeros(0, 3, 4, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match="shape"):
        show_images(torch.zeros(3, 4, 4, dtype=torch.uint8))


@pytest.mark.parametrize("given", [{"titles": ["a"]}, {"edges": ["red"] * 3}, {"titles": []}])
def test_titles_and_edges_are_one_a_picture(given: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match="pictures and"):
        show_images(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [{"columns": 0}, {"size": 0.0}, {"size": float("nan")}])
def test_a_grid_needs_columns_and_a_size(given: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="columns|size"):
        show_images(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), **given)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------- intervals, what moves


def test_intervals_stand_beside_one_another_at_their_names() -> None:
    rows = {"LP-FT": [Interval(10, 5, 20), Interval(-10, -30, 0)], "head only": [Interval(20, 10, 30)] * 2}
    ax = plot_intervals(rows, ["near", "far"], ylabel="points")
    first, second = (container.lines[0] for container in ax.containers)
    assert np.allclose(first.get_ydata(), [10, -10]) and np.allclose(second.get_ydata(), [20, 20])
    assert first.get_xdata()[0] < 0 < second.get_xdata()[0]
    (segments,) = ax.containers[0].lines[2]
    assert np.allclose([s[:, 1] for s in segments.get_segments()], [[5, 20], [-30, 0]])
    assert to_hex(first.get_color()) == to_hex(colour_of("LP-FT"))
    assert [t.get_text() for t in ax.get_xticklabels()] == ["near", "far"]
    with pytest.raises(ValueError, match="2 intervals for 1 names"):
        plot_intervals(rows, ["near"], ylabel="points")
    with pytest.raises(ValueError, match="no interval"):
        plot_intervals({}, ["near"], ylabel="points")


def test_what_moves_hatches_what_is_frozen_and_colours_what_is_fresh() -> None:
    _, ax = plt.subplots()
    rows = {"probe": [(0, False), (1, True)], "all": [(0.1, False, "2"), (1, False)]}
    diagrams.what_moves(ax, ["stem", "head"], rows)
    frozen, fresh, slow, full = ax.patches
    assert frozen.get_hatch() == "///" and not fresh.get_hatch()
    assert to_hex(fresh.get_facecolor()) == to_hex(PALETTE[1]) and to_hex(slow.get_facecolor()) == to_hex(PALETTE[0])
    assert slow.get_alpha() is None and slow.get_facecolor()[3] < full.get_facecolor()[3]
    assert [t.get_text() for t in ax.texts if t.get_text()] == ["2"]
    with pytest.raises(ValueError, match="1 boxes for 2 parts"):
        diagrams.what_moves(ax, ["stem", "head"], {"probe": [(0, False)]})
    with pytest.raises(ValueError, match="not in"):
        diagrams.what_moves(ax, ["stem"], {"probe": [(2, False)]})
