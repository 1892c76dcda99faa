"""One image file against the pixels that were written to it, or the reason why it is refused."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from torchvision.datasets.folder import pil_loader
from torchvision.transforms import v2

from compressibility.networks.image_sets.pictures import NoImageError, UnreadableError, read

SIDE = 8
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
COLOURS = RNG.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
ORIENTATION, BITS, PHOTOMETRIC = 274, 258, 262


def written(folder: Path, image: Image.Image, name: str = "a.png", **options) -> Path:
    image.save(folder / name, **options)
    return folder / name


def as_grey(values: np.ndarray) -> np.ndarray:
    return np.stack([values] * 3)


def changed_tag(content: bytes, tag: int, old: int, new: int) -> bytes:
    """A little-endian TIFF with another value of a tag that holds one short number."""
    before = struct.pack("<HHIHH", tag, 3, 1, old, 0)
    assert content.count(before) == 1
    return content.replace(before, struct.pack("<HHIHH", tag, 3, 1, new, 0))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "LA", "RGBA"])
@pytest.mark.parametrize("shape", [(50, 40), (20, 90), (32, 32)])
def test_an_opaque_image_of_eight_bits_is_what_torchvision_makes_of_it(
    tmp_path, mode, shape
) -> None:
    pixels = RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)
    path = written(tmp_path, Image.fromarray(pixels).convert(mode))
    scale = v2.Compose([v2.Resize(32), v2.CenterCrop(32), v2.PILToTensor()])
    np.testing.assert_array_equal(read(path, 32).pixels, scale(pil_loader(str(path))).numpy())


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("a.png", "<u2"),
        ("a.tif", "<u2"),
        ("a.tif", ">u2"),  # big-endian, I;16B
        ("a.pgm", "<u2"),
        ("a.jp2", "<u2"),
    ],
)
def test_sixteen_bits_are_the_eight_that_they_were_made_from(tmp_path, name, dtype) -> None:
    """65535 = 255 · 257, so that v · 257 is v of 255 to the bit."""
    wide = Image.fromarray((GREY.astype(np.uint16) * 257).astype(dtype))
    found = read(written(tmp_path, wide, name), SIDE)
    np.testing.assert_array_equal(found.pixels, as_grey(GREY))
    assert found.peak == GREY.max() / 255


def test_sixteen_bits_are_scaled_by_65535_to_the_nearest_of_eight(tmp_path) -> None:
    values = RNG.integers(0, 65536, (SIDE, SIDE), dtype=np.uint16)
    values.flat[:6] = (0, 128, 129, 385, 386, 65535)
    found = read(written(tmp_path, Image.fromarray(values)), SIDE).pixels
    exact = values.astype(float) * 255 / 65535
    assert np.abs(found - exact).max() <= 0.5
    assert found[0].flat[:6].tolist() == [0, 0, 1, 1, 2, 255]


def test_sixteen_bit_colours_keep_the_upper_eight(tmp_path) -> None:
    """A PNG written by hand: Pillow cannot."""
    rows = (COLOURS.astype(">u2") * 257).astype(">u2").reshape(SIDE, -1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    path = tmp_path / "a.png"
    path.write_bytes(png(struct.pack(">IIBBBBB", SIDE, SIDE, 16, 2, 0, 0, 0), data))
    np.testing.assert_array_equal(read(path, SIDE).pixels, COLOURS.transpose(2, 0, 1))


def png(header: bytes, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b""))
    )


def test_twelve_bits_are_scaled_by_4095(tmp_path) -> None:
    """A TIFF of which Pillow writes sixteen bits, packed by hand."""
    values = RNG.integers(0, 4096, (SIDE, SIDE), dtype=np.uint16)
    content = BytesIO()
    Image.fromarray(values).save(content, "TIFF")
    pairs = values.reshape(-1, 2).astype(int)
    packed = b"".join(((a << 12) | b).to_bytes(3, "big") for a, b in pairs.tolist())
    old = values.tobytes()
    assert content.getvalue().count(old) == 1
    twelve = content.getvalue().replace(old, packed.ljust(len(old), b"\0"))
    path = tmp_path / "a.tif"
    path.write_bytes(changed_tag(twelve, BITS, 16, 12))
    exact = values.astype(float) * 255 / 4095
    assert np.abs(read(path, SIDE).pixels - exact).max() <= 0.5


def test_sixteen_bits_whose_zero_is_white_are_not_read_inverted(tmp_path) -> None:
    path = written(tmp_path, Image.fromarray(GREY.astype(np.uint16) * 257), "a.tif")
    path.write_bytes(changed_tag(path.read_bytes(), PHOTOMETRIC, 1, 0))
    with pytest.raises(UnreadableError, match="zero is its white"):
        read(path, SIDE)


def test_eight_bits_whose_zero_is_white_are_read_as_they_look(tmp_path) -> None:
    path = written(tmp_path, Image.fromarray(GREY), "a.tif")
    path.write_bytes(changed_tag(path.read_bytes(), PHOTOMETRIC, 1, 0))
    np.testing.assert_array_equal(read(path, SIDE).pixels, as_grey(255 - GREY))


TURNS = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a.transpose(1, 0, 2), 2),
    8: np.rot90,
}
"""What EXIF's orientations ask for, to see the image upright."""


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
@pytest.mark.parametrize("orientation", TURNS)
def test_an_image_is_turned_as_its_orientation_asks(tmp_path, orientation, name) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if name.endswith("webp") else {}
    path = written(tmp_path, Image.fromarray(COLOURS), name, exif=exif, **options)
    found = read(path, SIDE)
    np.testing.assert_array_equal(found.pixels, TURNS[orientation](COLOURS).transpose(2, 0, 1))
    assert found.turned == (orientation != 1)


