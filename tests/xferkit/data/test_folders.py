"""A reader's own pictures: every layout is read as meant or refused with the reason."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from data_toys import REAL, real
from PIL import Image

from xferkit.data import Domain, image_folder
from xferkit.data.pictures import read_picture

pytestmark = pytest.mark.filterwarnings("error")  # a test that is not about a warning gets none


def names_of(domain: Domain) -> dict[str, set[str]]:
    return {part: set(getattr(domain, part).names) for part in ("train", "val", "test")}


def write_folder(root: Path, classes: dict[str, int], size: tuple[int, int] = (40, 30)) -> None:
    for c, (name, n) in enumerate(classes.items()):
        (root / name).mkdir(parents=True)
        for i in range(n):
            number = int(hashlib.sha256(f"{root}/{name}/{i}".encode()).hexdigest()[:4], 16)  # no two are the same
            picture = Image.new("RGB", size, (50 * c, number % 256, number // 256))
            picture.save(root / name / f"{root.name}_{name}_{i}.png")


def test_a_folder_of_classes_is_split_60_20_20(tmp_path: Path) -> None:
    write_folder(tmp_path / "pets", {"cat": 20, "dog": 10})
    domain = image_folder(tmp_path / "pets", image_size=24)
    assert domain.name == "pets" and domain.classes == ("cat", "dog")
    names = names_of(domain)
    assert not names["train"] & names["val"] and not (names["train"] | names["val"]) & names["test"]
    assert len(set().union(*names.values())) == 30
    counts = [getattr(domain, part).y.bincount().tolist() for part in ("train", "val", "test")]
    assert counts == [[12, 6], [4, 2], [4, 2]]
    assert domain.train.x.shape == (18, 3, 24, 24)
    for part in (domain.train, domain.val, domain.test):
        assert part.x[:, 0, 0, 0].tolist() == [50 * c for c in part.y.tolist()]
        assert all(name.split("_")[1] == domain.classes[c] for name, c in zip(part.names, part.y.tolist(), strict=True))
    assert names_of(image_folder(tmp_path / "pets", image_size=24)) == names
    assert names_of(image_folder(tmp_path / "pets", image_size=24, seed=1)) != names


def test_train_and_val_alone_keep_val_for_the_end(tmp_path: Path) -> None:
    for part, n in (("train", 10), ("val", 4)):
        write_folder(tmp_path / part, {"cat": n, "dog": n})
    domain = image_folder(tmp_path, image_size=16)
    assert (len(domain.train), len(domain.val), len(domain.test)) == (16, 4, 8)
    assert all(name.startswith("val_") for name in domain.test.names or ())
    assert all(name.startswith("train_") for name in (domain.train.names or ()) + (domain.val.names or ()))
    assert not names_of(domain)["train"] & names_of(domain)["val"]


def test_train_val_and_test_are_taken_as_they_are(tmp_path: Path) -> None:
    for part, n in (("train", 5), ("val", 3), ("test", 2)):
        write_folder(tmp_path / part, {"cat": n, "dog": n})
    domain = image_folder(tmp_path, image_size=16)
    for part, n in (("train", 10), ("val", 6), ("test", 4)):
        names = getattr(domain, part).names
        assert len(names) == n and all(name.startswith(f"{part}_") for name in names)


def test_pictures_are_scaled_by_the_short_side_and_cut_to_the_middle(tmp_path: Path) -> None:
    """Left half red, right half blue, twice as wide as high: the cut shows both halves alike, undistorted."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        picture = np.zeros((70, 140, 3), np.uint8)
        picture[:, :70, 0], picture[:, 70:, 2] = 255, 255
        picture[25:45, 60:80, 1] = 255  # a green square, 20 pixels wide and high, in the middle
        for i in range(3):
            picture[60, 50, 1] = 10 * i + (name == "b")  # no two are the same
            Image.fromarray(picture).save(tmp_path / name / f"{i}.png")
    x = image_folder(tmp_path, image_size=56).train.x[0].float()
    assert x[0, :, :20].mean() > 250 and x[2, :, -20:].mean() > 250
    green = x[1] > 127
    assert abs(int(green.any(0).sum()) - 18) <= 1 and abs(int(green.any(1).sum()) - 18) <= 1  # 20 · 64 / 70
    assert abs(float(green.nonzero().float().mean()) - 27.5) < 0.6


