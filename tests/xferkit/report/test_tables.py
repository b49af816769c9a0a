"""Tables: they read as they were written."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import xferkit as xk
from xferkit.report import markdown_table, table


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
