"""Near twins: which emoji are variants of one another, by name and by picture, and how many of them are kept."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.feature import hog

from emoji_styles.classes import Classes, Emoji

SEED = 0
CAP = 5  # emoji of one group that are kept

# Words of a name that say whom it shows or which way it faces: names that differ in these alone are one emoji's
# variants, and one of them is kept.
VARIANT = frozenset("person people man men woman women facing right left leftwards rightwards".split())
# Words of a name that do not say which thing is drawn: two emoji that share only these are no twins by name.
NOT_THE_THING = VARIANT | frozenset(
    """and at behind big blood broken brown car closed cork cup cut drop eyes face flat food full getting green ground
    hair hand hands hearts hot ice index in large leafy light long mouth motor new night of office on oncoming one open
    palm playing popping potted rail railway rain raised red rice running small snow stars steaming stop straw sun
    taking the to tropical two up white with without womans mans""".split()
)
TWIN_ON_AVERAGE = 0.545  # mean similarity of two emoji's pictures over the styles
TWIN_IN_ONE_STYLE = 0.89  # or nearly the same drawing in one style


def things(name: str) -> frozenset[str]:
    """The words of a name that say which thing is drawn, singular: "oncoming police cars" gives {"police"}."""
    words = (w if w in NOT_THE_THING or len(w) < 4 or w.endswith("ss") else w.removesuffix("s") for w in name.split())
    return frozenset(w for w in words if w not in NOT_THE_THING)


def drop_variants(emoji: Sequence[Emoji], classes: Classes) -> list[Emoji]:
    """One emoji of each set of variants: a role in three genders, a hand in two directions.

    Which one is drawn by lot, so that no gender is preferred.
    """
    listed = {name: " ".join(names) for names in classes.variants for name in names}
    sets: dict[str, list[Emoji]] = defaultdict(list)
    for e in emoji:
        rest = " ".join(w for w in e["name"].split() if w not in VARIANT)
        sets[f"{e['class']}: {listed.get(e['name'], rest)}"].append(e)
    chosen = {random.Random(f"{SEED} {key}").choice(variants)["name"] for key, variants in sets.items()}
    return [e for e in emoji if e["name"] in chosen]


def similarity(pictures: NDArray[np.uint8], classes: Sequence[str]) -> NDArray[np.float64]:
    """How alike two emoji of one style are: (N, N) cosines of histograms of oriented gradients, centred by class.

    Gradients are taken without sign and normalised block by block (Dalal and Triggs 2005), so that a green apple and
    a red one, or a new moon and a full one, count as alike. The class's mean is taken off, so that two faces are alike
    for their expressions and not for their common disc. `pictures` is uint8 (N, H, W, 3).
    """
    descriptors = []
    for picture in pictures:
        grey = np.asarray(Image.fromarray(picture).convert("L").resize((64, 64), Image.Resampling.BOX))
        descriptors.append(hog(grey, orientations=9, pixels_per_cell=(8, 8), cells_per_block=(2, 2)))
    x, names = np.stack(descriptors), np.array(classes)
    for name in dict.fromkeys(classes):
        x[names == name] -= x[names == name].mean(0)
    x /= np.linalg.norm(x, axis=1, keepdims=True) + 1e-12
    return np.asarray(x @ x.T)


def find_groups(
    emoji: Sequence[Emoji], similarities: NDArray[np.float64], by_eye: Sequence[Sequence[str]] = ()
) -> list[int]:
    """Variant groups: the connected parts of the graph that links near twins, numbered in order of appearance.

    Two emoji are near twins if they are of one class and their names share a word that says which thing is drawn, if
    their pictures are alike, whatever their names and classes, or if they stand side by side in `by_eye`.
    `similarities` is (styles, N, N).
    """
    words = [things(e["name"]) for e in emoji]
    alike = (similarities.mean(0) >= TWIN_ON_AVERAGE) | (similarities.max(0) >= TWIN_IN_ONE_STYLE)
    pairs = {frozenset(pair) for names in by_eye for pair in zip(names, names[1:], strict=False)}
    parent = list(range(len(emoji)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for i, one in enumerate(emoji):
        for j, other in enumerate(emoji[:i]):
            same_thing = one["class"] == other["class"] and words[i] & words[j]
            if alike[i, j] or same_thing or frozenset((one["name"], other["name"])) in pairs:
                first, second = sorted((root(i), root(j)))
                parent[second] = first
    roots = [root(i) for i in range(len(emoji))]
    number = {r: k for k, r in enumerate(dict.fromkeys(roots))}
    return [number[r] for r in roots]


def within_cap(emoji: Sequence[Emoji], groups: Sequence[int], first: Sequence[str] = ()) -> list[int]:
    """Positions of the emoji to keep: all of a group of at most CAP, else CAP of them, drawn by lot.

    The emoji named in `first` are kept before others.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        members[group].append(i)
    kept: list[int] = []

    def turn(i: int) -> tuple[bool, float]:
        name = emoji[i]["name"]
        return name not in first, random.Random(f"{SEED} {emoji[i]['class']} {name}").random()

    for positions in members.values():
        kept += sorted(positions, key=turn)[:CAP]
    return sorted(kept)
