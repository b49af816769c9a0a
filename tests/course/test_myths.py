"""Each entry of the page of myths can be sent as a link: it is whole by itself, and its address stays."""

from __future__ import annotations

import re

import pytest
from docutils.nodes import make_id

from scripts import chapter_text, run_chapters
from tests.places import CHAPTERS

CELLS = run_chapters.read(CHAPTERS / "24_myths.ipynb").cells
VERDICT = re.compile(r"^\*\*(False|Half true|True only)\b", re.MULTILINE)
# Somebody may have sent these addresses. New entries are added; none is renamed or taken out.
SENT = """
    alexnet-ends-in-global-average-pooling alexnet-has-62-million-parameters
    small-filters-keep-vgg-smaller-than-alexnet googlenet-has-no-fully-connected-layer
    the-22-layers-of-googlenet-are-22-convolutions resnet-50-is-48-convolutions-and-two-poolings
    two-small-convolutions-equal-one-large-one fewer-parameters-make-a-faster-network
    resnet-cured-vanishing-gradients very-deep-plain-networks-fail-by-overfitting
    without-gradients-a-layer-is-frozen evaluation-mode-switches-gradients-off
    a-classifier-must-end-in-a-softmax all-imagenet-networks-want-the-same-normalisation
    with-few-pictures-freeze-fine-tuning-overfits fine-tuning-beats-frozen-features
    pretraining-always-ends-better dann-trains-two-copies-of-the-target-network
    gradient-reversal-inverts-the-loss-of-the-discriminator a-discriminator-at-chance-proves-alignment
    features-that-look-alike-carry-the-classifier-over the-layer-before-the-head-has-the-best-features
    the-last-layers-of-alexnet-can-be-copied-into-googlenet a-convolutional-network-is-blind-to-shifts
    networks-know-objects-by-their-shape batchnorm-works-by-reducing-internal-covariate-shift
    the-better-on-imagenet-the-better-it-transfers the-jigsaw-task-asks-for-the-style-of-a-picture
    the-jigsaw-paper-uses-64-permutations solving-the-pretext-task-better-means-better-features
    one-resnet-152-won-imagenet-2015 networks-see-better-than-people imagenet-networks-saw-14-million-pictures
    a-fixed-seed-makes-a-result-repeatable vgg-won-imagenet-2014 vgg-was-trained-from-the-weights-of-alexnet
    alexnet-invented-relu-dropout-and-training-on-gpus resnet-invented-the-skip-connection
    googlenet-introduced-global-average-pooling transfer-learning-began-with-dann
""".split()


def entries() -> list[tuple[str, str]]:
    """Words and text of each entry."""
    found = [re.match(r"### “(.+)”\n\n(.*)", cell.source, re.DOTALL) for cell in CELLS]
    return [(match[1], match[2]) for match in found if match]


def address(words: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")


def faults(words: str, text: str) -> list[str]:
    """What an entry lacks."""
    seen = re.search(r"^\*Seen:\* (.+)", text, re.MULTILINE)
    found = []
    if not seen or not re.search(r"\]\(https?://|common talk|widely copied", seen[1]):
        found.append("where it was seen")
    if not VERDICT.search(text):
        found.append("a verdict")
    if not re.search(r"^\*Source:\* \S.*\*Check:\* \S", text, re.MULTILINE):
        found.append("source and check")
    if make_id(words) != address(words):
        found.append("one address in the book and on GitHub")
    return found


@pytest.mark.parametrize(("words", "text"), entries(), ids=[address(words) for words, _ in entries()])
def test_an_entry_is_whole(words: str, text: str) -> None:
    assert faults(words, text) == []


def test_addresses_stay() -> None:
    there = [address(words) for words, _ in entries()]
    assert len(there) == len(set(there)) >= 40
    assert [one for one in SENT if one not in there] == []
    assert set(there) == set(SENT), "add the new address to SENT"


def test_what_says_below_is_followed_by_code() -> None:
    for cell, after in zip(CELLS, CELLS[1:], strict=False):
        if cell.source.startswith("### “"):
            says = bool(re.search(r"\*Check:\* (?:below|\[chapter|its|their)", cell.source))
            assert (after.cell_type == "code") == says, cell.source[:60]


def test_entries_are_headings_of_the_third_level() -> None:
    heads = chapter_text.headings(chapter_text.markdown_of(run_chapters.read(CHAPTERS / "24_myths.ipynb")))
    assert sum(level == 3 for level, _ in heads) == len(entries())


WHOLE = "*Seen:* common talk.\n\n**False.** It is not.\n\n*Source:* a paper. *Check:* from the paper."


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("A claim", WHOLE.replace("common talk", "somewhere")),
        ("A claim", WHOLE.replace("False", "Perhaps")),
        ("A claim", WHOLE.replace("*Check:*", "Check")),
        ("3.57 % is its error", WHOLE),
    ],
)
def test_what_an_entry_lacks_is_seen(words: str, text: str) -> None:
    assert faults("A claim", WHOLE) == []
    assert len(faults(words, text)) == 1
