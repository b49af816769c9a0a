"""EmojiStyles: the data is whole, the splits hold, and the data card tells the truth about both."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from xferkit.data import emoji as emoji_file
from xferkit.data.emoji import SPLITS, STYLES, emoji_index, load_emoji_style

ROOT = Path(__file__).resolve().parents[3]
CARD = ROOT / "book" / "data" / "emoji_styles.md"
LICENCE_TEXTS = {
    "Apache-2.0": "Apache License",
    "CC-BY-4.0": "Creative Commons Attribution 4.0 International",
    "CC-BY-SA-4.0": "Creative Commons Attribution-ShareAlike 4.0 International",
    "MIT": "MIT License",
}


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """The build script as a module."""
    spec = importlib.util.spec_from_file_location("build_emoji_styles", ROOT / "scripts" / "build_emoji_styles.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def index() -> dict[str, Any]:
    return emoji_index()


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the data that a test may spoil, in the place that the loader reads."""
    folder = tmp_path / "emoji_styles"
    shutil.copytree(emoji_file.FOLDER, folder)
    monkeypatch.setattr(emoji_file, "FOLDER", folder)
    yield folder


def card_table(name: str) -> list[list[str]]:
    """The rows of a table of the card, without its header and without marks such as backticks."""
    text = CARD.read_text(encoding="utf-8")
    match = re.search(rf"^% table {name}:.*?\n(.*?)^% end of table {name}$", text, re.M | re.S)
    assert match, f"the card has no table {name}"
    lines = [line.strip().strip("|") for line in match[1].splitlines() if "|" in line]
    return [[cell.strip(" `*") for cell in line.split("|")] for line in lines[2:]]


# ------------------------------------------------------------------------------------------------------------ pictures


@pytest.mark.parametrize("style", STYLES)
def test_style_is_whole(style: str) -> None:
    x, y, names, groups, splits, classes = load_emoji_style(style)
    assert x.dtype == torch.uint8 and x.shape[1:] == (3, 128, 128)
    assert len(x) == len(y) == len(names) == len(groups) >= 500
    assert sorted(y.unique().tolist()) == list(range(len(classes)))
    assert torch.cat([splits[s] for s in SPLITS]).sort().values.tolist() == list(range(len(x)))


@pytest.mark.parametrize("style", STYLES)
def test_pictures_are_not_blank_and_not_twice_there(style: str) -> None:
    x = load_emoji_style(style)[0]
    ink = (x.amin(dim=1) < 230).float().mean(dim=(1, 2))  # share of pixels that are clearly not white
    deviation = x.float().std(dim=(1, 2, 3))
    assert ink.min() > 0.01 and deviation.min() > 5, "a picture is (nearly) blank"
    corners = x[:, :, [0, 0, -1, -1], [0, -1, 0, -1]].amin(dim=1)
    assert (corners >= 250).float().mean() > 0.9, "the background is not white"
    assert len({p.numpy().tobytes() for p in x}) == len(x), "two emoji have the same pixels"


def test_styles_share_everything_but_the_pictures() -> None:
    first = load_emoji_style(STYLES[0])
    for style in STYLES[1:]:
        other = load_emoji_style(style)
        assert torch.equal(first[1], other[1]) and first[2] == other[2] and torch.equal(first[3], other[3])
        assert all(torch.equal(first[4][s], other[4][s]) for s in SPLITS)
        assert not torch.equal(first[0], other[0])


def test_same_row_is_the_same_emoji_in_every_style() -> None:
    """Drawings of one emoji are more alike across styles than drawings of two; in a sheet shifted by one they are not.

    Measured as the median rank of the partner among all pictures of the other style, against the rank of its neighbour.
    """
    grey = {s: load_emoji_style(s, 16)[0].float().mean(dim=1).flatten(1) for s in STYLES}
    grey = {s: torch.nn.functional.normalize(g - g.mean(dim=0), dim=1) for s, g in grey.items()}
    for style in STYLES[1:]:
        alike = grey[STYLES[0]] @ grey[style].T
        rank = (alike > alike.diag()[:, None]).float().sum(dim=1).median()
        shifted = alike.roll(1, dims=1)
        chance = (shifted > shifted.diag()[:, None]).float().sum(dim=1).median()
        assert rank < chance / 2, f"{style}: row i is not the emoji of row i in {STYLES[0]}"


