"""Folders of images against the files written to them, and against torchvision's ImageFolder."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from compressibility.experiments.experiment import ExperimentError, on_folder
from compressibility.experiments.named import EXPERIMENTS
from compressibility.networks.image_sets import ImagesError, digits, folder
from tests.written_folders import SIDE, read, sizes, write_classes, write_image


def by_torchvision(part: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels of a part, in the random order that the package has always given them."""
    scale = v2.Compose([v2.Resize(32), v2.CenterCrop(32), v2.PILToTensor()])
    images = ImageFolder(str(part), transform=scale)
    order = np.random.default_rng(0).permutation(len(images)).tolist()
    labels = np.asarray(images.targets)[order]
    return np.stack([images[number][0].numpy() for number in order]), labels


def _write_ordinary(root: Path) -> None:
    """Images of all shapes and of every suffix and mode that need no thought."""
    rng = np.random.default_rng(1)
    names = ("a.png", "B.JPG", "a.jpeg", "z.bmp", "10.ppm", "9.webp", "ü.tif", "in a/b.png")
    names += ("in/c.png", "in-b/d.png", "in/deep/e.png", "g.pgm", "p.PNG")
    for name in ("b", "A", "a", "ä", "10", "9"):
        for file in names:
            path = root / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (*rng.integers(20, 60, 2), 3), dtype=np.uint8)
            mode = {"g.pgm": "L", "p.PNG": "P"}.get(file, "RGB")
            Image.fromarray(pixels).convert(mode).save(path)


def test_an_ordinary_folder_is_to_the_bit_and_in_order_what_torchvision_makes_of_it(
    tmp_path,
) -> None:
    _write_ordinary(tmp_path / "train")
    _write_ordinary(tmp_path / "test")
    images = folder(tmp_path)
    pixels, labels = by_torchvision(tmp_path / "test")
    np.testing.assert_array_equal(images.test.images, pixels)
    np.testing.assert_array_equal(images.test.labels, labels)
    pixels, labels = by_torchvision(tmp_path / "train")
    in_class = np.array([np.count_nonzero(labels[:n] == labels[n]) for n in range(len(labels))])
    for part, chosen in ((images.train, in_class % 10 != 9), (images.held_out, in_class % 10 == 9)):
        np.testing.assert_array_equal(part.images, pixels[chosen])
        np.testing.assert_array_equal(part.labels, labels[chosen])
    assert images.classes == tuple(ImageFolder(str(tmp_path / "test")).classes)


def test_without_parts_every_sixth_image_in_torchvisions_order_is_a_test_image(tmp_path) -> None:
    _write_ordinary(tmp_path)
    images = folder(tmp_path)
    pixels, labels = by_torchvision(tmp_path)
    in_class = np.array([np.count_nonzero(labels[:n] == labels[n]) for n in range(len(labels))])
    np.testing.assert_array_equal(images.test.images, pixels[in_class % 6 == 5])
    np.testing.assert_array_equal(images.test.labels, labels[in_class % 6 == 5])


def test_sixteen_bits_make_the_same_image_set_as_eight(tmp_path) -> None:
    """65535 = 255 · 257: v · 257 of 65535 is v of 255."""
    for number, values in enumerate(digits().test.images[:24, 0].numpy() * 15):
        for name, wide in (("eight", values), ("sixteen", values.astype(np.uint16) * 257)):
            path = tmp_path / name / "ab"[number % 2] / f"{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(wide).save(path)
    eight, sixteen = folder(tmp_path / "eight"), folder(tmp_path / "sixteen")
    assert len(eight.train.images.unique()) > 10
    assert eight.checksum == sixteen.checksum
    assert "24 of more than 8 bits, up to 94% of their range" in sixteen.taken
    assert "bits" not in eight.taken


