"""Pictures that load late, keep their place and weigh little.

Each picture in a page gets its width and height, so that the text does not jump when it arrives; all but the first
wait until the reader comes near. A PNG becomes lossless WebP where that is smaller (about half): the same pixels,
one by one. What was converted once is kept beside the built book.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from PIL import Image
from sphinx.application import Sphinx

IMG = re.compile(r"<img\b[^>]*>")
ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')
SVG_TAG = re.compile(r"<svg\b[^>]*>", re.DOTALL)


def size_of(path: Path) -> tuple[int, int] | None:
    """Width and height in CSS pixels, or None where the file does not say."""
    if path.suffix.lower() != ".svg":
        with Image.open(path) as picture:
            return picture.size
    tag = SVG_TAG.search(path.read_text(encoding="utf-8"))
    said = dict(ATTRIBUTE.findall(tag.group())) if tag else {}
    box = said.get("viewBox", "").split()[2:] or ("", "")
    for width, height in ((said.get("width", ""), said.get("height", "")), box):
        numbers = [re.fullmatch(r"([\d.]+)(px|pt)?", text) for text in (width, height)]
        if all(numbers):
            scale = {"pt": 4 / 3}  # matplotlib writes points
            found = [float(n[1]) * scale.get(n[2] or "", 1) for n in numbers if n]
            return round(found[0]), round(found[1])
    return None


@cache
def as_webp(path: Path, kept: Path) -> bytes | None:
    """A PNG as lossless WebP, or None where that is not smaller."""
    source = path.read_bytes()
    store = kept / f"{hashlib.sha256(source).hexdigest()}.webp"
    if not store.exists():
        packed = BytesIO()
        with Image.open(path) as picture:
            picture.save(packed, "WEBP", lossless=True, exact=True, quality=80, method=4)
        kept.mkdir(parents=True, exist_ok=True)
        store.write_bytes(packed.getvalue())
    found = store.read_bytes()
    return found if len(found) < len(source) else None


class Pictures:
    """The pictures of one page."""

    def __init__(self, app: Sphinx) -> None:
        self.sources = {name: Path(app.srcdir) / uri for uri, name in app.builder.images.items()}
        self.out = Path(app.outdir) / app.builder.imagedir
        self.kept = Path(app.outdir).parent / ".pictures"
        self.folder = app.builder.imagedir
        self.first = True
        self.replaced: dict[str, str] = {}

    def mend(self, match: re.Match[str]) -> str:
        tag = match.group()
        said = dict(ATTRIBUTE.findall(tag))
        early, self.first = self.first, False
        added = {} if early or "loading" in said else {"loading": "lazy"}
        added["decoding"] = "async"
        folder, _, name = unquote(said.get("src", "")).rpartition("/")
        source = self.sources.get(name) if folder.endswith(self.folder) else None
        if source is not None and source.exists():
            size = size_of(source)
            if size and not {"width", "height"} & set(said):
                added["width"], added["height"] = (str(side) for side in size)
            if source.suffix.lower() == ".png" and (packed := as_webp(source, self.kept)):
                target = self.out / Path(name).with_suffix(".webp").name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(packed)
                self.replaced[said["src"]] = said["src"][: -len(".png")] + ".webp"
        text = "".join(f' {key}="{value}"' for key, value in added.items() if key not in said)
        end = "/>" if tag.endswith("/>") else ">"
        return tag[: -len(end)].rstrip() + text + end


def mend_pictures(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    if app.builder.format == "html" and context.get("body"):
        pictures = Pictures(app)
        body = IMG.sub(pictures.mend, context["body"])
        for old, new in pictures.replaced.items():  # in the picture, and in a link to it in its full size
            body = body.replace(f'"{old}"', f'"{new}"')
        context["body"] = body


def drop_replaced(app: Sphinx, exception: Exception | None) -> None:
    """Sphinx copies the PNGs too; where a WebP stands in, no page asks for them."""
    if exception is None and app.builder.format == "html":
        for packed in (Path(app.outdir) / app.builder.imagedir).glob("*.webp"):
            packed.with_suffix(".png").unlink(missing_ok=True)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", mend_pictures, priority=900)
    app.connect("build-finished", drop_replaced)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
