"""Figures: what is drawn is what was measured, axes are named, colours can be told apart."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from xferkit.data import Split
from xferkit.plots import PALETTE, plot_curves, plot_embedding, plot_transfer, show_images, smooth


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def test_the_palette_is_okabe_and_itos_on_white_paper() -> None:
    okabe_ito = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}
    assert set(PALETTE) < okabe_ito and len(set(PALETTE)) == 7
    assert to_hex(plt.figure().get_facecolor()) == "#ffffff"


def test_smoothing_is_a_running_mean_with_as_many_points() -> None:
    np.testing.assert_allclose(smooth([2, 4, 6, 8], span=2), [2, 3, 5, 7])
    np.testing.assert_allclose(smooth([2, 4, 6], span=10), [2, 3, 4])


def test_curves_show_the_mean_and_the_whole_spread() -> None:
    ax = plot_curves(
        {"a": [[1, 2, 3], [3, 4, 9], [2, 3, 6]], "b": [[5, 5, 5]]}, [1, 10, 100], xlabel="steps", ylabel="loss (nats)"
    )
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [2, 3, 6])
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [5, 5, 5])
    (band,) = ax.collections  # one seed has no spread, so no band
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.min() == 1 and heights.max() == 9
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("steps", "loss (nats)")
    assert ax.lines[0].get_color() != ax.lines[1].get_color() and ax.lines[0].get_marker() != ax.lines[1].get_marker()


def test_curves_can_stand_on_a_logarithmic_axis_in_given_axes() -> None:
    _, mine = plt.subplots()
    ax = plot_curves({"a": [[1, 2]]}, [1, 100], xlabel="labels", ylabel="%", log_x=True, ax=mine)
    assert ax is mine and ax.get_xscale() == "log"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "100"]


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