def test_smaller_sizes_are_averages_not_samples() -> None:
    full, small = load_emoji_style("noto")[0], load_emoji_style("noto", 32)[0]
    assert small.shape[2:] == (32, 32)
    means = torch.nn.functional.avg_pool2d(full.float(), 4)
    picked = full[:, :, ::4, ::4].float()
    assert (small - means).abs().mean() < 0.5 * (picked - means).abs().mean()


def test_set_is_at_most_8_mb() -> None:
    assert sum(p.stat().st_size for p in emoji_file.FOLDER.iterdir()) <= 8_000_000


# -------------------------------------------------------------------------------------------------------------- errors


def test_unknown_style_and_size_are_named() -> None:
    with pytest.raises(ValueError, match=r"'emojione'.*noto, twemoji, openmoji"):
        load_emoji_style("emojione")
    for size in (0, 129):
        with pytest.raises(ValueError, match=f"image_size={size}.*128"):
            load_emoji_style("noto", size)


def test_missing_sheet_is_named(copy: Path) -> None:
    (copy / "noto.webp").unlink()
    with pytest.raises(FileNotFoundError, match=r"noto\.webp is missing.*SHA-256 [0-9a-f]{64}.*git checkout"):
        load_emoji_style("noto")
    load_emoji_style("twemoji", 16)


def test_damaged_sheet_is_named(copy: Path) -> None:
    data = bytearray((copy / "fluent.webp").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "fluent.webp").write_bytes(bytes(data))
    with pytest.raises(OSError, match=r"fluent\.webp is damaged.*expected [0-9a-f]{64}.*git checkout"):
        load_emoji_style("fluent")


def test_changed_index_is_named(copy: Path) -> None:
    text = (copy / "index.json").read_text(encoding="utf-8")
    (copy / "index.json").write_text(text.replace('"split": "test"', '"split": "train"', 1), encoding="utf-8")
    with pytest.raises(OSError, match=r"index\.json is damaged.*git checkout"):
        load_emoji_style("noto")


def test_what_a_reader_changes_is_his_own() -> None:
    x, y, _, groups, splits, _ = load_emoji_style("openmoji", 16)
    kept = [x.clone(), y.clone(), groups.clone(), *(splits[s].clone() for s in SPLITS)]
    for t in (x, y, groups, *splits.values()):
        t.zero_()
    splits.clear()
    x, y, _, groups, splits, _ = load_emoji_style("openmoji", 16)
    assert all(map(torch.equal, [x, y, groups, *(splits[s] for s in SPLITS)], kept))
    emoji_index()["emoji"].clear()
    assert emoji_index()["emoji"]


# -------------------------------------------------------------------------------------------------- groups and splits


def test_no_group_is_in_two_splits(index: dict[str, Any]) -> None:
    splits = defaultdict(set)
    for e in index["emoji"]:
        splits[e["group"]].add(e["split"])
    assert {g: s for g, s in splits.items() if len(s) > 1} == {}


def test_every_class_is_in_every_split(index: dict[str, Any]) -> None:
    """About 60/10/30 in all; in each class within two emoji of it."""
    counts = Counter((e["class"], e["split"]) for e in index["emoji"])
    sizes = Counter(e["class"] for e in index["emoji"])
    for c in index["classes"]:
        for split, share in zip(SPLITS, (0.6, 0.1, 0.3), strict=True):
            assert counts[c["name"], split] >= 1
            assert abs(counts[c["name"], split] - share * sizes[c["name"]]) <= 2, (c["name"], split)


