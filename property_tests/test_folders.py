"""Any folder of images: what is taken is what was written, or the refusal names what is wrong.

Folders are drawn from ordinary images, junk that is to be left, and at most one fault.
"""

import io
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from compressibility.networks.image_sets import ImagesError, ImageSet, folder

SIDE = 4
CLASSES = ("ant", "Bee", "cat", "10", "9", "gnü", "in rain", "test tube")
FLAT = ("",)
PARTS = (("train", "test"), ("Training", "VAL"), ("x_train", "x_test"), ("trainset", "testing"))
SUFFIXES = (".png", ".PNG", ".gif", ".tif", ".txt", "")


def wide(grey: np.ndarray) -> np.ndarray:
    """Eight bits in sixteen: 65535 = 255 · 257."""
    return grey.astype(np.uint16) * 257


WRITERS: dict[str, Callable[[np.ndarray], tuple[Image.Image, str]]] = {
    "grey": lambda grey: (Image.fromarray(grey), "PNG"),
    "colours": lambda grey: (Image.fromarray(grey).convert("RGB"), "BMP"),
    "palette": lambda grey: (Image.fromarray(grey), "GIF"),
    "opaque": lambda grey: (Image.fromarray(grey).convert("RGBA"), "PNG"),
    "sixteen": lambda grey: (Image.fromarray(wide(grey)), "PNG"),
    "big-endian": lambda grey: (
        Image.fromarray((grey.astype(np.uint16) * 257).astype(">u2")),
        "TIFF",
    ),
}
"""Kinds of image that hold eight bits of grey exactly."""

JUNK = (".DS_Store", "Thumbs.db", "notes.txt", "._00.png", ".ipynb_checkpoints/00.png")
FAULTS = ("truncated", "empty", "float", "transparent", "animated", "strip", "folder", "link")


@dataclass(frozen=True)
class Drawn:
    """What is written: the kind and suffix of each image of each class and part, and the rest."""

    parts: tuple[str, ...]
    images: dict[tuple[str, str], list[tuple[str, str]]]
    junk: frozenset[tuple[str, str, str]]


@st.composite
def folders(draw: st.DrawFn) -> Drawn:
    parts = draw(st.sampled_from((FLAT, *PARTS)))
    classes = draw(st.lists(st.sampled_from(CLASSES), min_size=2, max_size=4, unique=True))
    image = st.tuples(st.sampled_from(sorted(WRITERS)), st.sampled_from(SUFFIXES))
    least = 6 if parts == FLAT else 1
    images = {
        (part, name): draw(st.lists(image, min_size=least, max_size=least + 5))
        for part in parts
        for name in classes
    }
    places = st.tuples(st.sampled_from(parts), st.sampled_from(("", *classes)))
    junk = draw(st.frozensets(st.tuples(places, st.sampled_from(JUNK)), max_size=4))
    return Drawn(parts, images, frozenset((part, name, file) for (part, name), file in junk))


def pixels(number: int) -> np.ndarray:
    """Of the image of that number, (SIDE, SIDE): every number has others."""
    grey = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    grey[0, :2] = divmod(number, 256)
    return grey


def write(drawn: Drawn, root: Path) -> dict[str, Counter[tuple[str, bytes]]]:
    """Write a folder; the class and pixels of every image in each part."""
    written: dict[str, Counter[tuple[str, bytes]]] = {part: Counter() for part in drawn.parts}
    number = 0
    for (part, name), images in drawn.images.items():
        (root / part / name).mkdir(parents=True)
        for kind, suffix in images:
            grey = pixels(number)
            image, format_ = WRITERS[kind](grey)
            image.save(root / part / name / f"{number:03}{suffix}", format_)
            written[part][name, grey.tobytes()] += 1
            number += 1
    for part, name, file in drawn.junk:
        path = root / part / name / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no image")
    return written


def taken(images: ImageSet, *parts: str) -> Counter[tuple[str, bytes]]:
    """The class and pixels of every image in parts of an image set."""
    found: Counter[tuple[str, bytes]] = Counter()
    for part in (getattr(images, name) for name in parts):
        for image, label in zip(part.images.numpy(), part.labels.tolist(), strict=True):
            assert (image == image[:1]).all()
            found[images.classes[label], image[0].tobytes()] += 1
    return found


@given(drawn=folders())
def test_classes_and_pixels_are_those_written_and_all_else_is_counted(drawn) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place, "set")
        written = write(drawn, root)
        images = folder(root, SIDE)
    assert images.classes == tuple(sorted({name for _, name in drawn.images}))
    if drawn.parts == FLAT:
        assert taken(images, "train", "held_out", "test") == written[""]
        assert taken(images, "test").total() == sum(len(i) // 6 for i in drawn.images.values())
    else:
        train, test = drawn.parts
        assert taken(images, "train", "held_out") == written[train]
        assert taken(images, "test") == written[test]
    n_images = sum(map(len, drawn.images.values()))
    assert f"set: {n_images} images of {len(images.classes)} classes" in images.taken
    left = sum(
        int(clause.split()[1]) for clause in images.taken.split("; ") if clause.startswith("left")
    )
    assert left == len(drawn.junk)


def plant(fault: str, folder: Path) -> Path:
    """A fault among the images of a class; its path."""
    path = folder / "fault.png"
    grey = Image.fromarray(pixels(1))
    match fault:
        case "truncated":
            content = io.BytesIO()
            grey.save(content, "PNG")
            path.write_bytes(content.getvalue()[:50])
        case "empty":
            path.write_bytes(b"")
        case "float":
            Image.fromarray(pixels(1) / np.float32(255)).save(path, "TIFF")
        case "transparent":
            grey.putalpha(200)
            grey.save(path)
        case "animated":
            grey.save(path, "GIF", save_all=True, append_images=[Image.fromarray(pixels(2))])
        case "strip":
            Image.new("L", (1, 100_000)).save(path)
        case "folder":
            path = folder / "test"
            path.mkdir()
        case "link":
            path.symlink_to(folder / "gone")
    return path


@given(drawn=folders(), fault=st.sampled_from(FAULTS), data=st.data())
def test_a_fault_is_refused_by_its_path(drawn, fault, data) -> None:
    part, name = data.draw(st.sampled_from(sorted(drawn.images)))
    with tempfile.TemporaryDirectory() as place:
        root = Path(place, "set")
        write(drawn, root)
        path = plant(fault, root / part / name)
        with pytest.raises(ImagesError) as refused:
            folder(root, SIDE)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
