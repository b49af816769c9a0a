"""Splits, domains and how they are cut: what belongs together stays together, and no index is cast in silence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from data_toys import generator, ramp

from xferkit.data import Domain, Split, few_labels
from xferkit.data.split import stratified_parts


def test_a_split_checks_what_it_is_given() -> None:
    y = torch.zeros(2, dtype=torch.int64)
    with pytest.raises(TypeError, match=r"torch.float32, but must be uint8.*neither divided by 255"):
        Split(torch.zeros(2, 3, 4, 4), y)
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\), not \(2, 1, 4, 4\)"):
        Split(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), y)
    with pytest.raises(ValueError, match="3 pictures but 2 labels"):
        Split(torch.zeros(3, 3, 4, 4, dtype=torch.uint8), y)


def test_a_subset_keeps_pictures_labels_names_and_groups_together() -> None:
    part = ramp().subset([7, 2, 2])
    assert part.x[:, 0, 0, 0].tolist() == [7, 2, 2] and part.y.tolist() == [1, 2, 2]
    assert part.names == ("p7", "p2", "p2") and part.groups is not None and part.groups.tolist() == [3, 1, 1]
    assert len(part) == 3


def test_few_labels_draws_the_same_number_of_each_class() -> None:
    split = ramp(100, classes=4)
    few = few_labels(split, 5, generator())
    assert few.y.bincount().tolist() == [5] * 4 and few.x.flatten(1)[:, 0].unique().numel() == 20
    assert few.names == few_labels(split, 5, generator()).names != few_labels(split, 5, generator(1)).names
    assert few_labels(split, 30, generator()).y.bincount().tolist() == [25] * 4  # all that there are


# ------------------------------------------------------------------------------------------------ positions and masks


@pytest.mark.parametrize("kind", ["tensor", "array", "list"])
def test_a_mask_picks_where_it_is_true(kind: str) -> None:
    split = ramp()
    mask = split.y == 2
    given = {"tensor": mask, "array": mask.numpy(), "list": mask.tolist()}[kind]
    part = split.subset(given)
    assert part.names == ("p2", "p5", "p8") and part.y.tolist() == [2, 2, 2]
    assert len(split.subset(split.y == 7)) == 0


@pytest.mark.parametrize(
    "positions",
    [
        [7, 0, -1],
        (7, 0, 9),
        torch.tensor([7, 0, 9], dtype=torch.int16),
        np.array([7, 0, -1], dtype=np.int8),
        np.array([9, 0, 7])[::-1],
        iter([7, 0, 9]),
        [np.int64(7), torch.tensor(0), 9],
    ],
)
def test_positions_of_any_whole_kind_pick_the_same(positions: object) -> None:
    assert ramp().subset(positions).names == ("p7", "p0", "p9")


def test_no_picture_at_all_is_an_empty_split_that_keeps_its_class_names() -> None:
    for nothing in ([], range(0), torch.tensor([]), np.array([])):
        part = replace(ramp(), classes=("a", "b", "c")).subset(nothing)
        assert len(part) == 0 and part.names == () and part.x.shape == (0, 3, 4, 4) and part.classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (torch.ones(9, dtype=torch.bool), ValueError, "mask has 9 truth values for 10 pictures"),
        (torch.ones(10, 1, dtype=torch.bool), ValueError, r"not the shape \(10, 1\)"),
        (torch.zeros(2, 2, dtype=torch.int64), ValueError, r"not the shape \(2, 2\)"),
        (torch.tensor(3), ValueError, r"one dimension, not the shape \(\)"),
        ([1.0, 2.0], TypeError, "float32, but must be whole numbers"),
        (np.array([1.5]), TypeError, "float64, but must be whole numbers"),
        (torch.tensor([1, 0], dtype=torch.uint8), TypeError, r"uint8 may be meant as a mask or as positions"),
        ([True, 2], TypeError, "truth values are mixed with positions"),
        ("12", TypeError, "by positions or by a mask, not by this str"),
        (3, TypeError, "not by this int"),
        (slice(0, 3), TypeError, "not by this slice"),
        (None, TypeError, "not by this NoneType"),
        ([0, 10], IndexError, "from 0 to 10, but there are 10 pictures"),
        ([-11], IndexError, "from -11 to -11"),
    ],
)
def test_what_is_neither_positions_nor_a_mask_is_refused(wrong: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        ramp().subset(wrong)


@pytest.mark.parametrize(
    ("count", "error"), [(-1, ValueError), (0, ValueError), (2.0, TypeError), (True, TypeError), (None, TypeError)]
)
def test_a_count_is_a_positive_whole_number(count: object, error: type) -> None:
    with pytest.raises(error, match=f"per_class={count}"):
        few_labels(ramp(), count, generator())


def test_few_labels_takes_numpy_integers_and_needs_labels_and_a_generator() -> None:
    assert len(few_labels(ramp(), np.int64(2), generator())) == 6
    with pytest.raises(TypeError, match=r"generator=0 must be a torch.Generator"):
        few_labels(ramp(), 2, 0)
    with pytest.raises(ValueError, match="empty"):
        few_labels(ramp().subset([]), 2, generator())
    with pytest.raises(ValueError, match="labels hold -1"):
        few_labels(replace(ramp(), y=torch.full((10,), -1)), 2, generator())


# ---------------------------------------------------------------------------------------- what a split and a domain are


X = torch.zeros(3, 3, 4, 4, dtype=torch.uint8)
Y = torch.tensor([0, 1, 2])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"y": Y.float()}, TypeError, "labels are torch.float32"),
        ({"y": Y > 0}, TypeError, "labels are torch.bool"),
        ({"y": [0, 1, 2]}, TypeError, "labels must be an int64 tensor"),
        ({"y": Y[:, None]}, ValueError, r"labels must have the shape \(N,\), not \(3, 1\)"),
        ({"y": Y.to("meta")}, ValueError, "labels hold no values"),
        ({"x": X.to("meta")}, ValueError, "pictures hold no values"),
        ({"x": X.numpy()}, TypeError, "not ndarray"),
        ({"x": X[:, :, :0]}, ValueError, "no pixels"),
        ({"names": ("a", "b")}, ValueError, "3 pictures but 2 names"),
        ({"names": "abc"}, TypeError, "names must be strings in a tuple"),
        ({"names": (1, 2, 3)}, TypeError, "names must be strings"),
        ({"groups": torch.arange(4)}, ValueError, "3 pictures but 4 groups"),
        ({"groups": torch.zeros(3)}, TypeError, "groups are torch.float32"),
        ({"classes": ("a", "b")}, ValueError, "labels go up to 2, but there are 2 class names"),
        ({"classes": ("a", "b", "a")}, ValueError, "twice"),
        ({"classes": "abc"}, TypeError, "classes must be strings in a tuple"),
    ],
)
def test_parts_of_a_split_that_do_not_belong_together_are_refused(
    arguments: dict[str, object], error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        Split(**({"x": X, "y": Y} | arguments))


def test_a_split_takes_what_is_right_in_another_form() -> None:
    """Other integer types, lists of names, strided and transposed pictures, and names that repeat."""
    photos = torch.arange(3 * 5 * 4 * 3, dtype=torch.uint8).view(3, 5, 4, 3)
    split = Split(photos.permute(0, 3, 1, 2), Y.to(torch.uint8), ["a", "a", "b"], Y.int(), ["u", "v", "w"])
    assert split.y.dtype == split.groups.dtype == torch.int64
    assert split.names == ("a", "a", "b") and split.classes == ("u", "v", "w")
    assert torch.equal(split.subset([2, 1]).x, photos.permute(0, 3, 1, 2).contiguous()[[2, 1]])
    assert Split(X, torch.tensor([-1, 1, -100]), classes=("u", "v")).y.tolist() == [-1, 1, -100]  # without a label


def test_class_names_travel_with_the_labels() -> None:
    split = Split(X, Y, classes=("cat", "dog", "owl"))
    assert split.subset([0]).classes == few_labels(split, 1, generator()).classes == ("cat", "dog", "owl")
    bare = Split(X, Y)
    for domain in (Domain("d", split, bare, bare), Domain("d", bare, bare, bare, ("cat", "dog", "owl"))):
        assert domain.classes == domain.train.classes == domain.val.classes == domain.test.classes == split.classes


def test_a_domains_splits_must_agree() -> None:
    split = Split(X, Y, classes=("cat", "dog", "owl"))
    other = replace(split, classes=("cat", "owl", "dog"))
    with pytest.raises(ValueError, match="classes of train are .*'cat', 'dog', 'owl'.*of test .*'cat', 'owl', 'dog'"):
        Domain("d", split, split, other)
    with pytest.raises(ValueError, match="classes of the domain are"):
        Domain("d", split, split, split, other.classes)
    with pytest.raises(ValueError, match="not named"):
        Domain("d", Split(X, Y), Split(X, Y), Split(X, Y))
    with pytest.raises(ValueError, match="val has no pictures"):
        Domain("d", split, split.subset([]), split)
    with pytest.raises(ValueError, match="train are 4×4 px, of test 4×3 px"):
        Domain("d", split, split, replace(split, x=X[..., :3]))


# ---------------------------------------------------------------------------------------------------------------- cuts


@pytest.mark.parametrize("sizes", [(3, 3), (50, 3), (7, 4), (101, 17, 4), (5, 1000)])
def test_every_part_has_its_share_of_each_class(sizes: tuple[int, ...]) -> None:
    y = torch.cat([torch.full((n,), c) for c, n in enumerate(sizes)])
    parts = stratified_parts(y, (0.2, 0.2), 0, "abcdef"[: len(sizes)])
    assert torch.cat(parts).sort().values.tolist() == list(range(len(y)))
    for c, n in enumerate(sizes):
        train, val, test = (int((y[part] == c).sum()) for part in parts)
        assert val == test == max(1, round(n / 5)) and train >= 1
    again, other = (stratified_parts(y, (0.2, 0.2), seed, "abcdef"[: len(sizes)]) for seed in (0, 1))
    assert all(map(torch.equal, parts, again))
    assert len(y) < 10 or not all(map(torch.equal, parts, other))


def test_a_class_too_small_for_every_part_is_named() -> None:
    with pytest.raises(ValueError, match="class 'dog' has 2 pictures, but each class needs at least 3"):
        stratified_parts(torch.tensor([0] * 50 + [1] * 2), (0.2, 0.2), 0, ("cat", "dog"))