def test_known_twins_share_a_group(index: dict[str, Any]) -> None:
    group = {e["name"]: e["group"] for e in index["emoji"]}
    for twins in (
        ("dog", "dog face", "guide dog"),
        ("cat", "cat face", "black cat"),
        ("red apple", "green apple"),
        ("new moon", "full moon", "crescent moon", "last quarter moon face"),
        ("mushroom", "brown mushroom"),  # of two classes
        ("house", "houses"),
        ("taxi", "oncoming taxi", "police car"),
        ("ox", "water buffalo"),
        ("shamrock", "four leaf clover"),
    ):
        assert len({group[t] for t in twins}) == 1, twins
    assert len({group[n] for n in ("dog", "cat", "owl", "banana", "hammer", "new moon", "taxi", "bicycle")}) == 8


def test_groups_and_splits_follow_from_the_rule_in_the_script(build: ModuleType, index: dict[str, Any]) -> None:
    """The stored pictures and names alone give the stored groups and splits again."""
    pictures = [load_emoji_style(s)[0].permute(0, 2, 3, 1).numpy() for s in STYLES]
    groups = build.find_groups(index["emoji"], np.stack([build.similarity(p) for p in pictures]))
    assert groups == [e["group"] for e in index["emoji"]]
    assert build.choose_splits([e["class"] for e in index["emoji"]], groups) == [e["split"] for e in index["emoji"]]


def test_twins_by_name(build: ModuleType) -> None:
    emoji = [
        {"name": "dog face", "class": "mammal"},
        {"name": "guide dog", "class": "mammal"},
        {"name": "hot dog", "class": "prepared food"},
        {"name": "red panda", "class": "mammal"},
        {"name": "red fox", "class": "mammal"},
        {"name": "books", "class": "office"},
        {"name": "open book", "class": "office"},
    ]
    assert build.find_groups(emoji, np.zeros((5, 7, 7))) == [0, 0, 1, 2, 3, 4, 4]


def test_twins_by_picture_whatever_the_colour(build: ModuleType) -> None:
    """A disc in red and one in green are alike; a disc and a cross are not."""
    yy, xx = np.mgrid[:128, :128] - 63.5
    shapes = {"disc": yy**2 + xx**2 < 50**2, "bar": abs(yy) < 12, "cross": (abs(yy) < 12) | (abs(xx) < 12)}
    painted = {}
    for shape, mask in shapes.items():
        for colour, rgb in {"red": (220, 30, 30), "green": (20, 130, 60)}.items():
            painted[shape, colour] = np.where(mask[..., None], np.array(rgb), 255).astype(np.uint8)
    alike = build.similarity(np.stack(list(painted.values())))
    assert alike[0, 1] > 0.9 and alike[4, 5] > 0.9  # same shape, other colour
    assert alike[0, 2] < 0.5 and alike[0, 4] < 0.5  # other shape, same colour
    names = [{"name": f"{colour} {shape}", "class": shape} for shape, colour in painted]
    names = [e | {"name": f"thing{i}"} for i, e in enumerate(names)]
    assert build.find_groups(names, alike[None]) == [0, 0, 1, 1, 2, 2]


# ------------------------------------------------------------------------------------------------------------ the card


def test_card_names_sources_versions_and_licences(index: dict[str, Any]) -> None:
    expected = [[s["title"], s["package"], s["version"], s["author"], s["licence"]] for s in index["styles"].values()]
    assert card_table("styles") == expected
    assert list(index["styles"]) == list(STYLES)
    subgroups = index["subgroups_from"]
    assert f"`{subgroups['package']}` {subgroups['version']}" in CARD.read_text(encoding="utf-8")


def test_licence_texts_are_there_and_are_the_ones_named(index: dict[str, Any]) -> None:
    for style in index["styles"].values():
        text = (emoji_file.FOLDER / style["licence_file"]).read_text(encoding="utf-8")
        assert LICENCE_TEXTS[style["licence"]] in text and style["url"] in text and style["file"] in text
    assert "MIT License" in (emoji_file.FOLDER / "LICENSE-emoji-datasource.txt").read_text(encoding="utf-8")
    readme = (emoji_file.FOLDER / "README.md").read_text(encoding="utf-8")
    for style in index["styles"].values():
        row = next(line for line in readme.splitlines() if f"`{style['file']}`" in line)
        assert style["licence_file"] in row
        assert style["licence"].replace("CC-BY-SA-", "CC BY-SA ").replace("CC-BY-", "CC BY ") in row


