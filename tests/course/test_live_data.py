"""What the figures to try are drawn from: computed, not typed, and today's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import xferkit as xk
from scripts import build_live, run_chapters
from tests.places import BOOK, RESULTS, ROOT

LAYERS = json.loads((BOOK / "live/layers.json").read_text(encoding="utf-8"))
RETRIEVAL = json.loads((BOOK / "live/retrieval.json").read_text(encoding="utf-8"))


def test_receptive_field_by_hand() -> None:
    convs = [nn.Conv2d(1, 1, 3, stride=2), nn.Sequential(nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 5)), nn.ReLU()]
    def field(*layers: nn.Module) -> int:
        return xk.models.anatomy(nn.Sequential(*layers), (1, 32, 32))[-1].receptive_field

    assert field(*convs) == 3 + 4 * 2
    assert field(*convs, nn.Conv2d(1, 1, 2)) - field(*convs) == 2, "pixels between two places"
    assert field(nn.Conv2d(1, 1, 3, dilation=2)) == 5
    assert field(nn.Conv2d(1, 1, 3, dilation=2), nn.Conv2d(1, 1, 2)) - 5 == 1


def test_the_tour_is_that_of_today_s_network() -> None:
    net = xk.backbone().requires_grad_(False)
    assert LAYERS["parts"] == build_live.tour(net)
    assert sum(part["parameters"] for part in LAYERS["parts"]) == sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("part", ["stem", "stage2", "stage3"])
def test_the_receptive_field_is_what_a_gradient_reaches(part: str) -> None:
    """With positive weights no path cancels another: the input pixels with a gradient are those that are seen."""
    net = xk.backbone().features.eval()
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.ReLU6):
                setattr(module, name, nn.Identity())  # linear: no unit is dead
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 0.5)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
            module.reset_running_stats()
    names = [name for name, _ in net.named_children()]
    stages = net[: names.index(part) + 1].double()
    x = torch.zeros(1, 3, 200, 200, dtype=torch.double, requires_grad=True)
    out = stages(x)
    middle = out.shape[-1] // 2
    out[0, :, middle, middle].sum().backward()
    assert x.grad is not None
    rows = np.flatnonzero(x.grad.abs().sum((0, 1, 3)).numpy())
    (said,) = (p for p in LAYERS["parts"] if p["name"] == part)
    assert rows[-1] - rows[0] + 1 == said["field"]


def test_hits_point_into_the_gallery_and_the_share_is_the_chapter_s() -> None:
    shapes = np.array(RETRIEVAL["hits"]).shape
    assert shapes == (14, len(RETRIEVAL["styles"]), len(RETRIEVAL["layers"]), build_live.NEAREST)
    assert sorted(np.unique(RETRIEVAL["hits"])) == list(range(len(RETRIEVAL["gallery"])))
    at = list(RETRIEVAL["styles"]).index("twemoji"), RETRIEVAL["layers"].index("stage6")
    cells = run_chapters.read(ROOT / "chapters/03_frozen_features.ipynb").cells
    text = "".join(str(output.get("text", "")) for cell in cells for output in cell.get("outputs", []))
    printed = re.search(r"of the five nearest (\d+)% have the query's class", text)
    assert printed is not None and abs(RETRIEVAL["shares"][at[0]][at[1]] - int(printed[1])) <= 0.6


def test_pictures_are_small() -> None:
    sheets = sorted((BOOK / "_static/live").glob("*.webp"))
    assert [sheet.stem for sheet in sheets] == ["gallery", "layers", "queries"]
    assert sum(sheet.stat().st_size for sheet in sheets) <= 300_000


def test_no_test_picture_is_shown() -> None:
    index = json.loads((Path(xk.__file__).parent / "assets/emoji_styles/index.json").read_text(encoding="utf-8"))
    held_out = {emoji["name"] for emoji in index["emoji"] if emoji["split"] == "test"}
    assert not held_out & {emoji["name"] for emoji in [*RETRIEVAL["queries"], *RETRIEVAL["gallery"]]}


def test_the_moons_errors_are_those_of_the_stored_weights() -> None:
    record = json.loads((RESULTS / "moons_tour.json").read_text(encoding="utf-8"))
    points = {r["job"]["seed"]: r["result"] for r in record["runs"] if "source" in r["result"]}
    for run in record["runs"][:5]:
        noted, state = points[run["job"]["seed"]], run["result"]["tour"]["averaged"]
        hidden, label = (np.array(state[key].split(), float) for key in ("hidden", "label"))
        weights = hidden.reshape(-1, 3)
        for side, key in (("source", "source_error"), ("target", "target_error")):
            x = np.array(noted[side].split(), float).reshape(-1, 2)
            z = 1 / (1 + np.exp(-(x @ weights[:, :2].T + weights[:, 2])))
            wrong = (z @ label[:-1] + label[-1] > 0) != (np.arange(len(x)) >= len(x) / 2)
            assert 100 * wrong.mean() == pytest.approx(state[key], abs=0.35)
