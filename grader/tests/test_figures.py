"""Figures that students hand in: shown, or said why not; and nothing in them but a figure."""

from __future__ import annotations

import base64
import io
import json
from typing import Any
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hostile.cases import ASSIGNMENT, BOMB

from xfergrade.assignment import load_assignment
from xfergrade.grade import _answers
from xfergrade.notebook import read_notebook
from xfergrade.pictures import MAX_FIGURES, PNG, SVG, Figure, figures_in


def of(*bundles: dict[str, Any], **cell: Any) -> tuple[tuple[Figure, ...], list[str]]:
    notes: list[str] = []
    return figures_in({"outputs": [{"data": b} for b in bundles], **cell}, notes, "figure"), notes


def drawn(form: str, **options: Any) -> bytes:
    figure, ax = plt.subplots(figsize=(9, 8))
    ax.imshow(np.random.default_rng(0).random((300, 300)), interpolation="nearest")
    ax.plot([0, 250], [0, 250], label="a line", marker="o")
    ax.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, **options)
    plt.close(figure)
    return buffer.getvalue()


def test_a_large_figure_at_300_dpi_is_shown() -> None:
    data = base64.b64encode(drawn("png", dpi=300)).decode()
    assert len(data) > 400_000
    (figure,), notes = of({"image/png": data})
    assert figure == Figure(PNG, data) and notes == []


def test_a_drawing_of_matplotlibs_is_shown_with_all_its_shapes() -> None:
    source = drawn("svg").decode()
    (figure,), notes = of({"image/svg+xml": source.splitlines(keepends=True)})
    assert figure.media == SVG and notes == []
    before, after = ElementTree.fromstring(source), ElementTree.fromstring(base64.b64decode(figure.data))

    def count(root: ElementTree.Element) -> dict[str, int]:
        names = [e.tag.rpartition("}")[2] for e in root.iter()]
        return {name: names.count(name) for name in ("path", "use", "image", "g", "clipPath")}

    assert count(after) == count(before) and count(after)["image"] == 1 and count(after)["use"] > 5


HOSTILE = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" onload="alert(1)">
<script>alert(2)</script><foreignObject><p>x</p></foreignObject><style>@import url(https://x.example/a.css);</style>
<a xlink:href="javascript:alert(3)"><path id="a" d="M0 0"/></a><image xlink:href="https://x.example/p.png"/>
<image href="data:image/png;base64,BOMB"/><g id="g"><use xlink:href="#a"/><use href="#a"/></g><use href="#g"/>
<path id="p" d="M1 1" style="fill: url(https://x.example)" onclick="alert(4)" fill="red"/><use xlink:href="#p"/>
<animate attributeName="d"/><set/><iframe src="https://x.example"/><rect fill="url(#grad)"/></svg>"""


def test_nothing_but_shapes_is_left_of_a_drawing() -> None:
    (figure,), _ = of({"image/svg+xml": HOSTILE.replace("BOMB", base64.b64encode(BOMB).decode())})
    made = base64.b64decode(figure.data).decode()
    for word in ("alert", "script", "foreign", "x.example", "onload", "onclick", "animate", "<set", "iframe", "BOMB"):
        assert word not in made, word
    assert 'href="#g"' not in made, "groups that use groups double with every level"
    assert 'd="M1 1"' in made and 'fill="red"' in made and '#p"' in made and "url(#grad)" in made
    assert "image" not in made.replace("image/", "")


@pytest.mark.parametrize(
    ("bundle", "says"),
    [
        ({"image/png": base64.b64encode(BOMB).decode()}, "20,000 × 20,000 pixels"),
        ({"image/png": "A" * 12_000_000}, "and 6,000,000 are read"),
        ({"image/png": "no base64!"}, "damaged"),
        ({"image/png": base64.b64encode(b"GIF89a").decode()}, "no PNG"),
        ({"image/png": 7}, "no text"),
        ({"image/svg+xml": "<svg" + " " * 3_000_000}, "store it as PNG"),
        ({"image/svg+xml": "<!DOCTYPE svg [<!ENTITY a 'b'>]><svg>&a;</svg>"}, "entities"),
        ({"image/svg+xml": "<svg>"}, "not well-formed"),
        ({"image/svg+xml": "<html/>"}, "no SVG"),
        ({"image/jpeg": "x", "text/plain": "<Figure>"}, "stored as image/jpeg"),
        ({"application/vnd.plotly.v1+json": {}}, "stored as application/vnd.plotly"),
    ],
)
def test_what_is_not_shown_is_said(bundle: dict[str, Any], says: str) -> None:
    figures, notes = of(bundle)
    assert figures == () and len(notes) == 1 and says in notes[0] and "'figure' is not shown" in notes[0]


def test_text_is_no_figure_and_a_png_counts_where_both_are_there() -> None:
    assert of({"text/plain": "3"}, {"text/html": "<b>x</b>"}) == ((), [])
    data = base64.b64encode(drawn("png", dpi=20)).decode()
    figures, notes = of({"image/png": data, "image/svg+xml": "<svg>"})
    assert [f.media for f in figures] == [PNG] and notes == []
    assert len(of(attachments={"a.png": {"image/png": data}})[0]) == 1, "a figure pasted into an answer"


def test_figures_beyond_the_limit_are_said_and_reach_the_record() -> None:
    data = base64.b64encode(drawn("png", dpi=20)).decode()
    outputs = [{"data": {"image/png": data}}] * (MAX_FIGURES + 1)
    cell = {"cell_type": "code", "metadata": {"nbgrader": {"grade_id": "discussion"}}, "source": "", "outputs": outputs}
    notebook = read_notebook(json.dumps({"cells": [cell]}).encode())
    assert f"only {MAX_FIGURES} figures" in notebook.notes[0]
    assert len(_answers(load_assignment(ASSIGNMENT), notebook)[0].figures) == MAX_FIGURES