def test_grey_and_transparent_pictures_become_rgb(tmp_path: Path) -> None:
    for name, mode in (("a", "L"), ("b", "RGBA")):
        (tmp_path / name).mkdir()
        for i in range(5):
            Image.new(mode, (20, 20), i if mode == "L" else (0, 0, 99, 255 - i)).save(tmp_path / name / f"{i}.png")
    assert image_folder(tmp_path, image_size=8).train.x.shape == (6, 3, 8, 8)


def test_folders_that_are_no_domain_are_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere is not a folder"):
        image_folder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(OSError, match="empty: expected one sub-folder of pictures for each class"):
        image_folder(tmp_path / "empty")
    write_folder(tmp_path / "lonely", {"cat": 3})
    with pytest.raises(ValueError, match="at least two"):
        image_folder(tmp_path / "lonely")
    write_folder(tmp_path / "odd" / "train", {"cat": 3, "dog": 3})
    with pytest.raises(ValueError, match="must be val/ or test/"):
        image_folder(tmp_path / "odd")
    write_folder(tmp_path / "odd" / "val", {"cat": 3, "cow": 3})
    with pytest.raises(ValueError, match="'dog'.*'cow'"):
        image_folder(tmp_path / "odd")


@pytest.mark.parametrize("keep", [0, 60])
def test_a_damaged_picture_is_named(keep: int, tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 3, "dog": 3})
    victim = sorted((tmp_path / "dog").glob("*.png"))[1]
    victim.write_bytes(victim.read_bytes()[:keep])
    with pytest.raises(OSError, match=f"{victim.name} is not a readable picture"):
        image_folder(tmp_path)


# -------------------------------------------------------------------------------------------------------------- layouts


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val", "test"),
        ("Train", "Val", "Test"),
        ("training", "validation", "testing"),
        ("TRAINING", "valid", "TEST"),
        ("train", "dev", "test"),
    ],
)
def test_parts_go_by_their_usual_names(names: tuple[str, str, str], tmp_path: Path) -> None:
    for name, n in zip(names, (5, 3, 2), strict=True):
        write_folder(tmp_path / name, {"cat": n, "dog": n})
    domain = image_folder(tmp_path, image_size=8)
    assert domain.classes == ("cat", "dog") == domain.train.classes == domain.val.classes == domain.test.classes
    for part, name, n in zip(("train", "val", "test"), names, (5, 3, 2), strict=True):
        found = getattr(domain, part).names
        assert len(found) == 2 * n and all(f.startswith(f"{name}_") for f in found)