def test_sixteen_bits_are_turned_too(tmp_path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = written(tmp_path, Image.fromarray(GREY.astype(np.uint16) * 257), exif=exif)
    np.testing.assert_array_equal(read(path, SIDE).pixels, as_grey(np.rot90(GREY, -1)))


def test_an_orientation_that_is_none_leaves_the_image_as_it_lies(tmp_path) -> None:
    path = written(tmp_path, Image.fromarray(COLOURS), exif=b"Exif\0\0nothing of the kind")
    found = read(path, SIDE)
    np.testing.assert_array_equal(found.pixels, COLOURS.transpose(2, 0, 1))
    assert not found.turned


@pytest.mark.parametrize("suffix", ["", ".txt", ".jpg", ".JPEG.bak"])
def test_an_image_is_read_by_its_content_whatever_its_name(tmp_path, suffix) -> None:
    path = written(tmp_path, Image.fromarray(COLOURS), "photo.png").rename(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read(path, SIDE).pixels, COLOURS.transpose(2, 0, 1))


def test_of_a_photograph_with_previews_behind_it_the_photograph_is_read(tmp_path) -> None:
    flat = Image.new("RGB", (SIDE, SIDE), (200, 200, 200))
    preview = Image.new("RGB", (SIDE, SIDE), (10, 10, 10))
    path = written(tmp_path, flat, "a.jpg", format="MPO", save_all=True, append_images=[preview])
    assert (read(path, SIDE).pixels == 200).all()


def _animated(folder: Path, name: str) -> Path:
    frames = [Image.fromarray(np.roll(COLOURS, n, axis=0)) for n in range(3)]
    return written(folder, frames[0], name, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.tif", "a.webp", "a.avif"])
def test_an_image_of_several_frames_is_refused(tmp_path, name) -> None:
    with pytest.raises(UnreadableError, match="3 frames"):
        read(_animated(tmp_path, name), SIDE)


def _with_a_hole(mode: str) -> Image.Image:
    image = Image.fromarray(COLOURS).convert(mode)
    alpha = Image.new("L", image.size, 255)
    alpha.putpixel((3, 3), 254)
    image.putalpha(alpha)
    return image


def _keyed(mode: str) -> dict:
    return {"transparency": {"P": 7, "L": 7, "RGB": (7, 7, 7)}[mode]}


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_pixel_that_is_hardly_transparent_is_seen(tmp_path, mode) -> None:
    with pytest.raises(UnreadableError, match="transparent in parts"):
        read(written(tmp_path, _with_a_hole(mode)), SIDE)


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_a_colour_that_stands_for_transparency_is_seen(tmp_path, mode) -> None:
    image = Image.fromarray(COLOURS).convert(mode)
    image.putpixel((0, 0), _keyed(mode)["transparency"])
    with pytest.raises(UnreadableError, match="transparent in parts"):
        read(written(tmp_path, image, **_keyed(mode)), SIDE)


def test_a_transparent_colour_that_no_pixel_has_is_passed_over(tmp_path) -> None:
    image = Image.fromarray(np.full((SIDE, SIDE), 9, np.uint8))
    assert (read(written(tmp_path, image, transparency=7), SIDE).pixels == 9).all()


def test_a_transparent_value_of_sixteen_bits_is_refused(tmp_path) -> None:
    key = struct.pack(">I", 2) + b"tRNS\0\7" + struct.pack(">I", zlib.crc32(b"tRNS\0\7"))
    path = written(tmp_path, Image.fromarray(GREY.astype(np.uint16)))
    content = path.read_bytes()
    start = content.index(b"IDAT") - 4
    path.write_bytes(content[:start] + key + content[start:])
    with pytest.raises(UnreadableError, match="transparent in parts"):
        read(path, SIDE)


def _lab() -> Image.Image:
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    return ImageCms.applyTransform(Image.fromarray(COLOURS), to_lab)


@pytest.mark.parametrize(
    ("name", "image", "reason"),
    [
        ("a.tif", Image.fromarray(GREY / np.float32(255)), "floats, which have no range"),
        ("a.pfm", Image.fromarray(GREY / np.float32(255)), "floats, which have no range"),
        ("a.tif", Image.fromarray(GREY.astype(np.int32)), "32-bit integers, which have no range"),
        ("a.jpg", Image.fromarray(COLOURS).convert("CMYK"), "inks"),
        ("a.tif", Image.fromarray(COLOURS).convert("CMYK"), "inks"),
        ("a.tif", _lab(), "LAB"),
        ("a.png", Image.new("L", (1, 101)), "1 by 101"),
        ("a.tif", Image.new("L", (100_000, 1)), "100000 by 1"),
        ("a.tga", Image.fromarray(COLOURS), "none of AVIF, BMP"),
        ("a.ico", Image.fromarray(COLOURS), "none of AVIF, BMP"),
    ],
)
def test_what_has_no_pixels_of_its_own_is_refused(tmp_path, name, image, reason) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(written(tmp_path, image, name), SIDE)


def test_a_hundred_times_as_long_as_wide_is_read(tmp_path) -> None:
    image = Image.new("RGB", (100, 1), (9, 9, 9))
    assert (read(written(tmp_path, image), SIDE).pixels == 9).all()


@pytest.mark.parametrize("side", [9_500, 200_000])  # Pillow warns of the first
def test_an_image_too_large_to_be_true_is_refused_unread(tmp_path, side) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)))
    with pytest.raises(UnreadableError, match=r"more than 89,478,485 pixels; scale it down"):
        read(path, SIDE)


