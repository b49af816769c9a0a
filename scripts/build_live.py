"""Compute what two of the book's figures to try show: the parts of EfficientNet-Lite0, and the hits of a search.

    python scripts/build_live.py            write book/live/*.json and book/_static/live/*.webp
    python scripts/build_live.py --check    only say whether they are up to date (exit code 1 if not)

About two minutes on one core, from an empty cache. Queries and gallery are EmojiStyles' training and validation
pictures, never the test part; the queries are drawn by lot, one a class. The pictures of the queries show OpenMoji's
drawings among others and so are under CC BY-SA 4.0.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import xferkit as xk
from xferkit.data.emoji import STYLES

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.made_files import write_or_check  # noqa: E402

SIDE, SPRITE, COLUMNS, NEAREST = 128, 64, 16, 5
LAYERS = ("stem", "stage2", "stage4", "stage6", "pool")
START, GALLERY, EMOJI = "stage6", "noto", "owl"
NAMES = {
    "noto": "Noto", "twemoji": "Twemoji", "openmoji": "OpenMoji", "fluent": "Fluent", "fluent_flat": "Fluent Flat",
    "ink": "Fluent in ink",
}  # fmt: skip
CREDIT = (
    "The five nearest of the gallery by the cosine of features averaged over the picture; the query and its near twins "
    "are left out. ✓: the query's class. Pictures: Noto © Google (Apache-2.0), Twemoji © Twitter and contributors "
    "(CC BY 4.0), OpenMoji (CC BY-SA 4.0), Fluent © Microsoft (MIT)."
)


def tour(net: xk.Classifier) -> list[dict[str, Any]]:
    """Each part's name, the shape of its output for one picture, its parameters, and what one place sees."""
    layers, parts = xk.models.anatomy(net, (3, SIDE, SIDE)), []
    places = {stage: f"features.{stage}" for stage, _ in net.features.named_children()} | {"logits": "head"}
    for name, inside in places.items():
        own = [layer for layer in layers if f"{layer.name}.".startswith(f"{inside}.")]
        shape, field = own[-1].shape, own[-1].receptive_field
        whole = len(shape) == 1  # averaged over the picture
        said = {"name": name, "shape": list(shape), "parameters": sum(layer.parameters for layer in own)}
        parts.append(said | {"whole": whole, "field": SIDE if whole else field})
    return parts


def search(net: xk.Classifier) -> tuple[dict[str, Any], dict[str, Tensor], list[int], list[int]]:
    """The hits of every query, style and layer; the pictures of each style; queries and gallery shown, as positions."""
    domains = {style: xk.load_domain(f"emoji_{style}", image_size=SIDE) for style in STYLES}
    pictures = {style: torch.cat([d.train.x, d.val.x]) for style, d in domains.items()}
    noto = domains[GALLERY]
    y = torch.cat([noto.train.y, noto.val.y])
    groups = torch.cat([noto.train.groups, noto.val.groups])  # type: ignore[list-item]
    names = names_of(noto)
    others = groups[:, None] != groups
    features = {
        style: [xk.extract_features(net, part.x, layers=LAYERS) for part in (d.train, d.val)]
        for style, d in domains.items()
    }
    z = {style: {k: torch.cat([part[k] for part in both]) for k in LAYERS} for style, both in features.items()}
    rng = np.random.default_rng(0)
    queries = [int(rng.choice(np.flatnonzero(y.numpy() == c))) for c in range(len(noto.classes))]
    nearest = {
        (style, layer): (F.normalize(z[style][layer], dim=1) @ F.normalize(z[GALLERY][layer], dim=1).T)
        .masked_fill(~others, -2)
        .topk(NEAREST)
        .indices
        for style in STYLES
        for layer in LAYERS
    }
    hits = [[[nearest[style, layer][q].tolist() for layer in LAYERS] for style in STYLES] for q in queries]
    shown = sorted({i for by_style in hits for by_layer in by_style for five in by_layer for i in five})
    place = {i: at for at, i in enumerate(shown)}
    shares = [
        [round(100 * float((y[nearest[style, layer]] == y[:, None]).float().mean()), 1) for layer in LAYERS]
        for style in STYLES
    ]
    chance = ((y[:, None] == y) & others).sum(1) / others.sum(1)
    record = {
        "styles": NAMES, "layers": list(LAYERS), "start": START, "classes": list(noto.classes), "columns": COLUMNS,
        "queries": [{"name": names[q], "class": int(y[q])} for q in queries],
        "gallery": [{"name": names[i], "class": int(y[i])} for i in shown],
        "hits": [[[[place[i] for i in five] for five in by_layer] for by_layer in by_style] for by_style in hits],
        "asked": len(y), "shares": shares, "chance": round(100 * float(chance.mean()), 1), "credit": CREDIT,
    }  # fmt: skip
    return record, pictures, queries, shown


def names_of(domain: xk.Domain) -> list[str]:
    """The emoji's names in the order of the training and validation pictures."""
    from xferkit.data.emoji import load_emoji_style

    _, _, names, _, splits, _ = load_emoji_style(GALLERY, image_size=8)
    order = torch.cat([splits["train"], splits["val"]]).tolist()
    assert len(order) == len(domain.train) + len(domain.val)
    return [names[i] for i in order]


def sheet(pictures: list[Tensor], side: int) -> bytes:
    """Pictures (3, H, W) side by side, COLUMNS to a row, as WebP."""
    rows = -(-len(pictures) // COLUMNS)
    whole = Image.new("RGB", (side * min(COLUMNS, len(pictures)), side * rows), "white")
    for i, x in enumerate(pictures):
        picture = Image.fromarray(x.permute(1, 2, 0).numpy()).resize((side, side), Image.Resampling.LANCZOS)
        whole.paste(picture, (i % COLUMNS * side, i // COLUMNS * side))
    packed = io.BytesIO()
    whole.save(packed, "WEBP", quality=60, method=6)
    return packed.getvalue()


def files() -> dict[Path, bytes]:
    """What is to lie in the book."""
    net = xk.backbone().requires_grad_(False)
    record, pictures, queries, shown = search(net)
    names = names_of(xk.load_domain(f"emoji_{GALLERY}", image_size=8))
    layers = {"side": SIDE, "emoji": EMOJI, "parts": tour(net)}
    shots = {
        "queries": sheet([pictures[style][q] for q in queries for style in STYLES], SPRITE),
        "gallery": sheet([pictures[GALLERY][i] for i in shown], SPRITE),
        "layers": sheet([pictures[GALLERY][names.index(EMOJI)]], SIDE),
    }
    made = {ROOT / f"book/_static/live/{name}.webp": data for name, data in shots.items()}
    for name, text in (("layers", layers), ("retrieval", record)):
        made[ROOT / f"book/live/{name}.json"] = (json.dumps(text, ensure_ascii=False, indent=1) + "\n").encode()
    return made


def main() -> int:
    xk.setup(0)
    return write_or_check(files(), "the figures to try are")


if __name__ == "__main__":
    sys.exit(main())