@pytest.mark.parametrize(("train", "test"), [("Train", "Test"), ("Training", "Testing"), ("train", "valid")])
def test_two_parts_are_train_and_test(train: str, test: str, tmp_path: Path) -> None:
    write_folder(tmp_path / train, {"cat": 10, "dog": 20})
    write_folder(tmp_path / test, {"cat": 4, "dog": 4})
    domain = image_folder(tmp_path, image_size=8)
    assert [getattr(domain, part).y.bincount().tolist() for part in ("train", "val", "test")] == [
        [8, 16],
        [2, 4],
        [4, 4],
    ]
    assert all(name.startswith(f"{test}_") for name in domain.test.names or ())


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    """Vehicles: bus, car, train. Its pictures lie in it, as in the other classes."""
    write_folder(tmp_path / "vehicles", {"bus": 5, "car": 5, "train": 5})
    domain = image_folder(tmp_path / "vehicles", image_size=8)
    assert domain.classes == ("bus", "car", "train") and len(domain.train) == 9
    write_folder(tmp_path / "both" / "train", {"bus": 5, "train": 5})
    write_folder(tmp_path / "both" / "test", {"bus": 5, "train": 5})
    assert image_folder(tmp_path / "both", image_size=8).classes == ("bus", "train")


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["val/cat", "val/dog", "test/cat", "test/dog"], "there is test, val, but no train: nothing to learn from"),
        (["test/cat", "test/dog"], "no train"),
        (["train/cat", "train/dog"], "beside train/ there must be val/ or test/.*give that folder itself"),
        (["train/cat", "train/dog", "cat"], "train are names of parts, but cat beside them is not"),
        (["train/freight", "train/ice", "bus"], "names of parts, but bus"),
        (["train", "test"], "test holds pictures itself: put them into one sub-folder for each class"),
        (["train/cat", "train/dog", "test"], "test holds pictures itself"),
        (["train/a", "train/b", "val/a", "val/b", "valid/a", "valid/b"], "val and valid are both the val part"),
        (["Train/a", "Train/b", "train/a", "train/b"], "Train and train are both the train part"),
        (["cat/train", "cat/test", "dog/train", "dog/test"], "the class cat holds test, train.*put the parts on top"),
        (["data/train/cat", "data/train/dog", "data/test/cat", "data/test/dog"], "Give .*data itself"),
        (["photo/cat", "photo/dog", "sketch/cat", "sketch/dog"], "no picture lies in a class itself, only deeper"),
        (["pets/cat", "pets/dog"], "only deeper.*Give a folder whose sub-folders are the classes"),
        (["train/cat", "train/dog", "test/Cat", "test/dog"], r"must be the same, but \['Cat', 'cat'\] are in one"),
        (["only"], "only the class 'only'"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused_with_the_reason(
    folders: list[str], message: str, tmp_path: Path
) -> None:
    for folder in folders:
        write_folder((tmp_path / folder).parent, {Path(folder).name: 4})
    with pytest.raises(ValueError, match=message):
        image_folder(tmp_path, image_size=8)


def test_hidden_folders_and_files_are_no_pictures(tmp_path: Path) -> None:
    """Notebooks' checkpoints, version control, and what macOS puts beside files and into archives."""
    write_folder(tmp_path, {"cat": 5, "dog": 5})
    plain = image_folder(tmp_path, image_size=8)
    for hidden in (".ipynb_checkpoints", ".git", "__MACOSX", "cat/.ipynb_checkpoints", "cat/__MACOSX"):
        shutil.copytree(tmp_path / "dog", tmp_path / hidden)
    (tmp_path / "cat" / "._cat_0.png").write_bytes(b"Mac OS X")
    (tmp_path / "cat" / ".DS_Store").write_bytes(b"Mac OS X")
    (tmp_path / "README.md").write_text("What this is.")
    domain = image_folder(tmp_path, image_size=8)
    assert domain.classes == plain.classes and names_of(domain) == names_of(plain)


def test_pictures_in_folders_of_a_class_belong_to_it(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 5, "dog": 5})
    write_folder(tmp_path / "cat", {"kittens": 5})
    domain = image_folder(tmp_path, image_size=8)
    assert domain.classes == ("cat", "dog")
    assert sum(split.y.bincount() for split in (domain.train, domain.val, domain.test)).tolist() == [10, 5]


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_linked_classes_are_read_and_links_inside_a_class_are_not_followed(tmp_path: Path) -> None:
    """They can go in circles, or up to the other classes, whose pictures would count as this one's."""
    root = tmp_path / "pets"
    write_folder(root, {"cat": 5})
    write_folder(tmp_path / "elsewhere", {"dog": 5})
    (root / "dog").symlink_to(tmp_path / "elsewhere" / "dog")
    (root / "cat" / "circle").symlink_to(root / "cat")
    (root / "cat" / "up").symlink_to(root)
    (root / "cat" / "broken.png").symlink_to(tmp_path / "gone.png")
    with pytest.warns(UserWarning, match=r"3 files were left out \(2 × no ending, 1 × .png\), such as cat.broken.png"):
        domain = image_folder(root, image_size=8)
    assert domain.classes == ("cat", "dog")
    assert sum(split.y.bincount() for split in (domain.train, domain.val, domain.test)).tolist() == [5, 5]


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 5, "dog": 5})
    for name in ("cat/a.heic", "cat/b.HEIC", "dog/notes.txt", "dog/noending", "stray.jpg"):
        (tmp_path / name).write_bytes(b"")
    if os.name == "posix":
        os.mkfifo(tmp_path / "dog" / "pipe.png")  # reading it would wait for ever
    with pytest.warns(UserWarning, match="files were left out") as caught:
        domain = image_folder(tmp_path, image_size=8)
    message = str(caught[0].message)
    assert len(caught) == 1 and f"{5 + (os.name == 'posix')} files" in message
    for part in ("2 × .heic", "1 × .txt", "1 × no ending", "1 × pictures beside the classes", "stray.jpg"):
        assert part in message
    assert caught[0].filename == __file__
    assert len(domain.train) + len(domain.val) + len(domain.test) == 10


def test_a_class_without_pictures_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 5, "dog": 5})
    (tmp_path / "owl").mkdir()
    with pytest.raises(OSError, match="owl has none among its 0 files"):
        image_folder(tmp_path, image_size=8)
    (tmp_path / "owl" / "a.heic").write_bytes(b"")
    with pytest.raises(OSError, match=r"owl has none among its 1 files. Pictures end in .*\.png.*convert"):
        image_folder(tmp_path, image_size=8)


def test_the_current_folder_has_a_name_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "pets", {"cat": 5, "dog": 5})
    monkeypatch.chdir(tmp_path / "pets")
    for here in (".", "", "../pets", Path()):
        assert image_folder(here, image_size=8).name == "pets"
    with pytest.raises(OSError, match="~nobody-of-this-name.*Give the whole path"):
        image_folder("~nobody-of-this-name/pets")


