"""EmojiStyles' first edition, as it was when results were measured on it: this file goes when the edition does."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from xferkit.data import list_domains, load_domain
from xferkit.data.emoji import FIRST, SECOND, SPLITS, emoji_index, load_emoji_style

STYLES = ("noto", "twemoji", "openmoji", "fluent", "fluent_flat")
LICENCES = {
    "Apache-2.0": "Apache License",
    "CC-BY-4.0": "Creative Commons Attribution 4.0 International",
    "CC-BY-SA-4.0": "Creative Commons Attribution-ShareAlike 4.0 International",
    "MIT": "MIT License",
}
FILES = {
    "noto.webp": (1_659_678, "ee168e4a75e5fbd1802f7c6a800f75e1dab3d95705d6ea80694d9c246e73bf0f"),
    "twemoji.webp": (930_160, "90b2cb7939d5007e00ef80863881e7e77433778754d0b876ae7503d56123febf"),
    "openmoji.webp": (703_294, "8ef1b01e47b8483f29bfc82726eacc51a79fb70756648abffde11f771b6d2400"),
    "fluent.webp": (3_533_040, "877a97ab5643f823ffce101868ded2f96697036ce216a54c90fbd972083b383d"),
    "fluent_flat.webp": (676_184, "c79d3c8e835a2d055a09c8f8876aa5af7ec8d698cb7255eeae44a640e03c21ae"),
    "index.json": (58_096, "f99904793c9ad6d35ac169dddd5b5b441eb6fd521318871b6d30147a38fbb837"),
    "LICENSE-emoji-datasource.txt": (1_217, "9a191bc537246f5e731720fb67b29c3698befc8a2e87234367f0f1f59d47b26d"),
    "LICENSE-fluent.txt": (1_434, "d08b86faba5bef9cc54f931b7877741885359243e6cc877d0d426d07d401ca8d"),
    "LICENSE-noto.txt": (11_720, "42faf0fdf8d23b1e7b12b04253ef859baac36140cbd7e67adaae9f13dfd4ad20"),
    "LICENSE-openmoji.txt": (18_895, "f780e5060fa61c6ff7eba70f617417161ee2441771388785c75624a268f2cacc"),
    "LICENSE-twemoji.txt": (17_438, "f061288f52ada34a9a9372ecf1b1c6bd0daccc8b9fc66900d3d2c0fc070ec4f8"),
}


@pytest.fixture(scope="module")
def index() -> dict[str, Any]:
    return emoji_index(FIRST)


def test_every_file_is_the_one_that_results_were_measured_on() -> None:
    found = {p.name: p.read_bytes() for p in FIRST.folder.iterdir() if p.name != "README.md"}
    assert {n: (len(data), hashlib.sha256(data).hexdigest()) for n, data in found.items()} == FILES
    assert sum(p.stat().st_size for p in FIRST.folder.iterdir()) <= 8_000_000


def test_five_styles_load_as_domains_with_one_split() -> None:
    assert FIRST.styles == STYLES
    assert [n for n in list_domains() if n.startswith("emoji1_")] == [f"emoji1_{s}" for s in STYLES]
    first, *others = domains = [load_domain(f"emoji1_{s}", image_size=16) for s in STYLES]
    assert [d.name for d in domains] == [f"emoji1_{s}" for s in STYLES]
    assert [len(part) for part in (first.train, first.val, first.test)] == [318, 55, 161]
    assert len(first.classes) == 20 and sorted(first.test.y.unique().tolist()) == list(range(20))
    for domain in others:
        assert domain.classes == first.classes
        for one, other in ((first.train, domain.train), (first.val, domain.val), (first.test, domain.test)):
            assert torch.equal(one.y, other.y) and one.names == other.names and not torch.equal(one.x, other.x)
            assert one.groups is not None and other.groups is not None and torch.equal(one.groups, other.groups)
    assert load_domain("emoji_noto", image_size=16).classes != first.classes


@pytest.mark.parametrize("style", STYLES)
def test_style_is_whole_neither_blank_nor_twice_there(style: str) -> None:
    x, y, names, groups, splits, classes = load_emoji_style(style, edition=FIRST)
    assert x.dtype == torch.uint8 and x.shape == (534, 3, 128, 128)
    assert len(x) == len(y) == len(names) == len(groups)
    assert sorted(y.unique().tolist()) == list(range(len(classes)))
    assert torch.cat([splits[s] for s in SPLITS]).sort().values.tolist() == list(range(len(x)))
    ink = (x.amin(dim=1) < 230).float().mean(dim=(1, 2))  # share of pixels that are clearly not white
    assert ink.min() > 0.01 and x.float().std(dim=(1, 2, 3)).min() > 5, "a picture is (nearly) blank"
    corners = x[:, :, [0, 0, -1, -1], [0, -1, 0, -1]].amin(dim=1)
    assert (corners >= 250).float().mean() > 0.9, "the background is not white"
    assert len({p.numpy().tobytes() for p in x}) == len(x), "two emoji have the same pixels"


def test_same_row_is_the_same_emoji_in_every_style() -> None:
    """The median rank of the partner among all pictures of another style, against the rank of its neighbour."""
    grey = {s: load_emoji_style(s, 16, edition=FIRST)[0].float().mean(dim=1).flatten(1) for s in STYLES}
    grey = {s: torch.nn.functional.normalize(g - g.mean(dim=0), dim=1) for s, g in grey.items()}
    for style in STYLES[1:]:
        alike = grey[STYLES[0]] @ grey[style].T
        rank = (alike > alike.diag()[:, None]).float().sum(dim=1).median()
        shifted = alike.roll(1, dims=1)
        chance = (shifted > shifted.diag()[:, None]).float().sum(dim=1).median()
        assert rank < chance / 2, f"{style}: row i is not the emoji of row i in {STYLES[0]}"


def test_no_group_is_in_two_splits(index: dict[str, Any]) -> None:
    splits = defaultdict(set)
    for e in index["emoji"]:
        splits[e["group"]].add(e["split"])
    assert {g: s for g, s in splits.items() if len(s) > 1} == {}


def test_every_class_is_in_every_split(index: dict[str, Any]) -> None:
    """About 60/10/30 in all; in each class within two emoji of it."""
    counts = Counter((e["class"], e["split"]) for e in index["emoji"])
    sizes = Counter(e["class"] for e in index["emoji"])
    assert min(sizes.values()) >= 12
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


def test_licences_are_the_ones_named(index: dict[str, Any]) -> None:
    assert list(index["styles"]) == list(STYLES)
    readme = (FIRST.folder / "README.md").read_text(encoding="utf-8")
    for style in index["styles"].values():
        text = (FIRST.folder / style["licence_file"]).read_text(encoding="utf-8")
        assert LICENCES[style["licence"]] in text and style["url"] in text and style["file"] in text
        row = next(line for line in readme.splitlines() if f"`{style['file']}`" in line)
        assert style["licence_file"] in row
        assert style["licence"].replace("CC-BY-SA-", "CC BY-SA ").replace("CC-BY-", "CC BY ") in row
    assert "MIT License" in (FIRST.folder / "LICENSE-emoji-datasource.txt").read_text(encoding="utf-8")


def test_index_is_readable_line_by_line(index: dict[str, Any]) -> None:
    lines = (FIRST.folder / "index.json").read_text(encoding="utf-8").splitlines()
    assert sum('"codepoints"' in line for line in lines) == len(index["emoji"])
    for key in ("codepoints", "name"):
        assert len({e[key] for e in index["emoji"]}) == len(index["emoji"])
    assert json.loads("\n".join(lines)) == index


def test_a_missing_file_and_a_style_of_the_second_edition_are_named(tmp_path: Path) -> None:
    """The first edition's own folder and styles, not the second's."""
    with pytest.raises(ValueError, match=r"'ink'.*noto, twemoji, openmoji, fluent, fluent_flat\."):
        load_emoji_style("ink", edition=FIRST)
    with pytest.raises(ValueError, match="'emoji1_ink'"):
        load_domain("emoji1_ink")
    folder = tmp_path / FIRST.folder.name
    shutil.copytree(FIRST.folder, folder)
    (folder / "noto.webp").unlink()
    again = r"noto\.webp is missing.*ee168e4a.*git checkout -- xferkit/assets/emoji_styles_first`"
    with pytest.raises(FileNotFoundError, match=again):
        load_emoji_style("noto", edition=replace(FIRST, folder=folder))
    with pytest.raises(OSError, match=r"index\.json is damaged"):
        load_emoji_style("noto", edition=replace(SECOND, folder=folder))
