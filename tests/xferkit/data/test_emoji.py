"""EmojiStyles: the data is whole, the splits hold, and the data card tells the truth about both."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.places import BOOK, RESULTS, ROOT
from xferkit.data import load_domain
from xferkit.data.emoji import DESIGNERS, SECOND, SPLITS, STYLES, Edition, emoji_index, load_emoji_style

CARD = BOOK / "data" / "emoji_styles.md"
LICENCE_TEXTS = {
    "Apache-2.0": "Apache License",
    "CC-BY-4.0": "Creative Commons Attribution 4.0 International",
    "CC-BY-SA-4.0": "Creative Commons Attribution-ShareAlike 4.0 International",
    "MIT": "MIT License",
}


@pytest.fixture(scope="module")
def build() -> Iterator[SimpleNamespace]:
    """The build's modules by name: scripts/ is where they find each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        names = ("card", "ceiling", "classes", "sheets", "sources", "splits", "twins")
        yield SimpleNamespace(
            **{name: importlib.import_module(f"emoji_styles.{name}") for name in names},
            script=importlib.import_module("build_emoji_styles"),
            label=importlib.import_module("label_emoji_styles"),
        )


@pytest.fixture(scope="module")
def index() -> dict[str, Any]:
    return emoji_index()


@pytest.fixture
def copy(tmp_path: Path) -> Edition:
    """A copy of the data that a test may spoil."""
    folder = tmp_path / "emoji_styles"
    shutil.copytree(SECOND.folder, folder)
    return replace(SECOND, folder=folder)


def card_part(name: str) -> str:
    """What the scripts have put into the card under this name."""
    match = re.search(rf"^% {name}: generated\n(.*?)^% end of {name}$", CARD.read_text(encoding="utf-8"), re.M | re.S)
    assert match, f"the card has no {name}"
    return match[1].strip()


def card_table(name: str) -> list[list[str]]:
    """The rows of a table of the card, without its header and without marks such as backticks."""
    lines = [line.strip().strip("|") for line in card_part(f"table {name}").splitlines() if "|" in line]
    return [[cell.strip(" `*") for cell in line.split("|")] for line in lines[2:]]


# ------------------------------------------------------------------------------------------------------------ pictures


@pytest.mark.parametrize("style", STYLES)
def test_style_is_whole(style: str) -> None:
    x, y, names, groups, splits, classes = load_emoji_style(style)
    assert x.dtype == torch.uint8 and x.shape[1:] == (3, 128, 128)
    assert len(x) == len(y) == len(names) == len(groups) >= 650
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


def test_set_is_at_most_12_mb() -> None:
    assert sum(p.stat().st_size for p in SECOND.folder.iterdir()) <= 12_000_000


def test_six_styles_of_four_designers(index: dict[str, Any]) -> None:
    """Fluent, Fluent Flat and ink are one designer's, and every place that names designers says so."""
    assert STYLES == ("noto", "twemoji", "openmoji", "fluent", "fluent_flat", "ink")
    assert tuple(DESIGNERS) == STYLES and len(set(DESIGNERS.values())) == 4
    assert [s for s, d in DESIGNERS.items() if d == DESIGNERS["ink"]] == ["fluent", "fluent_flat", "ink"]
    assert {k: s["designer"] for k, s in index["styles"].items()} == DESIGNERS
    assert "Fluent, Fluent Flat and ink are one designer's" in CARD.read_text(encoding="utf-8")


def test_ink_has_no_colour() -> None:
    x = load_emoji_style("ink")[0]
    assert (x.amax(dim=1) - x.amin(dim=1)).max() == 0
    assert (x < 30).float().mean() > 0.1  # and a good part of it is black


def test_every_style_loads_as_a_domain() -> None:
    domains = [load_domain(f"emoji_{style}", image_size=16) for style in STYLES]
    for domain in domains:
        assert domain.classes == domains[0].classes and len(domain.classes) == 14
        assert [len(s) for s in (domain.train, domain.val, domain.test)] == [367, 63, 251]
        assert torch.equal(domain.test.y, domains[0].test.y)


# -------------------------------------------------------------------------------------------------------------- errors


