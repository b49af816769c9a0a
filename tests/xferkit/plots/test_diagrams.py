"""Boxes and arrows."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest

from xferkit.plots import diagrams


def test_a_diagram_is_made_of_boxes_and_arrows_with_their_texts() -> None:
    _, ax = plt.subplots()
    diagrams.box(ax, 1, 2, 4, 2, "encoder", face="#ffffff")
    diagrams.arrow(ax, (0, 0), (2, 4), text="gradient", offset=(1, 0), dashed=True)
    assert [(t.get_text(), t.get_position()) for t in ax.texts] == [("encoder", (3, 3)), ("gradient", (2, 2))]
    assert len(ax.patches) == 2 and ax.patches[1].get_linestyle() == "--"


def test_a_box_has_an_area() -> None:
    with pytest.raises(ValueError, match="no area"):
        diagrams.box(plt.subplots()[1], 0, 0, 0, 1, "")
