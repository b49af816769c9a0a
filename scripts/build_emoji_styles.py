"""Build EmojiStyles: the same emoji in five open styles, from the npm packages that hold them as SVG.

    python scripts/build_emoji_styles.py --fetch FOLDER       # `npm pack` the pinned packages into FOLDER, then build
    python scripts/build_emoji_styles.py --packages FOLDER    # FOLDER holds them already, unpacked by npm

It writes the sheets and `index.json` (xferkit/assets/emoji_styles), the figure (book/images/emoji_styles.png) and the
tables of the data card (book/data/emoji_styles.md), and prints the checksum to put into xferkit/data/emoji.py. Needs
npm for --fetch, and the extra `data` (resvg). About six minutes on one core; a second run writes the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import random
import subprocess
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, features
from skimage.feature import hog
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "xferkit" / "assets" / "emoji_styles"
CARD = ROOT / "book" / "data" / "emoji_styles.md"
FIGURE = ROOT / "book" / "images" / "emoji_styles.png"
SIZE = 128
COLUMNS = 24
SEED = 0
SHARES = {"train": 0.6, "val": 0.1, "test": 0.3}


@dataclass(frozen=True)
class Source:
    """One style: its npm package, pinned by version and by the SHA-256 of its drawings."""

    title: str
    package: str
    version: str
    sha256: str  # of icons.json
    spdx: str
    licence_file: str
    author: str
    url: str


SOURCES = {
    "noto": Source(
        "Noto Emoji",
        "@iconify-json/noto",
        "1.2.9",
        "9eac6ef4e7ec122b6f0e7ac281d61008afdbc720d0ce861e398b939daaa347c6",
        "Apache-2.0",
        "LICENSE-noto.txt",
        "Google Inc",
        "https://github.com/googlefonts/noto-emoji",
    ),
    "twemoji": Source(
        "Twemoji",
        "@iconify-json/twemoji",
        "1.2.5",
        "5d5d820790565b764f2728675d487c9ee4c1fc83916d8567d5aca8ba7527c242",
        "CC-BY-4.0",
        "LICENSE-twemoji.txt",
        "Twitter",
        "https://github.com/jdecked/twemoji",
    ),
    "openmoji": Source(
        "OpenMoji",
        "@iconify-json/openmoji",
        "1.2.29",
        "7075331faab544067dbff4236471dd378bb5410aa05799a8a343c9ebf5c5984c",
        "CC-BY-SA-4.0",
        "LICENSE-openmoji.txt",
        "OpenMoji",
        "https://github.com/hfg-gmuend/openmoji",
    ),
    "fluent": Source(
        "Fluent Emoji",
        "@iconify-json/fluent-emoji",
        "1.2.7",
        "87f3336be6f46747d40d046a15ffa8b23809ff7a1a280b5d3521d3782fb85de7",
        "MIT",
        "LICENSE-fluent.txt",
        "Microsoft Corporation",
        "https://github.com/microsoft/fluentui-emoji",
    ),
    "fluent_flat": Source(
        "Fluent Emoji Flat",
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "f5f4cf457c0db2ad5a2e42e033e02e0c87d10e43d0164cfffb3bb84914970a63",
        "MIT",
        "LICENSE-fluent.txt",
        "Microsoft Corporation",
        "https://github.com/microsoft/fluentui-emoji",
    ),
}
SUBGROUPS_PACKAGE = ("emoji-datasource", "16.0.0", "1d602e65be88772bf8cc368ce16b855d719eeddbafe128d471b80203f494d29f")

# Class name: Unicode subgroup. Things one can see, at least 12 emoji each; the card says what was left out.
CLASSES = {
    "mammal": "animal-mammal",
    "bird": "animal-bird",
    "marine animal": "animal-marine",
    "bug": "animal-bug",
    "flower": "plant-flower",
    "plant": "plant-other",
    "fruit": "food-fruit",
    "vegetable": "food-vegetable",
    "prepared food": "food-prepared",
    "Asian food": "food-asian",
    "sweet": "food-sweet",
    "drink": "drink",
    "building": "place-building",
    "ground transport": "transport-ground",
    "air transport": "transport-air",
    "sky and weather": "sky & weather",
    "sport": "sport",
    "clothing": "clothing",
    "tool": "tool",
    "household": "household",
}

# Words of a name that do not say which thing is drawn: two emoji that share only these are no twins by name.
NOT_THE_THING = frozenset(
    """and behind cut in of on without with baby black box broken brown car closed cork cup drop face flat food full
    green ground hot ice japanese large leafy light long man new office oncoming one popping potted rail railway rain
    red rice small snow steaming stop straw tropical two white womans mans""".split()
)
# Twins that neither rule below sees: other words for one thing, drawn almost alike.
TWINS_BY_EYE = (
    ("shamrock", "four leaf clover"),
    ("rose", "wilted flower"),
    ("t shirt", "womans clothes"),
    ("automobile", "sport utility vehicle"),
    ("mountain cableway", "aerial tramway"),
)
TWIN_ON_AVERAGE = 0.545  # mean similarity of two emoji's pictures over the styles
TWIN_IN_ONE_STYLE = 0.89  # or nearly the same drawing in one style

FIGURE_EMOJI = (
    "fox",
    "owl",
    "octopus",
    "lady beetle",
    "sunflower",
    "cactus",
    "pineapple",
    "hamburger",
    "teapot",
    "castle",
    "tractor",
    "rocket",
)

# ------------------------------------------------------------------------------------------------------- the sources


def fetch(folder: Path) -> None:
    """Download and unpack the pinned packages with `npm pack`; npm checks each against its registry's checksum."""
    folder.mkdir(parents=True, exist_ok=True)
    pinned = [(s.package, s.version) for s in SOURCES.values()] + [SUBGROUPS_PACKAGE[:2]]
    for package, number in tqdm(pinned, desc="npm pack"):
        command = ["npm", "pack", "--silent", "--pack-destination", str(folder), f"{package}@{number}"]
        archive = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
        with tarfile.open(folder / archive) as tar:
            for member in tar.getmembers():
                if member.isfile() and member.name.count("/") == 1 and member.name.endswith(".json"):
                    target = folder / package / Path(member.name).name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    content = tar.extractfile(member)
                    assert content is not None
                    target.write_bytes(content.read())


