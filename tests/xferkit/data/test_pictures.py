"""A picture file becomes what a viewer shows, in bounded memory, or an error with its name."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image

from xferkit.data import pictures
from xferkit.data.pictures import SUFFIXES, read_picture


def colour(file: Path) -> list[int]:
    """The one colour of a picture that has but one."""
    pixels = read_picture(file, 8)
    assert pixels.shape == (8, 8, 3) and pixels.dtype == np.uint8
    assert np.ptp(pixels, axis=(0, 1)).max() <= 1
    return pixels[4, 4].tolist()


def saved(tmp_path: Path, picture: Image.Image, name: str = "picture.png", **options: object) -> Path:
    picture.save(tmp_path / name, **options)
    return tmp_path / name


# --------------------------------------------------------------------------------------------------------------- modes


@pytest.mark.parametrize("value", [0, 1000, 20_000, 32_768, 65_535])
def test_16_bit_grey_is_scaled_and_not_cut_off(value: int, tmp_path: Path) -> None:
    right = [round(value / 257)] * 3
    grey = Image.fromarray(np.full((20, 20), value, np.uint16))
    assert colour(saved(tmp_path, grey)) == right
    assert colour(saved(tmp_path, grey, "picture.tif")) == right
    pgm = tmp_path / "picture.pgm"
    pgm.write_bytes(b"P5 20 20 65535\n" + struct.pack(">H", value) * 400)
    assert colour(pgm) == right


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, kind: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG file made by hand: Pillow cannot write every kind that it reads."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_16_bit_grey_with_one_transparent_value(tmp_path: Path) -> None:
    for value, right in ((20_000, 255), (20_001, 78)):
        row = b"\0" + struct.pack(">H", value) * 20
        (tmp_path / "picture.png").write_bytes(png(20, 20, 16, 0, row * 20, chunk(b"tRNS", struct.pack(">H", 20_000))))
        assert colour(tmp_path / "picture.png") == [right] * 3


def test_16_bit_colour(tmp_path: Path) -> None:
    row = b"\0" + struct.pack(">HHH", 65_535, 32_768, 514) * 20
    (tmp_path / "picture.png").write_bytes(png(20, 20, 16, 2, row * 20))
    assert colour(tmp_path / "picture.png") == [255, 128, 2]


@pytest.mark.parametrize(("alpha", "right"), [(0, [255, 255, 255]), (255, [200, 0, 0]), (51, [244, 204, 204])])
def test_what_is_transparent_shows_white(alpha: int, right: list[int], tmp_path: Path) -> None:
    picture = Image.new("RGBA", (20, 20), (200, 0, 0, alpha))
    for name in ("picture.png", "picture.webp", "picture.tif"):
        assert colour(saved(tmp_path, picture, name, **({"lossless": True} if "webp" in name else {}))) == right
    grey = Image.new("LA", (20, 20), (200, alpha))
    assert colour(saved(tmp_path, grey)) == [{0: 255, 255: 200, 51: 244}[alpha]] * 3


def test_no_hidden_colour_bleeds_over_the_edge_of_what_is_seen(tmp_path: Path) -> None:
    """A grey disc on transparent red: composited on white, no pixel is red."""
    yy, xx = np.mgrid[:64, :64] - 31.5
    disc = yy**2 + xx**2 < 20**2
    pixels = np.where(disc[..., None], [90, 90, 90, 255], [255, 0, 0, 0]).astype(np.uint8)
    shown = read_picture(saved(tmp_path, Image.fromarray(pixels, "RGBA")), 24).astype(int)
    assert np.abs(shown[..., 0] - shown[..., 1]).max() <= 1 and shown.min() < 95 and shown.max() == 255


@pytest.mark.parametrize("transparency", [None, 1, b"\xff\x00"])
def test_palettes(transparency: object, tmp_path: Path) -> None:
    picture = Image.new("P", (20, 20), 1)
    picture.putpalette([0, 0, 0, 10, 200, 30])
    options = {} if transparency is None else {"transparency": transparency}
    right = [10, 200, 30] if transparency is None else [255, 255, 255]
    assert colour(saved(tmp_path, picture, **options)) == right
    if not isinstance(transparency, bytes):  # a web page's GIF, saved under another name
        assert colour(saved(tmp_path, picture, "picture.jpg", format="GIF", **options)) == right


def test_one_colour_of_rgb_or_grey_may_be_transparent(tmp_path: Path) -> None:
    picture = Image.new("RGB", (20, 20), (10, 200, 30))
    assert colour(saved(tmp_path, picture, transparency=(10, 200, 30))) == [255, 255, 255]
    assert colour(saved(tmp_path, picture, transparency=(10, 200, 31))) == [10, 200, 30]
    assert colour(saved(tmp_path, Image.new("L", (20, 20), 40), transparency=40)) == [255, 255, 255]


def test_one_bit_grey_and_four_inks(tmp_path: Path) -> None:
    assert colour(saved(tmp_path, Image.new("1", (20, 20), 1))) == [255] * 3
    assert colour(saved(tmp_path, Image.new("1", (20, 20), 0))) == [0] * 3
    assert colour(saved(tmp_path, Image.new("L", (20, 20), 77))) == [77] * 3
    inks = Image.new("CMYK", (20, 20), (255, 0, 0, 0))  # cyan
    for name in ("picture.tif", "picture.jpg"):
        red, green, blue = colour(saved(tmp_path, inks, name))
        assert red < 5 and green > 250 and blue > 250


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_numbers_without_an_agreed_range_are_refused(kind: type, tmp_path: Path) -> None:
    file = saved(tmp_path, Image.fromarray(np.full((20, 20), 100, kind)), "depth.tif")
    with pytest.raises(OSError, match=r"depth\.tif is not a readable picture .*no agreed range; save it as 8-bit"):
        read_picture(file, 8)


def test_cie_lab_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"lab\.tif .*LAB"):
        read_picture(saved(tmp_path, Image.new("LAB", (20, 20)), "lab.tif"), 8)


# --------------------------------------------------------------------------------------------- orientation and geometry


def quarters(width: int = 64, height: int = 48) -> Image.Image:
    """Red, green, blue and white quarters: every turn and flip shows."""
    pixels = np.zeros((height, width, 3), np.uint8)
    h, w = height // 2, width // 2
    pixels[:h, :w, 0], pixels[:h, w:, 1], pixels[h:, :w, 2], pixels[h:, w:] = 255, 255, 255, 255
    return Image.fromarray(pixels)


UNDONE = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("orientation", UNDONE)
def test_a_turned_camera_is_turned_back(orientation: int, ending: str, tmp_path: Path) -> None:
    """Stored as the camera held it, with the orientation beside it, a picture is read as it looked."""
    upright = read_picture(saved(tmp_path, quarters()), 16).astype(int)
    how = UNDONE[orientation]
    stored = quarters() if how is None else quarters().transpose(how)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"jpg": {"quality": 95, "subsampling": 0}, "webp": {"lossless": True}}.get(ending, {})
    turned = read_picture(saved(tmp_path, stored, f"turned.{ending}", exif=exif, **options), 16).astype(int)
    assert np.abs(turned - upright).max() <= (12 if ending == "jpg" else 1)


def test_broken_metadata_do_not_matter(tmp_path: Path) -> None:
    file = saved(tmp_path, quarters(), "picture.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xffgarbage")
    assert read_picture(file, 16).shape == (16, 16, 3)


@pytest.mark.parametrize("size", [(256, 256), (300, 500), (1000, 257), (224, 224), (90, 40)])
def test_the_square_is_torchvisions_resize_and_centre_crop(size: tuple[int, int], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    picture = coarse.resize(size, Image.Resampling.BICUBIC)
    ours = read_picture(saved(tmp_path, picture), 224).astype(float)
    resized = torchvision.transforms.functional.resize(picture, 256)
    theirs = np.asarray(torchvision.transforms.functional.center_crop(resized, 224)).astype(float)
    assert np.abs(ours - theirs).mean() < 2.5  # torchvision rounds the place of the square to whole pixels
    flipped = read_picture(saved(tmp_path, picture.transpose(Image.Transpose.ROTATE_180)), 224)
    assert np.abs(flipped[::-1, ::-1] - ours).max() <= 1


def test_a_photograph_decoded_small_is_the_same_picture(tmp_path: Path) -> None:
    """JPEGs much larger than needed are decoded at a fraction of their size."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    large = coarse.resize((4000, 3000), Image.Resampling.BICUBIC)
    ours = read_picture(saved(tmp_path, large, "large.jpg", quality=95), 64).astype(float)
    whole = read_picture(saved(tmp_path, large.reduce(5)), 64).astype(float)
    assert np.abs(ours - whole).mean() < 1.5


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 300), (4000, 1), (3, 5000)])
def test_tiny_and_narrow_pictures(size: tuple[int, int], tmp_path: Path) -> None:
    assert colour(saved(tmp_path, Image.new("RGB", size, (9, 99, 199)))) == [9, 99, 199]