def test_unknown_style_and_size_are_named() -> None:
    with pytest.raises(ValueError, match=r"'emojione'.*noto, twemoji, openmoji"):
        load_emoji_style("emojione")
    for size in (0, 129):
        with pytest.raises(ValueError, match=f"image_size={size}.*128"):
            load_emoji_style("noto", size)


def test_missing_sheet_is_named(copy: Edition) -> None:
    (copy.folder / "noto.webp").unlink()
    with pytest.raises(FileNotFoundError, match=r"noto\.webp is missing.*SHA-256 [0-9a-f]{64}.*git checkout"):
        load_emoji_style("noto", edition=copy)
    load_emoji_style("twemoji", 16, edition=copy)


def test_damaged_sheet_is_named(copy: Edition) -> None:
    data = bytearray((copy.folder / "fluent.webp").read_bytes())
    data[len(data) // 2] ^= 1
    (copy.folder / "fluent.webp").write_bytes(bytes(data))
    with pytest.raises(OSError, match=r"fluent\.webp is damaged.*expected [0-9a-f]{64}.*git checkout"):
        load_emoji_style("fluent", edition=copy)


def test_changed_index_is_named(copy: Edition) -> None:
    text = (copy.folder / "index.json").read_text(encoding="utf-8")
    (copy.folder / "index.json").write_text(text.replace('"split": "test"', '"split": "train"', 1), encoding="utf-8")
    with pytest.raises(OSError, match=r"index\.json is damaged.*git checkout"):
        load_emoji_style("noto", edition=copy)


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
    """About 54/9/37 in all; in each class within two emoji of it."""
    counts = Counter((e["class"], e["split"]) for e in index["emoji"])
    sizes = Counter(e["class"] for e in index["emoji"])
    for c in index["classes"]:
        val, test = round(0.09 * sizes[c["name"]]), round(0.37 * sizes[c["name"]])
        for split, wished in zip(SPLITS, (sizes[c["name"]] - val - test, val, test), strict=True):
            assert counts[c["name"], split] >= 1
            assert abs(counts[c["name"], split] - wished) <= 2, (c["name"], split)
    assert sum(counts[c["name"], "test"] for c in index["classes"]) >= 250
    assert min(counts[c["name"], "train"] for c in index["classes"]) >= 15
    assert max(counts[c["name"], "train"] for c in index["classes"]) <= 50


def test_no_group_is_larger_than_the_cap(build: SimpleNamespace, index: dict[str, Any]) -> None:
    assert max(Counter(e["group"] for e in index["emoji"]).values()) == build.twins.CAP == 5


def test_one_of_a_role_s_genders_is_there(index: dict[str, Any]) -> None:
    names = {e["name"] for e in index["emoji"]}
    for role in ("cook", "teacher", "astronaut", "ninja", "biking", "facepalming", "vampire", "in lotus position"):
        ways = {f"{who} {role}" for who in ("person", "man", "woman")} | {role}
        assert len(names & ways) == 1, role
    for ways in (
        ("santa claus", "mrs claus", "mx claus"),
        ("merman", "mermaid", "merperson"),
        ("prince", "princess", "person with crown"),
        ("leftwards hand", "rightwards hand"),
        ("person running", "man running", "woman running facing right", "man running facing right"),
    ):
        assert len(names & set(ways)) <= 1, ways
    genders = Counter(n.split()[0] for e in index["emoji"] if e["class"] == "person" and (n := e["name"]))
    assert min(genders["man"], genders["woman"]) > 15, "the lot preferred one gender"


def test_no_last_word_is_in_two_splits(build: SimpleNamespace, index: dict[str, Any]) -> None:
    """Within a class, two names that end in the same thing are in one split."""
    splits = defaultdict(set)
    for e in index["emoji"]:
        last = e["name"].split()[-1]
        if last not in build.twins.NOT_THE_THING:
            splits[e["class"], last].add(e["split"])
    assert {k: v for k, v in splits.items() if len(v) > 1} == {}
    assert len(splits) > 300


def test_what_was_looked_at_is_in_train(build: SimpleNamespace, index: dict[str, Any]) -> None:
    table = build.classes.read_classes()
    split = {e["name"]: e["split"] for e in index["emoji"]}
    assert len(table.looked_at) == 100
    assert {split[n] for n in table.looked_at if n in split} == {"train"}
    missing = [n for n in table.looked_at if n not in split]
    assert missing == ["bowl with spoon", "sunset"]  # moved out of their classes for what was seen
    assert {split[n] for n in build.sheets.FIGURE_EMOJI} == {"train"}


def test_emoji_are_those_of_the_table(build: SimpleNamespace, index: dict[str, Any]) -> None:
    table = build.classes.read_classes()
    assert [c["name"] for c in index["classes"]] == list(table.emoji)
    assert {c["name"]: c["look"] for c in index["classes"]} == table.look
    assert all(e["name"] in table.emoji[e["class"]] for e in index["emoji"])


@pytest.mark.parametrize(
    "line, error",
    [
        ('[class.b]\nlook = "b"\nemoji = "one, three"', "more than one class.*: one"),
        ('[left_out]\nwhy = "two"', "both in a class and left out: two"),
    ],
)
def test_table_of_classes_must_not_contradict_itself(
    build: SimpleNamespace, tmp_path: Path, line: str, error: str
) -> None:
    path = tmp_path / "classes.toml"
    head = 'variants = []\ntwins = []\nlooked_at = ""\n[class.a]\nlook = "a"\nemoji = "one, two"\n'
    path.write_text(f"{head}{line}\n" + ("" if "left_out" in line else "[left_out]\n"), encoding="utf-8")
    with pytest.raises(ValueError, match=error):
        build.classes.read_classes(path)
    path.write_text(head.replace("twins = []", 'twins = ["one, four"]') + "[left_out]\n", encoding="utf-8")
    with pytest.raises(ValueError, match="in no class: four"):
        build.classes.read_classes(path)


def test_known_twins_share_a_group(index: dict[str, Any]) -> None:
    group = {e["name"]: e["group"] for e in index["emoji"]}
    for twins in (
        ("dog", "dog face", "guide dog"),
        ("cat", "cat face", "black cat"),
        ("red apple", "green apple"),
        ("new moon", "full moon", "last quarter moon"),
        ("cloud with rain", "cloud with snow"),
        ("house", "houses"),
        ("taxi", "oncoming taxi", "police car"),
        ("ox", "water buffalo"),
        ("shamrock", "four leaf clover"),
        ("sun", "sun with face"),
        ("dollar banknote", "euro banknote"),
    ):
        assert len({group[t] for t in twins}) == 1, twins
    assert len({group[n] for n in ("dog", "cat", "owl", "banana", "hammer", "new moon", "taxi", "bicycle")}) == 8


def test_groups_and_splits_follow_from_the_rule_in_the_script(build: SimpleNamespace, index: dict[str, Any]) -> None:
    """The stored pictures, names and classes alone give the stored groups and splits again."""
    emoji, table = index["emoji"], build.classes.read_classes()
    classes = [e["class"] for e in emoji]
    pictures = [load_emoji_style(s)[0].permute(0, 2, 3, 1).numpy() for s in STYLES]
    alike = np.stack([build.twins.similarity(p, classes) for p in pictures])
    groups = build.twins.find_groups(emoji, alike, table.twins)
    assert groups == [e["group"] for e in emoji]
    looked_at = [e["group"] for e in emoji if e["name"] in table.looked_at]
    assert build.splits.choose_splits(classes, groups, looked_at) == [e["split"] for e in emoji]
    assert build.twins.drop_variants(emoji, table) == emoji
    assert build.twins.within_cap(emoji, groups) == list(range(len(emoji)))


def test_twins_by_name(build: SimpleNamespace) -> None:
    emoji = [
        {"name": "dog face", "class": "mammal"},
        {"name": "guide dog", "class": "mammal"},
        {"name": "hot dog", "class": "prepared food"},
        {"name": "red panda", "class": "mammal"},
        {"name": "red fox", "class": "mammal"},
        {"name": "books", "class": "office"},
        {"name": "open book", "class": "office"},
    ]
    assert build.twins.find_groups(emoji, np.zeros((6, 7, 7))) == [0, 0, 1, 2, 3, 4, 4]
    by_eye = [("red fox", "red panda", "hot dog")]
    assert build.twins.find_groups(emoji, np.zeros((6, 7, 7)), by_eye) == [0, 0, 1, 1, 1, 2, 2]


def test_a_group_is_capped_and_what_was_seen_is_kept(build: SimpleNamespace) -> None:
    emoji = [{"name": f"moon {i}", "class": "sky"} for i in range(12)] + [{"name": "comet", "class": "sky"}]
    groups = [0] * 12 + [1]
    kept = build.twins.within_cap(emoji, groups)
    assert len(kept) == build.twins.CAP + 1 and kept[-1] == 12 and kept == sorted(kept)
    lost = next(i for i in range(12) if i not in kept)
    assert lost in build.twins.within_cap(emoji, groups, [f"moon {lost}"])


def test_a_looked_at_group_goes_to_train(build: SimpleNamespace) -> None:
    classes, groups = ["a"] * 30 + ["b"] * 20, list(range(50))
    dealt = build.splits.choose_splits(classes, groups)
    in_test = [g for g, s in enumerate(dealt) if s == "test"][:4]
    again = build.splits.choose_splits(classes, groups, in_test)
    assert {again[g] for g in in_test} == {"train"} and Counter(again) == Counter(dealt)


def test_twins_by_picture_whatever_the_colour(build: SimpleNamespace) -> None:
    """A disc in red and one in green are alike; a disc and a cross are not."""
    yy, xx = np.mgrid[:128, :128] - 63.5
    shapes = {"disc": yy**2 + xx**2 < 50**2, "bar": abs(yy) < 12, "cross": (abs(yy) < 12) | (abs(xx) < 12)}
    painted = {}
    for shape, mask in shapes.items():
        for colour, rgb in {"red": (220, 30, 30), "green": (20, 130, 60)}.items():
            painted[shape, colour] = np.where(mask[..., None], np.array(rgb), 255).astype(np.uint8)
    alike = build.twins.similarity(np.stack(list(painted.values())), ["thing"] * 6)
    assert alike[0, 1] > 0.9 and alike[4, 5] > 0.9  # same shape, other colour
    assert alike[0, 2] < 0.5 and alike[0, 4] < 0.5  # other shape, same colour
    names = [{"name": f"thing{i}", "class": shape} for i, (shape, _) in enumerate(painted)]
    assert build.twins.find_groups(names, alike[None]) == [0, 0, 1, 1, 2, 2]


def test_what_a_class_has_in_common_makes_no_twins(build: SimpleNamespace) -> None:
    """Discs with other mouths are not alike once their common disc is taken off; with one mouth they are."""
    yy, xx = np.mgrid[:128, :128] - 63.5
    disc = np.where((yy**2 + xx**2 < 60**2)[..., None], np.array((250, 200, 60)), 255).astype(np.uint8)
    mouths = {
        "line": (abs(yy - 30) < 4) & (abs(xx) < 30),
        "tall": (abs(xx) < 8) & (abs(yy - 20) < 24),
        "slant": (abs(yy - 20 - xx) < 6) & (abs(xx) < 30),
    }
    faces = []
    for mouth in mouths.values():
        for ink in ((90, 40, 10), (0, 0, 0)):
            faces.append(np.where(mouth[..., None], np.array(ink), disc).astype(np.uint8))
    alike = build.twins.similarity(np.stack(faces), ["face"] * 6)
    assert alike[0, 1] > 0.9 and alike[2, 3] > 0.9
    assert max(alike[0, 2], alike[0, 4], alike[2, 4]) < build.twins.TWIN_ON_AVERAGE


# ------------------------------------------------------------------------------------------------------------ the card


def test_card_names_sources_versions_and_licences(index: dict[str, Any]) -> None:
    assert list(index["styles"]) == list(STYLES)
    expected = [
        [s["title"], f"emoji_{k}", s["designer"], s["author"], s["licence"]] for k, s in index["styles"].items()
    ]
    assert card_table("styles") == expected
    packages = [[s["package"], s["version"], s["integrity"]] for s in index["styles"].values()]
    assert card_table("packages") == packages
    assert all(re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", integrity) for _, _, integrity in packages)


def test_licence_texts_are_there_and_are_the_ones_named(index: dict[str, Any]) -> None:
    for style in index["styles"].values():
        text = (SECOND.folder / style["licence_file"]).read_text(encoding="utf-8")
        assert LICENCE_TEXTS[style["licence"]] in text and style["url"] in text and style["file"] in text
    readme = (SECOND.folder / "README.md").read_text(encoding="utf-8")
    for style in index["styles"].values():
        row = next(line for line in readme.splitlines() if f"`{style['file']}`" in line)
        assert style["licence_file"] in row
        assert style["licence"].replace("CC-BY-SA-", "CC BY-SA ").replace("CC-BY-", "CC BY ") in row


def test_pinned_sources_are_those_of_the_script(build: SimpleNamespace, index: dict[str, Any]) -> None:
    for style, source in build.sources.SOURCES.items():
        stored = index["styles"][style]
        keys = ("package", "version", "integrity", "icons_sha256", "licence", "designer")
        pinned = (source.package, source.version, source.integrity, source.sha256, source.spdx, source.designer)
        assert tuple(stored[k] for k in keys) == pinned


def test_card_counts_classes_groups_and_splits(index: dict[str, Any]) -> None:
    expected = []
    for c in [*index["classes"], None]:
        emoji = [e for e in index["emoji"] if c is None or e["class"] == c["name"]]
        name = "all" if c is None else c["name"]
        counts = Counter(e["split"] for e in emoji)
        row = [name, len(emoji), len({e["group"] for e in emoji}), *(counts[s] for s in SPLITS)]
        expected.append([str(cell) for cell in row])
    assert card_table("classes") == expected
    assert card_table("looks") == [[c["name"], c["look"]] for c in index["classes"]]


def test_card_sets_this_edition_beside_the_first(index: dict[str, Any]) -> None:
    second = {name: now for name, _, now in card_table("editions")}
    splits = Counter(e["split"] for e in index["emoji"])
    assert second["Train / val / test"] == " / ".join(str(splits[s]) for s in SPLITS)
    assert (second["Styles"], second["Classes"], second["Emoji"]) == ("6", "14", str(len(index["emoji"])))
    size = sum(p.stat().st_size for p in SECOND.folder.iterdir())
    assert second["Megabytes"] == f"{size / 1e6:.1f}"


def test_card_shows_the_measured_distances(build: SimpleNamespace, index: dict[str, Any]) -> None:
    """From results/, which must be of these pictures; and no test label was read for them."""
    record = json.loads((RESULTS / "emoji_styles_table.json").read_text(encoding="utf-8"))
    assert record["settings"]["index_sha256"] == SECOND.index_sha256
    assert record["test"] is None and record["settings"]["parts"] == "train and val"
    assert card_part("table distances") == build.card.probe_tables(index, record)
    y = torch.cat([part.y for d in [load_domain("emoji_noto", image_size=16)] for part in (d.train, d.val)])
    for run in record["runs"]:
        for style, said in run["result"]["predictions"].items():
            right = torch.tensor([ord(c) - ord("a") for c in said]) == y
            assert abs(right.float().mean().item() - run["result"]["accuracy"][style]) < 1e-5
            by_class = torch.stack([right[y == c].float().mean() for c in y.unique()])
            assert abs(by_class.mean().item() - run["result"]["balanced_accuracy"][style]) < 1e-5


def test_card_gives_the_files_checksums() -> None:
    sheets = [f"{s}.webp" for s in STYLES]
    rows = card_table("files")
    assert [r[0] for r in rows] == [*sheets, "index.json"]
    for name, size, sha256 in rows:
        data = (SECOND.folder / name).read_bytes()
        assert (f"{len(data):,}", hashlib.sha256(data).hexdigest()) == (size, sha256)


def test_card_states_the_rule_that_the_script_applies(build: SimpleNamespace, index: dict[str, Any]) -> None:
    text = " ".join(CARD.read_text(encoding="utf-8").split())
    assert f"must reach {build.twins.TWIN_ON_AVERAGE}, or one style alone {build.twins.TWIN_IN_ONE_STYLE}" in text
    table = build.classes.read_classes()
    number_words = {4: "Four", 5: "Five", 6: "Six", 7: "Seven", 8: "Eight", 9: "Nine"}
    assert f"{number_words[len(table.twins)]} sets that neither rule sees" in text
    assert f"at most {build.twins.CAP} emoji are kept" in text
    shares = [round(100 * build.splits.SHARES[s]) for s in SPLITS]
    assert "about {}, {} and {} per cent".format(*shares) in text
    smallest = min(Counter(e["class"] for e in index["emoji"] if e["split"] == "test").values())
    assert f"smallest test splits have {({9: 'nine', 10: 'ten', 11: 'eleven'})[smallest]} pictures" in text
    fewest = min(Counter(e["class"] for e in index["emoji"]).values())
    assert f"classes of fewer than {fewest} emoji" in text
    tests = sum(e["split"] == "test" for e in index["emoji"])
    assert 200 < tests < 300 and "is two or three pictures" in text


def test_twin_examples_of_the_card_are_in_one_group(index: dict[str, Any]) -> None:
    """Each series of italic names joined by commas and "and" in the rules is one group."""
    group = {e["name"]: e["group"] for e in index["emoji"]}
    text = " ".join(CARD.read_text(encoding="utf-8").split())
    rules = text[text.index("1. **By name.**") : text.index("## What changed")]
    found = re.findall(r"\*([a-z ]+)\*(?:, \*([a-z ]+)\*)? and \*([a-z ]+)\*", rules)
    assert len(found) >= 7
    for series in found:
        members = [name for name in series if name in group]
        if members:  # *red*, *small* are words, not emoji
            assert len(members) == len([n for n in series if n]) and len({group[m] for m in members}) == 1, series


def test_figure_is_there_and_light() -> None:
    path = BOOK / "images" / "emoji_styles.png"
    assert path.stat().st_size <= 300_000
    with Image.open(path) as figure:
        assert figure.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        assert figure.width >= 1000


def test_index_is_readable_line_by_line(index: dict[str, Any]) -> None:
    """One emoji a line, so that a change shows in a diff; code points are unique and no name is used twice."""
    lines = (SECOND.folder / "index.json").read_text(encoding="utf-8").splitlines()
    assert sum('"codepoints"' in line for line in lines) == len(index["emoji"])
    for key in ("codepoints", "name"):
        assert len({e[key] for e in index["emoji"]}) == len(index["emoji"])
    assert json.loads("\n".join(lines)) == index


# --------------------------------------------------------------------------------------------------------- the ceiling


def test_sample_is_of_the_test_part_and_even(build: SimpleNamespace, index: dict[str, Any]) -> None:
    sample = build.ceiling.draw_sample(index)
    truth = {e["name"]: (e["class"], e["split"]) for e in index["emoji"]}
    assert len(sample) == len({r["number"] for r in sample}) == len({r["emoji"] for r in sample}) == 100
    assert all(truth[r["emoji"]] == (r["class"], "test") for r in sample)
    styles, classes = Counter(r["style"] for r in sample), Counter(r["class"] for r in sample)
    assert set(styles) == set(STYLES) and min(styles.values()) >= 16 and styles["ink"] == max(styles.values())
    assert len(classes) == 14 and min(classes.values()) >= 7 and max(classes.values()) <= 8
    assert sample == build.ceiling.draw_sample(index)
    assert [r["number"] for r in sample] == sorted(r["number"] for r in sample)
    order = [list(truth).index(r["emoji"]) for r in sample]
    assert abs(np.corrcoef(order, range(100))[0, 1]) < 0.3, "the numbers tell something about the emoji"


def answers(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("number,class\n" + "".join(f"{n},{c}\n" for n, c in rows), encoding="utf-8")
    return path


def test_answers_are_read_scored_and_shown(build: SimpleNamespace, index: dict[str, Any], tmp_path: Path) -> None:
    """Labeller 1 is always right, labeller 2 takes every plant for a tool."""
    ceiling, sample = build.ceiling, build.ceiling.draw_sample(index)
    assert ceiling.ceiling_section(index, []) == ""
    right = [(r["number"], r["class"]) for r in sample]
    wrong = [(n, "tool" if c == "plant" else c) for n, c in right]
    first, second = (
        ceiling.read_answers(answers(tmp_path / name, rows), index, sample)
        for name, rows in (("a.csv", right), ("b.csv", wrong[::-1]))
    )
    ceiling.write_answers(sample, first, second, tmp_path / "both.csv")
    rows = ceiling.load_answers(tmp_path / "both.csv")
    plants = sum(r["class"] == "plant" for r in sample)
    score = ceiling.score(rows)
    assert score["all"] == {"n": 100, "labeller_1": 100, "labeller_2": 100 - plants, "agree": 100 - plants}
    assert sum(score[s]["n"] for s in STYLES) == 100
    text = ceiling.ceiling_section(index, rows)
    assert "labelled once by a vision-language model" in text and "No person labelled them" in text
    assert "may also know\neach emoji by name" in text
    assert f"plant taken for tool ({plants})" in text
    assert f"| **all** | 100 | 100 [96, 100] | {ceiling.share(100 - plants, 100)} |" in text
    for gone in (right[1:], [*right, right[0]], [("1", "sky"), *right[1:]]):
        with pytest.raises(ValueError, match=r"missing .* unknown .* twice"):
            ceiling.read_answers(answers(tmp_path / "c.csv", gone), index, sample)
    with pytest.raises(ValueError, match=r"no classes: \['cloud'\]"):
        ceiling.read_answers(answers(tmp_path / "c.csv", [(right[0][0], "cloud"), *right[1:]]), index, sample)


def test_interval_and_agreement_by_hand(build: SimpleNamespace) -> None:
    low, high = build.ceiling.wilson(8, 10)  # Wilson (1927); 0.490 and 0.943 in any table
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    first, second = ["a"] * 20 + ["b"] * 30, ["a"] * 15 + ["b"] * 5 + ["b"] * 20 + ["a"] * 10
    # They agree on 35 of 50 = 0.7; by chance on 0.4·0.5 + 0.6·0.5 = 0.5; so κ = 0.2 / 0.5.
    assert build.ceiling.kappa(first, second) == pytest.approx(0.4)


def test_card_shows_the_committed_answers(build: SimpleNamespace, index: dict[str, Any]) -> None:
    rows = build.ceiling.load_answers()
    assert card_part("ceiling") == build.ceiling.ceiling_section(index, rows)
    if rows:  # they are answers to this very sample
        known = [{k: r[k] for k in ("number", "emoji", "style", "class")} for r in rows]
        assert known == build.ceiling.draw_sample(index)


def test_kit_tells_nothing(build: SimpleNamespace, index: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lies in the kit"):
        build.label.write_kit(tmp_path / "kit", tmp_path / "kit" / "key.json")
    build.label.write_kit(tmp_path / "kit", tmp_path / "key.json")
    sample = json.loads((tmp_path / "key.json").read_text(encoding="utf-8"))
    pictures = {f"{r['number']}.png" for r in sample}
    sheets = {f"sheet_{k:02d}.png" for k in range(1, 11)}
    assert {p.name for p in (tmp_path / "kit").iterdir()} == pictures | sheets | {"classes.txt"}
    lines = (tmp_path / "kit" / "classes.txt").read_text(encoding="utf-8").splitlines()
    assert lines == [f"{c['name']}: {c['look']}" for c in index["classes"]]
    at = {e["name"]: i for i, e in enumerate(index["emoji"])}
    for row in sample[:6]:
        with Image.open(tmp_path / "kit" / f"{row['number']}.png") as picture:
            assert picture.size == (256, 256) and not picture.info
            small = np.asarray(picture.resize((128, 128), Image.Resampling.BOX), dtype=float)
        stored = load_emoji_style(row["style"])[0].permute(0, 2, 3, 1).numpy()
        distances = [abs(small - x).mean() for x in stored]
        assert int(np.argmin(distances)) == at[row["emoji"]], "the number stands for another picture"