def read_json(path: Path, sha256: str | None = None) -> Any:
    data = path.read_bytes()
    if sha256 is not None and (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise ValueError(f"{path} has SHA-256 {found}, not the pinned {sha256}: is it another version?")
    return json.loads(data)


def check_licence(source: Source, folder: Path) -> None:
    """The package must declare the version, licence and author that the card names."""
    package = read_json(folder / source.package / "package.json")
    info = read_json(folder / source.package / "info.json")
    declared = (package["version"], package["license"], info["license"]["spdx"], info["author"]["name"])
    expected = (source.version, source.spdx, source.spdx, source.author)
    if declared != expected:
        raise ValueError(f"{source.package} declares {declared}, expected {expected}.")


def choose_emoji(folder: Path) -> tuple[list[dict[str, Any]], dict[str, list[str]]]:
    """Emoji of the chosen subgroups that all five styles draw, in Unicode order, and their SVG bodies by style.

    Code points decide which drawing is which emoji; Fluent, whose package has no list of code points, goes by the
    names of Fluent Flat, which come from the same designer. Skin tones are variants inside an entry of the source and
    never entries themselves, and no chosen subgroup shows people.
    """
    icons: dict[str, dict[str, Any]] = {}
    chars: dict[str, dict[str, str]] = {}
    for style, source in SOURCES.items():
        check_licence(source, folder)
        icons[style] = read_json(folder / source.package / "icons.json", source.sha256)
        chars[style] = read_json(folder / source.package / "chars.json")
    chars["fluent"] = chars["fluent_flat"]
    package, _, sha256 = SUBGROUPS_PACKAGE
    entries = sorted(read_json(folder / package / "emoji.json", sha256), key=lambda e: e["sort_order"])
    class_of = {subgroup: name for name, subgroup in CLASSES.items()}
    emoji: list[dict[str, Any]] = []
    svgs: dict[str, list[str]] = {style: [] for style in SOURCES}
    for entry in entries:
        if entry["subcategory"] not in class_of:
            continue
        points = entry["unified"].lower().split("-")
        key = "-".join(p for p in points if p != "fe0f")  # the packages leave the variation selector out
        names = {style: chars[style].get(key, "") for style in SOURCES}
        if any(names[style] not in icons[style]["icons"] for style in SOURCES):
            continue
        for style in SOURCES:
            svgs[style].append(svg(icons[style], names[style]))
        name = names["noto"].replace("-", " ")
        emoji.append({"name": name, "codepoints": key.upper(), "class": class_of[entry["subcategory"]]})
    return emoji, svgs


def svg(icon_set: dict[str, Any], name: str) -> str:
    icon = icon_set["icons"][name]
    left, top = icon.get("left", 0), icon.get("top", 0)
    width, height = icon.get("width", icon_set["width"]), icon.get("height", icon_set["height"])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{left} {top} {width} {height}" width="{SIZE}" height="{SIZE}">{icon["body"]}</svg>'
    )


