"""The book's sources, and the check that `make book` runs over the built pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from scripts import check_book, run_chapters, set_address
from tests.places import BOOK, RESULTS, ROOT

CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
PAGES = sorted(BOOK.rglob("*.md"))


def toc_files() -> list[str]:
    return [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]


def test_every_chapter_and_page_is_in_the_table_of_contents_once() -> None:
    files = toc_files()
    assert len(files) == len(set(files))
    sources = [*run_chapters.find_chapters([]), *PAGES]
    assert set(files) == {path.relative_to(ROOT).with_suffix("").as_posix() for path in sources}


def test_chapters_stand_in_their_order() -> None:
    chapters = [name for name in toc_files() if name.startswith("chapters/")]
    assert chapters == sorted(chapters)


def test_the_book_asks_the_network_for_nothing() -> None:
    sphinx = CONFIG["sphinx"]["config"]
    assert sphinx["intersphinx_mapping"] == {}
    static = BOOK / "_static"
    assert sphinx["html_static_path"] == ["book/_static"]
    assert sphinx["html_math_renderer"] == "katex"
    assert "MIT" in (static / "katex/LICENSE").read_text(encoding="utf-8")
    style = (static / "katex/katex.min.css").read_text(encoding="utf-8")
    named = set(re.findall(r"url\(([^)]*)\)", style))
    assert named == {path.relative_to(static / "katex").as_posix() for path in (static / "katex/fonts").iterdir()}


def test_names_are_ignored_one_by_one() -> None:
    sphinx = CONFIG["sphinx"]["config"]
    assert "nitpick_ignore_regex" not in sphinx
    # A book built outside of git, or from a part of its history, has no dates: that is no fault of the book.
    assert all(kind.startswith("git.") for kind in sphinx["suppress_warnings"])
    for role, name in sphinx["nitpick_ignore"]:
        assert role.startswith("py:") and not name.startswith("xferkit"), f"{name} is ours: mend the reference"


def test_glossary_gives_both_languages() -> None:
    text = (BOOK / "glossary.md").read_text(encoding="utf-8")
    body = "".join(part.split(":::")[0] for part in text.split(":::{glossary}")[1:])
    entries = [block for block in re.split(r"\n(?=\S)", body) if re.search(r"\n  ", block)]
    assert len(entries) > 40
    assert [e.splitlines()[0] for e in entries if not re.search(r"[\u4e00-\u9fff]", e)] == []


def test_pictures_in_the_pages_have_words() -> None:
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"!\[\s*\]\([^)]*\)", text) == [], path.name
        for body in re.findall(r"\{(?:figure|image)\}[^\n]*\n((?::[^\n]*\n)*)", text):
            assert ":alt:" in body, path.name


def test_results_page_names_every_result() -> None:
    page = (BOOK / "results.md").read_text(encoding="utf-8")
    files = sorted(path.name for path in RESULTS.glob("*.json"))
    assert [name for name in files if f"`results/{name}`" not in page] == []
    for name in re.findall(r"`((?:results|experiments)/[^`]+)`", page):
        assert (ROOT / name).exists(), f"book/results.md names {name}, which is not there"


# The check of the built pages, tried on pages with one fault each.

GOOD = """<html lang="en"><head><title>A page</title>
<link rel="stylesheet" href="a.css"><link rel="canonical" href="https://example.org/"></head>
<body><a href="https://example.org">out</a><img src="a.png" alt="a dot">
<h2 id="place">Here</h2><a href="#place">here</a><a href="index.html#place">too</a><a href="#">up</a>
<script src="a.js"></script></body></html>"""

FAULTS = {
    "script": '<script src="https://example.org/x.js"></script>',
    "script without scheme": '<script src="//example.org/x.js"></script>',
    "style sheet": '<link rel="stylesheet" href="https://example.org/x.css">',
    "preconnect": '<link rel="preconnect" href="https://example.org">',
    "picture": '<img src="https://example.org/x.png" alt="a picture">',
    "srcset": '<img src="a.png" srcset="a.png 1x, https://example.org/x.png 2x" alt="a picture">',
    "frame": '<iframe src="https://example.org/"></iframe>',
    "style": "<style>@import 'https://example.org/x.css';</style>",
    "font": "<style>@font-face { src: url(https://example.org/x.woff) }</style>",
    "background": '<p style="background: url(//example.org/x.png)">x</p>',
    "refresh": '<meta http-equiv="refresh" content="0; url=https://example.org">',
    "no words": '<img src="a.png">',
    "empty words": '<img src="a.png" alt=" ">',
    "table as text": "<p>| a | b |\n|---|---|\n| 1 | 2 |</p>",
    "thebe": '<script>const THEBE_JS_URL = "x"</script>',
    "dead link": '<a href="nowhere.html">x</a>',
    "dead anchor": '<a href="#nowhere">x</a>',
    "dead anchor on a page": '<a href="index.html#nowhere">x</a>',
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for name in ("a.css", "a.png", "a.js"):
        (tmp_path / name).write_text("", encoding="utf-8")
    (tmp_path / "index.html").write_text(GOOD, encoding="utf-8")
    return tmp_path


def test_check_passes_a_good_page(site: Path) -> None:
    assert check_book.check(site) == []


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_check_sees_a_fault(site: Path, fault: str) -> None:
    (site / "index.html").write_text(GOOD.replace("</body>", fault + "</body>"), encoding="utf-8")
    assert len(check_book.check(site)) == 1


@pytest.mark.parametrize("lost", ["<title>A page</title>", ' lang="en"'])
def test_check_wants_title_and_language(site: Path, lost: str) -> None:
    (site / "index.html").write_text(GOOD.replace(lost, ""), encoding="utf-8")
    assert len(check_book.check(site)) == 1


def test_check_reads_style_sheets(site: Path) -> None:
    (site / "a.css").write_text("@font-face { src: url('https://example.org/x.woff') }", encoding="utf-8")
    assert len(check_book.check(site)) == 1


def test_check_refuses_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="make book"):
        check_book.check(tmp_path)


def test_digits_card_tells_the_truth() -> None:
    from xferkit.data import load_domain

    card = (BOOK / "data/digits.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in card.splitlines() if line.startswith("| `")]
    small = {row[0].strip("`"): row[2] for row in rows if re.fullmatch(r"[\d,]+( / [\d,]+){2}", row[2])}
    assert set(small) == {"mnist", "uci_digits", "syn_digits", "mnist_m"}
    for name, stated in small.items():
        domain = load_domain(name)
        found = [len(part) for part in (domain.train, domain.val, domain.test)]
        assert [int(number.replace(",", "")) for number in stated.split(" / ")] == found, name


def test_digits_card_names_the_photographs() -> None:
    from xferkit.data.mnist_m import MNIST_M_PHOTOS

    card = (BOOK / "data/digits.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\S+\.(?:png|jpg))` \| ([\w ]+) \|", card, re.MULTILINE))
    part = {"train": "train", "held_out": "val and test"}
    assert rows == {name: part[group] for group, names in MNIST_M_PHOTOS.items() for name in names}


@pytest.mark.parametrize(
    ("network", "parameters", "convolutions", "linear"),
    [("alexnet", "61,100,840", 5, 3), ("vgg16", "138,357,544", 13, 3), ("googlenet", "6,624,904", 57, 1)],
)
def test_counts_on_the_page_of_myths(network: str, parameters: str, convolutions: int, linear: int) -> None:
    """The chapter counts; here they are counted once more, and typed."""
    import torch
    import torchvision

    options = {"aux_logits": False, "init_weights": False} if network == "googlenet" else {}
    with torch.device("meta"):  # shapes without memory
        model = torchvision.models.get_model(network, **options)
    modules = list(model.modules())
    assert f"{sum(p.numel() for p in model.parameters()):,}" == parameters
    assert sum(isinstance(m, torch.nn.Conv2d) for m in modules) == convolutions
    assert sum(isinstance(m, torch.nn.Linear) for m in modules) == linear
    assert parameters in (ROOT / "chapters/24_myths.ipynb").read_text(encoding="utf-8")


def test_address_stands_the_same_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["set_address.py", "--check"])
    assert set_address.main() == 0, "run: python scripts/set_address.py"


def test_address_is_replaced_and_never_lost() -> None:
    pattern = set_address.PLACES["README.md"]
    text = "git clone https://example.org/a course\n"
    assert set_address.with_address(text, pattern, "https://example.org/b") == text.replace("/a", "/b")
    with pytest.raises(ValueError, match="nothing matches"):
        set_address.with_address("no address", pattern, "https://example.org/b")


def test_workflow_pins_its_actions() -> None:
    """A tag can be moved to other code; a commit cannot. The tag stands behind it, for people."""
    workflow = (ROOT / ".github/workflows/book.yml").read_text(encoding="utf-8")
    used = re.findall(r"uses: (.*)", workflow)
    assert used
    assert [use for use in used if not re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v[\d.]+", use)] == []