FORMATS = ("avif", "bmp", "gif", "jpg", "jp2", "png", "ppm", "tif", "webp")


@pytest.mark.parametrize("kept", [0.5, 0.97])
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_truncated_image_is_refused(tmp_path, suffix, kept) -> None:
    pixels = RNG.integers(0, 256, (60, 60, 3), dtype=np.uint8)
    path = written(tmp_path, Image.fromarray(pixels), f"a.{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(UnreadableError, match=r"\w") as refused:
        read(path, SIDE)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("suffix", ["png", "JPG", "heic", "dng", "svg"])
def test_what_calls_itself_an_image_and_is_none_is_refused(tmp_path, suffix) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_text("no image")
    with pytest.raises(UnreadableError, match="damaged"):
        read(path, SIDE)
    path.write_bytes(b"")
    with pytest.raises(UnreadableError, match="it is empty"):
        read(path, SIDE)


@pytest.mark.parametrize("name", ["notes.txt", "labels.csv", "faces.npy", "paper.pdf", "README"])
def test_what_neither_is_an_image_nor_calls_itself_one_is_none(tmp_path, name) -> None:
    (tmp_path / name).write_bytes(b"%PDF-1.7 and what else people keep")
    with pytest.raises(NoImageError):
        read(tmp_path / name, SIDE)


def test_a_file_that_may_not_be_read_is_refused_with_the_systems_reason(
    tmp_path, monkeypatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "a.png")

    path = written(tmp_path, Image.fromarray(COLOURS))
    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(UnreadableError, match=r"^Permission denied$"):
        read(path, SIDE)