def draw(drawing: str) -> NDArray[np.uint8]:
    """The drawing on white, uint8 (SIZE, SIZE, 3)."""
    import resvg_py  # the extra `data`; the grouping below is tested without it

    png = bytes(resvg_py.svg_to_bytes(svg_string=drawing, width=SIZE, height=SIZE))
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture)
    return np.asarray(white.convert("RGB"))


# --------------------------------------------------------------------------------------------- near twins and splits


def things(name: str) -> frozenset[str]:
    """The words of a name that say which thing is drawn, singular: "oncoming police car" gives {"police"}."""
    words = (w if w in NOT_THE_THING or len(w) < 4 or w.endswith("ss") else w.removesuffix("s") for w in name.split())
    return frozenset(w for w in words if w not in NOT_THE_THING)


def similarity(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How alike two emoji of one style are: (N, N) cosines of centred histograms of oriented gradients.

    Gradients are taken without sign and normalised block by block (Dalal and Triggs 2005), so that a green apple and
    a red one, or a new moon and a full one, count as alike. `pictures` is uint8 (N, H, W, 3).
    """
    descriptors = []
    for picture in pictures:
        grey = np.asarray(Image.fromarray(picture).convert("L").resize((64, 64), Image.Resampling.BOX))
        descriptors.append(hog(grey, orientations=9, pixels_per_cell=(8, 8), cells_per_block=(2, 2)))
    x = np.stack(descriptors)
    x -= x.mean(0)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x @ x.T)


def find_groups(emoji: Sequence[dict[str, Any]], similarities: NDArray[np.float64]) -> list[int]:
    """Variant groups: the connected parts of the graph that links near twins, numbered in order of appearance.

    Two emoji are near twins if they are of one class and their names share a word that says which thing is drawn, if
    their pictures are alike, whatever their names and classes, or if they stand in `TWINS_BY_EYE`. `similarities` is
    (styles, N, N).
    """
    words = [things(e["name"]) for e in emoji]
    alike = (similarities.mean(0) >= TWIN_ON_AVERAGE) | (similarities.max(0) >= TWIN_IN_ONE_STYLE)
    by_eye = {frozenset(pair) for pair in TWINS_BY_EYE}
    parent = list(range(len(emoji)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for i, one in enumerate(emoji):
        for j, other in enumerate(emoji[:i]):
            same_thing = one["class"] == other["class"] and words[i] & words[j]
            if alike[i, j] or same_thing or frozenset((one["name"], other["name"])) in by_eye:
                first, second = sorted((root(i), root(j)))
                parent[second] = first
    roots = [root(i) for i in range(len(emoji))]
    number = {r: k for k, r in enumerate(dict.fromkeys(roots))}
    return [number[r] for r in roots]


def choose_splits(classes: Sequence[str], groups: Sequence[int]) -> list[str]:
    """A split for each emoji: whole groups, class by class, as near to the shares as groups allow.

    For each class, 500 seeded shuffles of its groups are dealt out, and the first of those that come nearest to the
    wished counts is kept. A group that spans two classes goes with the class it appears in first.
    """
    split_of: dict[int, str] = {}
    for name in dict.fromkeys(classes):
        sizes = Counter(g for g, c in zip(groups, classes, strict=True) if c == name)
        wished = wished_counts(sizes.total())
        fixed = Counter({s: sum(n for g, n in sizes.items() if split_of.get(g) == s) for s in SHARES})
        free = {g: n for g, n in sizes.items() if g not in split_of}
        best: tuple[int, dict[int, str]] | None = None
        for trial in range(500):
            dealt, counts = deal(free, wished, fixed, random.Random(f"{SEED} {name} {trial}"))
            miss = sum(abs(counts[s] - wished[s]) for s in SHARES)
            if best is None or miss < best[0]:
                best = miss, dealt
        assert best is not None
        split_of |= best[1]
    return [split_of[g] for g in groups]


def wished_counts(total: int) -> dict[str, int]:
    val, test = max(1, round(total * SHARES["val"])), round(total * SHARES["test"])
    return {"train": total - val - test, "val": val, "test": test}


def deal(
    sizes: dict[int, int], wished: dict[str, int], start: Counter[str], rng: random.Random
) -> tuple[dict[int, str], Counter[str]]:
    """Groups in random order, each to a split drawn with the chance of the room that is left there."""
    dealt: dict[int, str] = {}
    counts = Counter(start)
    order = list(sizes)
    rng.shuffle(order)
    for group in order:
        room = [max(0.0, wished[s] - counts[s]) + 1e-9 for s in SHARES]
        dealt[group] = rng.choices(list(SHARES), weights=room)[0]
        counts[dealt[group]] += sizes[group]
    return dealt, counts


# ------------------------------------------------------------------------------------------------------- what is kept


def write_sheet(pictures: NDArray[np.uint8], path: Path) -> None:
    """All pictures of a style in one lossless WebP, row by row, COLUMNS to a row."""
    rows = -(-len(pictures) // COLUMNS)
    cells = np.full((rows * COLUMNS, SIZE, SIZE, 3), 255, np.uint8)
    cells[: len(pictures)] = pictures
    sheet = cells.reshape(rows, COLUMNS, SIZE, SIZE, 3).swapaxes(1, 2).reshape(rows * SIZE, COLUMNS * SIZE, 3)
    packed = io.BytesIO()  # so that the old sheet stays whole until the new one is
    Image.fromarray(sheet).save(packed, "WEBP", lossless=True, quality=100, method=6)
    path.write_bytes(packed.getvalue())


def write_index(emoji: Sequence[dict[str, Any]], path: Path) -> str:
    """`index.json`, one emoji a line, and its SHA-256."""
    styles = {}
    for style, source in SOURCES.items():
        data = (ASSETS / f"{style}.webp").read_bytes()
        styles[style] = {
            "title": source.title,
            "file": f"{style}.webp",
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "package": source.package,
            "version": source.version,
            "icons_sha256": source.sha256,
            "licence": source.spdx,
            "licence_file": source.licence_file,
            "author": source.author,
            "url": source.url,
        }
    head = {
        "name": "EmojiStyles",
        "image_size": SIZE,
        "columns": COLUMNS,
        "background": "white",
        "subgroups_from": {"package": SUBGROUPS_PACKAGE[0], "version": SUBGROUPS_PACKAGE[1]},
        "built_with": {
            "resvg-py": version("resvg-py"),
            "Pillow": version("Pillow"),
            "libwebp": features.version("webp"),
            "scikit-image": version("scikit-image"),
        },
        "styles": styles,
        "classes": [{"name": name, "subgroup": subgroup} for name, subgroup in CLASSES.items()],
    }
    lines = ",\n".join("  " + json.dumps(e, ensure_ascii=False) for e in emoji)
    text = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}") + f',\n "emoji": [\n{lines}\n ]\n}}\n'
    path.write_bytes(text.encode())
    return hashlib.sha256(text.encode()).hexdigest()


def write_figure(emoji: Sequence[dict[str, Any]], pictures: dict[str, NDArray[np.uint8]], path: Path) -> None:
    """The same twelve emoji in the five styles, a row a style, with its name and licence."""
    cell, gap, label, margin = 74, 10, 146, 14
    at = {e["name"]: i for i, e in enumerate(emoji)}
    width = label + len(FIGURE_EMOJI) * (cell + gap) + margin
    figure = Image.new("RGB", (width, 2 * margin + len(SOURCES) * (cell + gap) - gap), "white")
    pen = ImageDraw.Draw(figure)
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    bold = ImageFont.truetype(str(fonts / "DejaVuSans-Bold.ttf"), 18)
    plain = ImageFont.truetype(str(fonts / "DejaVuSans.ttf"), 14)
    for row, (style, source) in enumerate(SOURCES.items()):
        top = margin + row * (cell + gap)
        pen.text((margin, top + cell // 2 - 2), source.title.replace(" Emoji", ""), "#222222", bold, anchor="ls")
        pen.text((margin, top + cell // 2 + 4), source.spdx.replace("CC-", "CC ").replace("-4", " 4"), "#555555", plain)
        for column, name in enumerate(FIGURE_EMOJI):
            picture = Image.fromarray(pictures[style][at[name]]).resize((cell, cell), Image.Resampling.LANCZOS)
            figure.paste(picture, (label + column * (cell + gap), top))
    figure.save(path, optimize=True)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def write_card_tables(index: dict[str, Any], index_sha256: str, card: Path) -> None:
    """Put the tables of styles, classes and files between the card's marks; the prose around them stays."""
    styles, emoji = index["styles"], index["emoji"]
    licences = ([s["title"], f"`{s['package']}`", s["version"], s["author"], s["licence"]] for s in styles.values())
    files: list[list[object]] = [[f"`{s['file']}`", f"{s['bytes']:,}", f"`{s['sha256']}`"] for s in styles.values()]
    files.append(["`index.json`", f"{(ASSETS / 'index.json').stat().st_size:,}", f"`{index_sha256}`"])
    counts = Counter((e["class"], e["split"]) for e in emoji)
    groups = defaultdict(set)
    for e in emoji:
        groups[e["class"]].add(e["group"])
        groups["all"].add(e["group"])
    rows: list[list[object]] = []
    for c in index["classes"]:
        row = [counts[c["name"], s] for s in SHARES]
        rows.append([c["name"], f"`{c['subgroup']}`", sum(row), len(groups[c["name"]]), *row])
    total = Counter(e["split"] for e in emoji)
    rows.append(["**all**", "", len(emoji), len(groups["all"]), *(total[s] for s in SHARES)])
    tables = {
        "styles": table(["Style", "npm package", "Version", "Author", "Licence"], licences),
        "classes": table(["Class", "Unicode subgroup", "Emoji", "Groups", "Train", "Val", "Test"], rows),
        "files": table(["File", "Bytes", "SHA-256"], files),
    }
    text = card.read_text(encoding="utf-8")
    for name, content in tables.items():
        start, end = f"% table {name}: written by scripts/build_emoji_styles.py", f"% end of table {name}"
        before, _, rest = text.partition(start)
        _, mark, after = rest.partition(end)
        if not mark:
            raise ValueError(f"{card} lacks the lines {start!r} … {end!r}.")
        text = f"{before}{start}\n\n{content}\n\n{end}{after}"
    card.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--fetch", type=Path, metavar="FOLDER", help="download the pinned packages into FOLDER")
    where.add_argument("--packages", type=Path, metavar="FOLDER", help="use the packages in FOLDER (a node_modules)")
    arguments = parser.parse_args()
    if arguments.fetch is not None:
        fetch(arguments.fetch)
    emoji, svgs = choose_emoji(arguments.fetch or arguments.packages)
    pictures = {style: np.stack([draw(d) for d in tqdm(svgs[style], desc=f"draw {style}")]) for style in SOURCES}
    groups = find_groups(emoji, np.stack([similarity(p) for p in pictures.values()]))
    splits = choose_splits([e["class"] for e in emoji], groups)
    for e, group, split in zip(emoji, groups, splits, strict=True):
        e |= {"group": group, "split": split}
    for path in (ASSETS, CARD.parent, FIGURE.parent):
        path.mkdir(parents=True, exist_ok=True)
    for style in tqdm(SOURCES, desc="encode"):
        write_sheet(pictures[style], ASSETS / f"{style}.webp")
    sha256 = write_index(emoji, ASSETS / "index.json")
    write_figure(emoji, pictures, FIGURE)
    write_card_tables(read_json(ASSETS / "index.json"), sha256, CARD)
    total = sum(path.stat().st_size for path in ASSETS.iterdir())
    print(f"{len(emoji)} emoji, {len(CLASSES)} classes, {max(groups) + 1} groups, {total / 1e6:.2f} MB")
    print(f'In xferkit/data/emoji.py: INDEX_SHA256 = "{sha256}"')


if __name__ == "__main__":
    main()
