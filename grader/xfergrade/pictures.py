"""Figures among a notebook's outputs: PNG and SVG, checked and made again so that nothing else can hide in them."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

MAX_FIGURES = 6  # of one answer
MAX_BYTES, MAX_PIXELS = 6_000_000, 30_000_000  # of one figure: 9 × 8 inches at 600 dpi have 26 million pixels
MAX_SVG = 3_000_000
PNG, SVG = "image/png", "image/svg+xml"
_SVG_NAMES = {"http://www.w3.org/2000/svg": "", "http://www.w3.org/1999/xlink": "xlink:"}
_SHAPES = {"path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan", "image"}
_ELEMENTS = _SHAPES | {"svg", "g", "defs", "use", "clipPath", "title", "desc", "style", "linearGradient", "stop"}
_OUTSIDE = re.compile(r"url\s*\(\s*[\"']?\s*(?!#)|@import|expression|javascript:|\\|<", re.IGNORECASE)


@dataclass(frozen=True)
class Figure:
    """A picture that a page may show: its media type and its bytes in base64."""

    media: str
    data: str


def figures_in(cell: dict[str, Any], notes: list[str], name: str) -> tuple[Figure, ...]:
    """The figures among a cell's outputs and attachments. What cannot be shown is said in `notes`."""
    outputs, attachments = cell.get("outputs"), cell.get("attachments")
    bundles = [o.get("data") for o in outputs if isinstance(o, dict)] if isinstance(outputs, list) else []
    bundles += list(attachments.values()) if isinstance(attachments, dict) else []
    found: list[Figure] = []
    for bundle in bundles:
        if not isinstance(bundle, dict):
            continue
        problem = _other_kind(bundle)
        for media, read in ((PNG, _png), (SVG, _svg)):
            if media in bundle:
                try:
                    figure = read(bundle[media])
                    problem = None if len(found) < MAX_FIGURES else f"only {MAX_FIGURES} figures are shown"
                    found += [figure] if problem is None else []
                    break
                except ValueError as error:
                    problem = str(error)
        if problem is not None:
            notes.append(f"a figure in the cell {name!r} is not shown: {problem}.")
    return tuple(found)


def _other_kind(bundle: dict[str, Any]) -> str | None:
    """What a picture of a kind that cannot be shown is called; None where there is none."""
    for media in sorted(m for m in bundle if isinstance(m, str)):
        if media.startswith(("image/", "application/pdf", "application/vnd.")):
            return f"it is stored as {media[:60]}, and PNG and SVG can be shown"
    return None


def _text(data: Any) -> str:
    if isinstance(data, list) and all(isinstance(line, str) for line in data):
        data = "".join(data)
    if not isinstance(data, str):
        raise ValueError("its data are no text")
    return data


def _png(data: Any) -> Figure:
    text = _text(data)
    if len(text) > MAX_BYTES * 3 // 2:
        raise ValueError(f"it has about {len(text) * 3 // 4:,} bytes, and {MAX_BYTES:,} are read")
    try:
        raw = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it is damaged") from None
    if not raw.startswith(b"\x89PNG\r\n\x1a\n") or raw[12:16] != b"IHDR":
        raise ValueError("it is no PNG")
    width, height = int.from_bytes(raw[16:20], "big"), int.from_bytes(raw[20:24], "big")
    if width * height > MAX_PIXELS:  # a few kilobytes can unpack to gigabytes in whoever looks
        raise ValueError(f"it has {width:,} × {height:,} pixels, and {MAX_PIXELS:,} are shown")
    return Figure(PNG, base64.b64encode(raw).decode())


def _svg(data: Any) -> Figure:
    """Shapes, text and colours of an SVG; links, scripts, animation and whatever else there may be are left out.

    Raises:
        ValueError: too large, not well-formed, or with entities.
    """
    text = _text(data)
    if len(text) > MAX_SVG:
        raise ValueError(f"its SVG has {len(text):,} characters, and {MAX_SVG:,} are read: store it as PNG")
    if "<!ENTITY" in text:
        raise ValueError("its SVG has entities of its own")
    try:
        root = ElementTree.fromstring(re.sub(r"<!DOCTYPE[^>\[]*>", "", text, count=1))
    except ElementTree.ParseError:
        raise ValueError("its SVG is not well-formed") from None
    # A `use` may name a shape and nothing larger: groups that use groups double with every level.
    shapes = {e.get("id") for e in root.iter() if _name(e.tag) in _SHAPES}
    kept = _clean(root, shapes, 0)
    if kept is None or kept.tag != "svg":
        raise ValueError("it is no SVG")
    kept.set("xmlns", "http://www.w3.org/2000/svg")
    kept.set("xmlns:xlink", "http://www.w3.org/1999/xlink")
    return Figure(SVG, base64.b64encode(ElementTree.tostring(kept)).decode())


def _name(tag: Any) -> str:
    """`path` for an SVG element's tag, "" for anything else."""
    space, _, name = tag[1:].rpartition("}") if isinstance(tag, str) and tag.startswith("{") else ("", "", str(tag))
    return _SVG_NAMES[space] + name if space in _SVG_NAMES else "" if space else name


def _clean(element: ElementTree.Element, shapes: set[str | None], depth: int) -> ElementTree.Element | None:
    name = _name(element.tag)
    if name not in _ELEMENTS or depth > 100:
        return None
    copy = ElementTree.Element(name)
    copy.text, copy.tail = element.text, element.tail
    if name == "style" and _OUTSIDE.search(element.text or ""):
        return None
    for key, value in element.attrib.items():
        key = _name(key)
        if key.rpartition(":")[2] == "href":
            if name == "image" and value.startswith("data:image/png;base64,"):
                try:
                    value = f"data:image/png;base64,{_png(value.partition(',')[2]).data}"
                except ValueError:
                    return None
            elif name != "use" or value[:1] != "#" or value[1:] not in shapes:
                return None
        elif not key or key.lower().startswith("on") or _OUTSIDE.search(value):
            continue
        copy.set(key, value)
    copy.extend(c for c in (_clean(child, shapes, depth + 1) for child in element) if c is not None)
    return copy