# --------------------------------------------------------------------------------------------------- broken and hostile


@pytest.mark.parametrize("name", ["picture.png", "picture.jpg", "picture.webp", "picture.bmp", "picture.tif", "a.ppm"])
@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_file_is_named(name: str, keep: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    file = saved(tmp_path, Image.fromarray(rng.integers(0, 256, (200, 300, 3), dtype=np.uint8)), name)
    data = file.read_bytes()
    file.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(OSError, match=f"{name} is not a readable picture .*Remove or replace it"):
        read_picture(file, 32)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_no_picture_is_named(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"notes{suffix}"
    for data in (b"", b"just text", b"\0" * 1000, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"):
        file.write_bytes(data)
        with pytest.raises(OSError, match=f"{file.name} is not a readable picture"):
            read_picture(file, 8)


def test_random_damage_is_read_or_named(tmp_path: Path) -> None:
    """Bytes changed anywhere: a picture comes out or an OSError with the file's name, and nothing else."""
    rng = np.random.default_rng(0)
    pixels = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    for name in ("a.png", "a.jpg", "a.webp", "a.bmp", "a.tif", "a.ppm"):
        whole = np.frombuffer(saved(tmp_path, pixels, name).read_bytes(), np.uint8)
        for _ in range(60):
            data = whole.copy()
            data[rng.integers(0, min(len(data), 400), 3)] = rng.integers(0, 256, 3)
            (tmp_path / name).write_bytes(data.tobytes())
            try:
                assert read_picture(tmp_path / name, 8).shape == (8, 8, 3)
            except OSError as error:
                assert name in str(error)


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (9000, 9000)])
def test_a_bomb_is_named_before_it_goes_off(width: int, height: int, tmp_path: Path) -> None:
    """Declared sizes alone: 400 million pixels, which Pillow refuses, and 81 million, which it would decode."""
    (tmp_path / "bomb.png").write_bytes(png(width, height, 8, 2, b""))
    with pytest.raises(OSError, match=r"bomb\.png is not a readable picture .*pixels"):
        read_picture(tmp_path / "bomb.png", 224)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_memory_is_bounded_by_what_is_decoded(tmp_path: Path) -> None:
    """A strip takes no more than its pixels and the square, and a JPEG of 108 million pixels a small part of them."""
    sizes = {"a.png": (300, 300), "b.png": (4000, 1), "c.png": (1, 9000), "d.png": (30_000, 9), "e.jpg": (12_000, 9000)}
    for name, size in sizes.items():
        Image.new("L", size, "white").save(tmp_path / name)
    code = (
        "import importlib.util, pathlib, sys\n"
        "spec = importlib.util.spec_from_file_location('pictures', sys.argv[1])\n"
        "spec.loader.exec_module(pictures := importlib.util.module_from_spec(spec))\n"
        "for file in sorted(pathlib.Path(sys.argv[2]).iterdir()):\n"
        "    pictures.read_picture(file, 224)\n"
        "    print(pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    command = [sys.executable, "-c", code, str(pictures.__file__), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, *others = (int(kilobytes) for kilobytes in done.stdout.split())
    assert max(others) - first < 40_000, done.stdout