def test_pinned_sources_are_those_of_the_script(build: ModuleType, index: dict[str, Any]) -> None:
    for style, source in build.SOURCES.items():
        stored = index["styles"][style]
        assert (stored["package"], stored["version"], stored["icons_sha256"], stored["licence"]) == (
            source.package,
            source.version,
            source.sha256,
            source.spdx,
        )


def test_card_counts_classes_groups_and_splits(index: dict[str, Any]) -> None:
    expected = []
    for c in [*index["classes"], None]:
        emoji = [e for e in index["emoji"] if c is None or e["class"] == c["name"]]
        name, subgroup = ("all", "") if c is None else (c["name"], c["subgroup"])
        counts = Counter(e["split"] for e in emoji)
        row = [name, subgroup, len(emoji), len({e["group"] for e in emoji}), *(counts[s] for s in SPLITS)]
        expected.append([str(cell) for cell in row])
    assert card_table("classes") == expected


def test_card_gives_the_files_checksums() -> None:
    sheets = [f"{s}.webp" for s in STYLES]
    rows = card_table("files")
    assert [r[0] for r in rows] == [*sheets, "index.json"]
    for name, size, sha256 in rows:
        data = (emoji_file.FOLDER / name).read_bytes()
        assert (f"{len(data):,}", hashlib.sha256(data).hexdigest()) == (size, sha256)


def test_card_states_the_rule_that_the_script_applies(build: ModuleType, index: dict[str, Any]) -> None:
    text = " ".join(CARD.read_text(encoding="utf-8").split())
    assert f"must reach {build.TWIN_ON_AVERAGE}, or one style alone {build.TWIN_IN_ONE_STYLE}" in text
    number_words = {4: "Four", 5: "Five", 6: "Six", 7: "Seven"}
    assert f"{number_words[len(build.TWINS_BY_EYE)]} pairs that neither rule sees" in text
    smallest = min(Counter(e["class"] for e in index["emoji"] if e["split"] == "test").values())
    assert f"smallest test splits have {({3: 'three', 4: 'four', 5: 'five'})[smallest]} pictures" in text
    fewest = min(Counter(e["class"] for e in index["emoji"]).values())
    assert fewest >= 12 and "at least twelve emoji" in text
    tests = sum(e["split"] == "test" for e in index["emoji"])
    assert tests < 200 and "less than two pictures" in text


def test_twin_examples_of_the_card_are_in_one_group(index: dict[str, Any]) -> None:
    """Each series of italic names joined by commas and "and" in the rules is one group."""
    group = {e["name"]: e["group"] for e in index["emoji"]}
    text = " ".join(CARD.read_text(encoding="utf-8").split())
    rules = text[text.index("1. **By name.**") : text.index("The rules lean")]
    found = re.findall(r"\*([a-z ]+)\*(?:, \*([a-z ]+)\*)? and \*([a-z ]+)\*", rules)
    assert len(found) >= 6
    for series in found:
        members = [name for name in series if name in group]
        if members:  # *red*, *small* are words, not emoji
            assert len(members) == len([n for n in series if n]) and len({group[m] for m in members}) == 1, series


def test_figure_is_there_and_light() -> None:
    path = ROOT / "book" / "images" / "emoji_styles.png"
    assert path.stat().st_size <= 300_000
    with Image.open(path) as figure:
        assert figure.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        assert figure.width >= 1000


def test_index_is_readable_line_by_line(index: dict[str, Any]) -> None:
    """One emoji a line, so that a change shows in a diff; code points are unique and no name is used twice."""
    lines = (emoji_file.FOLDER / "index.json").read_text(encoding="utf-8").splitlines()
    assert sum('"codepoints"' in line for line in lines) == len(index["emoji"])
    for key in ("codepoints", "name"):
        assert len({e[key] for e in index["emoji"]}) == len(index["emoji"])
    assert json.loads("\n".join(lines)) == index
