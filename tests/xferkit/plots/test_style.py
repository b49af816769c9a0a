"""The look: one palette, a method keeps its colour, and the reader's own settings are left alone."""

from __future__ import annotations

import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_hex

from xferkit.plots import PALETTE, colour_of, plot_curves, plot_transfer, use_style
from xferkit.plots.style import STYLE, colours_for, styled


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


def test_setup_gives_the_look_to_a_pyplot_that_comes_later() -> None:
    code = "import xferkit as xk; xk.setup(); import matplotlib.pyplot as plt; print(plt.rcParams['font.size'])"
    assert run(code).splitlines()[-1] == "10.5"


def test_figures_go_on_showing_by_themselves() -> None:
    """A notebook's first figure switches this on, from inside of the drawing function."""

    @styled
    def first_figure() -> None:
        plt.ion()

    try:
        assert not plt.isinteractive()
        first_figure()
        assert plt.isinteractive()
    finally:
        plt.ioff()