def test_eight_bits_in_files_of_sixteen_are_not_taken_for_black(tmp_path) -> None:
    for number in range(12):
        path = tmp_path / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.arange(100, 164, dtype=np.uint16).reshape(8, 8) + number).save(path)
    with pytest.raises(ImagesError, match=r"12 images of more than 8 bits use 0\.27% .*0 to 65535"):
        read(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        ".ipynb_checkpoints",
        "__MACOSX",
        ".git",
        "@eaDir",
        "$RECYCLE.BIN",
        "System Volume Information",
        "lost+found",
    ],
)
@pytest.mark.parametrize("where", ["", "cat"])
def test_hidden_and_system_folders_are_neither_classes_nor_of_one(tmp_path, name, where) -> None:
    plain = read(write_classes(tmp_path / "x"))
    write_image(tmp_path / "x" / where / name / "00-checkpoint.png", 7)
    images = read(tmp_path / "x")
    assert images.classes == ("cat", "dog")
    assert images.checksum == plain.checksum
    assert f"left 1 hidden or the system's ({os.path.join(where, name)})" in images.taken


@pytest.mark.parametrize("name", [".hidden.png", "._00.png", "Thumbs.db", ".DS_Store", "Icon\r"])
def test_hidden_and_system_files_are_left(tmp_path, name) -> None:
    plain = read(write_classes(tmp_path / "x"))
    shutil.copy(tmp_path / "x" / "cat" / "00.png", tmp_path / "x" / "cat" / name)
    images = read(tmp_path / "x")
    assert images.checksum == plain.checksum
    assert "left 1 hidden or the system's" in images.taken
    assert "\r" not in images.taken


def test_images_of_other_suffixes_and_of_none_are_taken(tmp_path) -> None:
    write_classes(tmp_path)
    for number, name in enumerate(("a.gif", "a.jfif", "a.jp2", "a.pbm", "a.PNG", "a.avif")):
        write_image(tmp_path / "cat" / name, 50 + number)
    write_image(tmp_path / "cat" / "b.png", 60)
    (tmp_path / "cat" / "b.png").rename(tmp_path / "cat" / "b.unknown")
    images = read(tmp_path)
    assert sum(sizes(images)) == 12 + 7
    assert "19 images of 2 classes (cat, dog)" in images.taken
    assert "left" not in images.taken


def test_what_is_left_is_counted_and_named_with_the_reason(tmp_path) -> None:
    write_classes(tmp_path)
    for name in ("a.txt", "b.txt", "c.csv", "d.json"):
        (tmp_path / "cat" / name).write_text("no image")
    write_image(tmp_path / "stray.png")
    (tmp_path / "README.md").write_text("of cats and dogs")
    os.mkfifo(tmp_path / "dog" / "pipe.png")  # to open it would be to wait for ever
    assert read(tmp_path).taken == (
        f"{tmp_path.name}: 12 images of 2 classes (cat, dog): 10 to train, 0 held out, 2 to test; "
        "every sixth of a class is a test image; "
        "left 2 outside the class folders (README.md, stray.png); "
        "left 1 no regular file (dog/pipe.png); "
        "left 4 no image (cat/a.txt, cat/b.txt, cat/c.csv, …)"
    )


def test_files_in_folders_of_a_class_are_of_the_class_and_told(tmp_path) -> None:
    write_classes(tmp_path)
    write_image(tmp_path / "cat" / "siamese" / "0.png", 60)
    write_image(tmp_path / "cat" / "cat" / "0.png", 61)
    taken = read(tmp_path).taken
    assert "14 images" in taken
    assert "2 files in folders of a class are of the class (" in taken
    assert "cat/siamese/0.png" in taken


def test_links_are_followed(tmp_path) -> None:
    plain = read(write_classes(tmp_path / "x"))
    (tmp_path / "x" / "dog").rename(tmp_path / "elsewhere")
    (tmp_path / "x" / "dog").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "x" / "cat" / "00.png").rename(tmp_path / "0.png")
    (tmp_path / "x" / "cat" / "00.png").symlink_to(tmp_path / "0.png")
    assert read(tmp_path / "x").checksum == plain.checksum


