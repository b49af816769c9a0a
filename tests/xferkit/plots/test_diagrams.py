"""Boxes and arrows, and which part of a network moves."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_hex

from xferkit.plots import PALETTE, diagrams


def test_a_diagram_is_made_of_boxes_and_arrows_with_their_texts() -> None:
    _, ax = plt.subplots()
    diagrams.box(ax, 1, 2, 4, 2, "encoder", face="#ffffff")
    diagrams.arrow(ax, (0, 0), (2, 4), text="gradient", offset=(1, 0), dashed=True)
    assert [(t.get_text(), t.get_position()) for t in ax.texts] == [("encoder", (3, 3)), ("gradient", (2, 2))]
    assert len(ax.patches) == 2 and ax.patches[1].get_linestyle() == "--"


def test_a_box_has_an_area() -> None:
    with pytest.raises(ValueError, match="no area"):
        diagrams.box(plt.subplots()[1], 0, 0, 0, 1, "")


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