def test_sizes_and_seeds_are_whole_numbers(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 5, "dog": 5})
    assert image_folder(tmp_path, image_size=np.int64(8), seed=np.int64(1)).train.x.shape == (6, 3, 8, 8)
    for wrong in ({"image_size": 8.0}, {"image_size": None}, {"seed": 0.5}, {"seed": True}):
        with pytest.raises(TypeError, match="must be a whole number"):
            image_folder(tmp_path, **wrong)
    for wrong in ({"image_size": 0}, {"seed": -1}):
        with pytest.raises(ValueError, match="must be at least"):
            image_folder(tmp_path, **wrong)


# ----------------------------------------------------------------------------------------------- tiny folders and twins


@pytest.mark.parametrize("sizes", [(3, 3), (50, 3), (4, 9), (13, 50)])
def test_every_part_has_every_class(sizes: tuple[int, int], tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": sizes[0], "dog": sizes[1]})
    domain = image_folder(tmp_path, image_size=8)
    for share, split in ((0.6, domain.train), (0.2, domain.val), (0.2, domain.test)):
        for n, found in zip(sizes, split.y.bincount(minlength=2).tolist(), strict=True):
            assert found >= 1 and abs(found - share * n) <= 1


@pytest.mark.parametrize("sizes", [(1, 1), (50, 2), (2, 2)])
def test_a_class_too_small_for_every_part_is_named_with_what_it_needs(sizes: tuple[int, int], tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": sizes[0], "dog": sizes[1]})
    name, n = ("dog", 2) if sizes[0] == 50 else ("cat", sizes[0])
    with pytest.raises(ValueError, match=f"class '{name}' has {n} pictures, but each class needs at least 3"):
        image_folder(tmp_path, image_size=8)
    write_folder(tmp_path / "parts" / "train", {"cat": 1, "dog": 9})
    write_folder(tmp_path / "parts" / "test", {"cat": 1, "dog": 1})
    with pytest.raises(ValueError, match="class 'cat' has 1 pictures, but each class needs at least 2"):
        image_folder(tmp_path / "parts", image_size=8)


def test_one_picture_a_class_is_enough_where_all_parts_are_given(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        write_folder(tmp_path / part, {"cat": 1, "dog": 1})
    domain = image_folder(tmp_path, image_size=8)
    assert [len(s) for s in (domain.train, domain.val, domain.test)] == [2, 2, 2]


def test_twins_in_two_parts_are_counted_and_one_is_named(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        write_folder(tmp_path / part, {"cat": 4, "dog": 4})
    shutil.copy(tmp_path / "train" / "cat" / "train_cat_0.png", tmp_path / "test" / "cat" / "copy.png")
    Image.open(tmp_path / "train" / "dog" / "train_dog_1.png").save(tmp_path / "val" / "dog" / "again.bmp")
    shutil.copy(tmp_path / "train" / "cat" / "train_cat_0.png", tmp_path / "train" / "cat" / "twice.png")  # no leak
    with pytest.warns(UserWarning, match="2 pictures are the very same in two parts; the first: ") as caught:
        image_folder(tmp_path, image_size=8)
    message = str(caught[0].message)
    pair = [Path("val/dog/again.bmp"), Path("train/dog/train_dog_1.png")]
    assert len(caught) == 1 and f"{pair[0]} in val is {pair[1]} in train" in message


def test_pictures_of_several_sizes_fit_into_one_folder(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 4})
    write_folder(tmp_path, {"dog": 4}, size=(7, 90))
    assert image_folder(tmp_path, image_size=8).test.x.shape == (2, 3, 8, 8)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_folder_or_picture_that_may_not_be_read_is_named(as_nobody: Path) -> None:
    with pytest.raises(OSError, match="ermission denied.*closed"):
        image_folder(as_nobody / "closed")
    with pytest.raises(OSError, match=r"secret is not a readable picture .*ermission denied"):
        read_picture(as_nobody / "secret", 8)


# -------------------------------------------------------------------------------------------------------- the real set


@real("hymenoptera_data")
def test_real_hymenoptera() -> None:
    domain = image_folder(REAL / "hymenoptera_data", image_size=64)
    assert domain.classes == ("ants", "bees") and len(domain.test) == 153
    assert (len(domain.train), len(domain.val)) == (195, 49)
    names = names_of(domain)
    assert not (names["train"] | names["val"]) & names["test"]