@pytest.mark.parametrize(
    ("link", "target", "words"),
    [
        ("cat/loop", "cat", "one folder by a link"),
        ("cat/loop", ".", "one folder by a link"),
        ("emu", "cat", "one folder by a link"),
        ("cat/9.png", "gone", "a link to nothing"),
        ("emu", "gone", "a link to nothing"),
        ("emu", "emu", "symbolic links"),
    ],
)
def test_links_in_circles_twice_to_one_folder_or_to_nothing_are_refused(
    tmp_path, link, target, words
) -> None:
    write_classes(tmp_path)
    (tmp_path / link).symlink_to(tmp_path / target)
    with pytest.raises(ImagesError, match=words) as refused:
        read(tmp_path)
    assert str(tmp_path / link) in str(refused.value)


@pytest.mark.parametrize("denied", ["", "cat", "cat/inner"])
def test_a_folder_that_may_not_be_listed_is_refused_by_name(tmp_path, denied, monkeypatch) -> None:
    write_classes(tmp_path)
    write_image(tmp_path / "cat" / "inner" / "0.png")
    scandir = os.scandir

    def scan(path):
        if Path(path) == tmp_path / denied:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(ImagesError, match=r"cannot be read \(Permission denied\)") as refused:
        read(tmp_path)
    assert str(tmp_path / denied) in str(refused.value)


def test_of_many_unreadable_images_the_first_are_named_with_their_reasons(tmp_path) -> None:
    write_classes(tmp_path)
    Image.new("CMYK", (8, 8)).save(tmp_path / "cat" / "00.png", "TIFF")
    (tmp_path / "cat" / "01.png").write_bytes(b"")
    Image.new("1", (1, 999)).save(tmp_path / "cat" / "02.png")
    (tmp_path / "cat" / "03.png").write_bytes(b"no image")
    with pytest.raises(ImagesError, match=r"4 of 12 image files .*cannot be read") as refused:
        read(tmp_path)
    told = str(refused.value)
    assert [told.count(f"cat/0{n}.png") for n in range(4)] == [1, 1, 1, 0]
    for reason in ("inks (CMYK)", "it is empty", "1 by 999", "…"):
        assert reason in told


def test_a_name_of_two_lines_makes_a_message_of_one(tmp_path) -> None:
    write_classes(tmp_path, ("cat\nand", "dog\udce9"))
    taken = read(tmp_path).taken
    assert "\n" not in taken
    assert taken.encode("utf-8")
    (tmp_path / "dog\udce9" / "bad\n.png").write_text("")
    with pytest.raises(ImagesError, match=r"bad\\n\.png") as refused:
        read(tmp_path)
    assert "\n" not in str(refused.value)


def test_every_file_read_is_reported_of_all_that_are_to_be_read(tmp_path) -> None:
    write_classes(tmp_path / "train")
    write_classes(tmp_path / "test", count=2)
    (tmp_path / "test" / "cat" / "a.txt").write_text("")
    told = []
    folder(tmp_path, SIDE, lambda *step: told.append(step))
    assert told == [(n, 17) for n in range(1, 18)]


@pytest.mark.parametrize("value", [0, 200, 255])  # 200 / 255 has no exact mean
def test_a_channel_that_does_not_vary_is_refused_by_number_and_value(tmp_path, value) -> None:
    rng = np.random.default_rng(0)
    for number in range(12):
        pixels = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        pixels[..., 2] = value
        path = tmp_path / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    images = read(tmp_path)
    message = f"channel 3 of 3 is {value} everywhere in its 10 training images"
    with pytest.raises(ImagesError, match=message):
        images.normalised(images.test.images)


def test_images_that_are_each_of_one_value_vary(tmp_path) -> None:
    for number in range(12):
        path = tmp_path / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (SIDE, SIDE), 10 * number).save(path)
    images = read(tmp_path)
    assert images.normalised(images.test.images).isfinite().all()


@pytest.mark.parametrize("name", ["digits", "cifar10", "cifar100"])
def test_a_folder_named_like_an_image_set_is_not_taken_for_it(tmp_path, name) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(ExperimentError, match=f"named like the image set {name}"):
        on_folder(EXPERIMENTS["digits-vanilla"], tmp_path / name)
