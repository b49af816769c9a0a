"""The six npm packages that hold the drawings as SVG: pinned, fetched, checked, read."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE = 128


@dataclass(frozen=True)
class Source:
    """One style: its npm package, pinned by version, by the archive's integrity and by the SHA-256 of its drawings."""

    title: str
    designer: str
    package: str
    version: str
    integrity: str  # of the archive, as npm states it
    sha256: str  # of icons.json
    spdx: str
    licence_file: str
    author: str
    url: str


SOURCES = {
    "noto": Source(
        "Noto Emoji",
        "Google",
        "@iconify-json/noto",
        "1.2.9",
        "sha512-DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
        "9eac6ef4e7ec122b6f0e7ac281d61008afdbc720d0ce861e398b939daaa347c6",
        "Apache-2.0",
        "LICENSE-noto.txt",
        "Google Inc",
        "https://github.com/googlefonts/noto-emoji",
    ),
    "twemoji": Source(
        "Twemoji",
        "Twitter",
        "@iconify-json/twemoji",
        "1.2.5",
        "sha512-uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9yNLlj41WU6/mvgALsw==",
        "5d5d820790565b764f2728675d487c9ee4c1fc83916d8567d5aca8ba7527c242",
        "CC-BY-4.0",
        "LICENSE-twemoji.txt",
        "Twitter",
        "https://github.com/jdecked/twemoji",
    ),
    "openmoji": Source(
        "OpenMoji",
        "OpenMoji",
        "@iconify-json/openmoji",
        "1.2.29",
        "sha512-vXdhkqcXVSO6suy+m9LbcUM3OdVyuNOtpV8/als/WqfkQIRxevL5Geb/g+6GH/Qwnq1OqksEmaDGTCmZ5nFKJQ==",
        "7075331faab544067dbff4236471dd378bb5410aa05799a8a343c9ebf5c5984c",
        "CC-BY-SA-4.0",
        "LICENSE-openmoji.txt",
        "OpenMoji",
        "https://github.com/hfg-gmuend/openmoji",
    ),
    "fluent": Source(
        "Fluent Emoji",
        "Microsoft",
        "@iconify-json/fluent-emoji",
        "1.2.7",
        "sha512-D8G6bKAyIsyxP1rzZtIWr/gg/fO4Rg1+DyCWlfqKK4h8W+4Em/Y0P6QYgJUQTlUcagzJvSyg+9OBv4hz4Hc/QA==",
        "87f3336be6f46747d40d046a15ffa8b23809ff7a1a280b5d3521d3782fb85de7",
        "MIT",
        "LICENSE-fluent.txt",
        "Microsoft Corporation",
        "https://github.com/microsoft/fluentui-emoji",
    ),
    "fluent_flat": Source(
        "Fluent Emoji Flat",
        "Microsoft",
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "sha512-RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
        "f5f4cf457c0db2ad5a2e42e033e02e0c87d10e43d0164cfffb3bb84914970a63",
        "MIT",
        "LICENSE-fluent.txt",
        "Microsoft Corporation",
        "https://github.com/microsoft/fluentui-emoji",
    ),
    "ink": Source(
        "Fluent Emoji High Contrast",
        "Microsoft",
        "@iconify-json/fluent-emoji-high-contrast",
        "1.2.6",
        "sha512-esqhZPpkrF7sNX3NsLoh8KW64okEr/bzko7WNnFP+qTJGAqDPDYjp0925yxuivXy3HtVQB8xhIKu3+Nq1byX5w==",
        "c522fb74fef65ccef67b38dfdbf0f3dcd4353339e4b8faec4aa45faf83ed4739",
        "MIT",
        "LICENSE-fluent.txt",
        "Microsoft Corporation",
        "https://github.com/microsoft/fluentui-emoji",
    ),
}


def fetch(folder: Path) -> None:
    """Download the pinned packages with `npm pack`, compare each archive's SHA-512, and unpack its JSON files."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in SOURCES.values():
        command = ["npm", "pack", "--silent", "--pack-destination", str(folder), f"{source.package}@{source.version}"]
        archive = folder / subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if f"sha512-{digest}" != source.integrity:
            raise ValueError(f"{archive} has integrity sha512-{digest}, not the pinned {source.integrity}.")
        with tarfile.open(archive) as tar:
            for member in tar.getmembers():
                if member.isfile() and member.name.count("/") == 1 and member.name.endswith(".json"):
                    target = folder / source.package / Path(member.name).name
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


def find_drawings(names: Sequence[str], folder: Path) -> tuple[list[str], dict[str, list[str]]]:
    """The code points of the emoji with these names (Noto's), and their SVG in every style.

    Code points decide which drawing is which emoji; Fluent, whose package has no list of code points, goes by the
    names of Fluent Flat, which come from the same designer.

    Raises:
        ValueError: a package is not the pinned one, or a style does not draw one of the emoji.
    """
    icons: dict[str, dict[str, Any]] = {}
    chars: dict[str, dict[str, str]] = {}
    for style, source in SOURCES.items():
        check_licence(source, folder)
        icons[style] = read_json(folder / source.package / "icons.json", source.sha256)
        chars[style] = read_json(folder / source.package / "chars.json")
    chars["fluent"] = chars["fluent_flat"]
    points: dict[str, str] = {}
    for key, name in sorted(chars["noto"].items(), key=lambda item: (len(item[0]), item[0])):
        points.setdefault(name.replace("-", " "), key)  # the shortest, where an old and a new code point share a name
    svgs: dict[str, list[str]] = {style: [] for style in SOURCES}
    for name in names:
        for style in SOURCES:
            icon = chars[style].get(points.get(name, ""), "")
            if icon not in icons[style]["icons"]:
                raise ValueError(f"{style} has no drawing of {name!r}.")
            svgs[style].append(svg(icons[style], icon))
    return [points[name].upper() for name in names], svgs


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
    import resvg_py  # the extra `data`; grouping and splits are tested without it

    png = bytes(resvg_py.svg_to_bytes(svg_string=drawing, width=SIZE, height=SIZE))
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture)
    return np.asarray(white.convert("RGB"))
