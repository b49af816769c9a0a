"""Intervals side by side."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex

from xferkit.plots import colour_of, plot_intervals
from xferkit.report import Interval


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
