"""Domains by name: whole, disjoint, and the reader's own to change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from data_toys import DIGIT_SETS, digest, parts

from xferkit.data import Split, list_domains, load_domain


@pytest.mark.parametrize("name", DIGIT_SETS)
def test_digit_domains_have_all_classes_in_every_part(name: str) -> None:
    domain = load_domain(name)
    assert domain.name == name and domain.classes == tuple("0123456789")
    for part in parts(domain).values():
        assert part.x.shape[1:] == (3, 28, 28) and part.x.dtype == torch.uint8 and part.y.dtype == torch.int64
        counts = part.y.bincount(minlength=10)
        assert counts.min() > 0.8 * counts.max()
    assert f"{len(domain.train)} / {len(domain.val)} / {len(domain.test)}" in str(domain)


def test_the_real_digits_are_all_there_once() -> None:
    """5,000 of MNIST and 1,797 of UCI, no picture twice."""
    for name, total in (("mnist", 5000), ("uci_digits", 1797)):
        pictures = {digest(p) for part in parts(load_domain(name)).values() for p in part.x}
        assert len(pictures) == total


@pytest.mark.parametrize("name", ["mnist", "uci_digits", "syn_digits", "mnist_m"])
def test_no_test_picture_is_in_any_domains_training_or_validation_part(name: str) -> None:
    held_out = {digest(p) for p in load_domain(name).test.x}
    assert len(held_out) == len(load_domain(name).test)
    for other in DIGIT_SETS:
        domain = load_domain(other)
        assert not held_out & {digest(p) for part in (domain.train, domain.val) for p in part.x}, other


def test_another_size_is_the_same_picture_smaller() -> None:
    domain, small = load_domain("mnist"), load_domain("mnist", image_size=14)
    assert small.test.x.shape == (1000, 3, 14, 14) and torch.equal(small.test.y, domain.test.y)
    blocks = torch.nn.functional.avg_pool2d(domain.test.x.float(), 2)
    assert (small.test.x.float() - blocks).abs().mean() < 8
    assert load_domain("mnist").test.x.shape[-1] == 28  # the cached one is not touched
    with pytest.raises(ValueError, match="image_size=0"):
        load_domain("mnist", image_size=0)


def test_an_unknown_domain_names_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XFERKIT_PROFILE", "small")
    with pytest.raises(ValueError) as caught:
        load_domain("minst")
    assert "'minst'" in str(caught.value) and all(name in str(caught.value) for name in list_domains())
    with pytest.raises(ValueError, match="XFERKIT_PROFILE=full"):
        load_domain("usps")
    assert set(DIGIT_SETS) < set(list_domains()) and "usps" not in list_domains()
    monkeypatch.setenv("XFERKIT_PROFILE", "full")
    assert {"usps", "svhn"} < set(list_domains())


def test_an_image_size_is_a_whole_number() -> None:
    for name in ("mnist", "emoji_noto"):
        for size in (14.0, True, "14"):
            with pytest.raises(TypeError, match="image_size"):
                load_domain(name, image_size=size)
        assert load_domain(name, image_size=np.int64(14)).train.x.shape[-1] == 14
    with pytest.raises(ValueError, match="image_size=7.*8 to 128"):
        load_domain("emoji_noto", image_size=7)


@pytest.mark.parametrize("name", [*DIGIT_SETS, "emoji_noto"])
@pytest.mark.parametrize("size", [None, 20])
def test_what_a_reader_changes_is_his_own(name: str, size: int | None) -> None:
    before = load_domain(name, image_size=size)
    kept = [t.clone() for part in parts(before).values() for t in tensors(part)]
    spoiled = load_domain(name, image_size=size)
    for part in parts(spoiled).values():
        for t in tensors(part):
            t.zero_()
    again = [t for part in parts(load_domain(name, image_size=size)).values() for t in tensors(part)]
    assert all(map(torch.equal, again, kept)) and len(again) == len(kept)
    # Nor do the parts of one domain share memory with each other or with an earlier call.
    assert all(map(torch.equal, [t for part in parts(before).values() for t in tensors(part)], kept))


def tensors(split: Split) -> list[torch.Tensor]:
    return [split.x, split.y] + ([] if split.groups is None else [split.groups])


@pytest.mark.parametrize("name", [*DIGIT_SETS, "emoji_noto"])
def test_a_domains_class_names_are_those_of_its_splits(name: str) -> None:
    for domain in (load_domain(name), load_domain(name, image_size=20)):
        assert {part.classes for part in parts(domain).values()} == {domain.classes}
        assert int(domain.train.y.max()) == len(domain.classes) - 1
