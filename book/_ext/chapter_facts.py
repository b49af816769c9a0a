"""What is known of each chapter: read off the table of contents, its notebook and `book/chapters.toml`."""

from __future__ import annotations

import base64
import json
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

WORDS_A_MINUTE = 180  # of text with formulas in it; a line of code counts as four words
CARD_WIDTH = 720


@dataclass(frozen=True)
class Chapter:
    """One chapter that exists."""

    name: str
    part: str
    title: str
    about: str
    needs: tuple[str, ...]
    run: str
    cells: tuple[dict[str, Any], ...]

    @property
    def docname(self) -> str:
        return f"chapters/{self.name}"

    @property
    def number(self) -> str:
        return self.name[:2]

    @property
    def short(self) -> str:
        """The title up to its colon."""
        return self.title.partition(":")[0]

    def reading_minutes(self) -> int:
        """Minutes to read text and code in sight, to the next five."""
        words = 0
        for cell in self.cells:
            text = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                words += len(re.sub(r"<details>.*?</details>|\$\$.*?\$\$", "", text, flags=re.DOTALL).split())
            elif not {"hide-input", "remove-cell", "remove-input"} & set(cell["metadata"].get("tags", [])):
                words += 4 * len(text.splitlines())
        return max(5, 5 * -(-words // (5 * WORDS_A_MINUTE)))

    def picture(self) -> tuple[bytes, str, tuple[int, int]]:
        """The chapter's first picture as WebP at the width of a card, its words, and its size."""
        for cell in self.cells:
            for output in cell.get("outputs", []):
                if png := output.get("data", {}).get("image/png"):
                    words = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
                    packed, size = _packed("".join(png))
                    return packed, words, size
        raise ValueError(f"{self.docname} has no picture: a chapter begins with its key figure.")

    def claims(self) -> dict[str, dict[str, Any]]:
        """Its claims by their ids, as the stored run recorded them."""
        outputs = (output for cell in self.cells for output in cell.get("outputs", []))
        records = (output.get("metadata", {}).get("xferkit_claim") for output in outputs)
        return {record["id"]: record for record in records if record}


@cache
def _packed(png: str) -> tuple[bytes, tuple[int, int]]:
    packed = BytesIO()
    with Image.open(BytesIO(base64.b64decode(png))) as picture:
        shown = picture.convert("RGB")
        shown.thumbnail((CARD_WIDTH, CARD_WIDTH))
        shown.save(packed, "WEBP", quality=82, method=4)
        return packed.getvalue(), shown.size


def chapters(root: Path) -> list[Chapter]:
    """The chapters that exist, in the order of the table of contents.

    Raises:
        ValueError: `book/chapters.toml` and the table of contents name different chapters.
    """
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    facts = tomllib.loads((root / "book/chapters.toml").read_text(encoding="utf-8"))
    listed = [
        (part["caption"], entry["file"].removeprefix("chapters/"))
        for part in toc["parts"]
        for entry in part["chapters"]
        if entry["file"].startswith("chapters/")
    ]
    if {name for _, name in listed} != set(facts):
        raise ValueError("book/chapters.toml and _toc.yml name different chapters.")
    found = []
    for part, name in listed:
        cells = json.loads((root / f"chapters/{name}.ipynb").read_text(encoding="utf-8"))["cells"]
        first = next("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        title = first.partition("\n")[0].removeprefix("# ").strip()
        fact = facts[name]
        found.append(Chapter(name, part, title, fact["about"], tuple(fact["needs"]), fact["run"], tuple(cells)))
    return found


def colab_address(repository: str, branch: str, docname: str) -> str:
    """Where Google Colab opens a chapter; empty where the repository is not on GitHub or not set."""
    found = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)/?", repository or "")
    return f"https://colab.research.google.com/github/{found[1]}/blob/{branch}/{docname}.ipynb" if found else ""
