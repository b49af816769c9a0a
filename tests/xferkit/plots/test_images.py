"""Grids of pictures: as they were stored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from xferkit.data import Split
from xferkit.plots import PALETTE, show_images


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
