"""Folders of training and test images, under any name, against the parts written to them."""

import unicodedata

import pytest

from compressibility.networks.image_sets import ImagesError
from tests.written_folders import read, sizes, write_classes, write_image

PARTS = {
    ("train", "test"): "",
    ("training", "testing"): "",
    ("Train", "TEST"): "",
    ("training_set", "test_set"): "",
    ("seg_train", "seg_test"): "",
    ("trainImages", "testImages"): "",
    ("train2017", "test2017"): "",
    ("flowers-train", "flowers-test"): "",
    ("FlowersTrain", "FlowersTest"): "",
    ("train", "val"): "val serves as the test images",
    ("TRAIN", "Valid"): "Valid serves as the test images",
    ("training", "validation"): "validation serves as the test images",
    ("pets_train_64", "pets_dev_64"): "pets_dev_64 serves as the test images",
}


@pytest.mark.parametrize("names", PARTS, ids="-".join)
def test_parts_under_any_name_are_parts_and_no_classes(tmp_path, names) -> None:
    train, test = names
    write_classes(tmp_path / train, count=20)
    write_classes(tmp_path / test, count=5)
    images = read(tmp_path)
    assert images.classes == ("cat", "dog")
    assert sizes(images) == (36, 4, 10)
    assert PARTS[names] in images.taken
    assert ("serves" in images.taken) == bool(PARTS[names])
    assert "every sixth" not in images.taken


def test_validation_images_beside_test_images_change_nothing_and_are_told(tmp_path) -> None:
    write_classes(tmp_path / "train", count=10)
    write_classes(tmp_path / "test", count=3)
    plain = read(tmp_path)
    write_classes(tmp_path / "valid", count=4)
    images = read(tmp_path)
    assert images.checksum == plain.checksum
    assert "valid is not used" in images.taken


def test_what_lies_beside_the_parts_and_in_them_is_left_and_told(tmp_path) -> None:
    for part in ("train", "test"):
        write_classes(tmp_path / part)
        (tmp_path / part / "labels.csv").write_text("0.png,cat")
    (tmp_path / "README").write_text("of cats and dogs")
    left = "left 3 outside the class folders (README, train/labels.csv, test/labels.csv)"
    assert left in read(tmp_path).taken


def test_a_training_part_alone_is_split_as_its_classes_alone_would_be(tmp_path) -> None:
    images = read(write_classes(tmp_path / "train").parent)
    assert images.checksum == read(tmp_path / "train").checksum
    assert "train alone is there; every sixth of a class is a test image" in images.taken


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("train", "test", "cat"), "test, train beside cat"),
        (("train", "car", "bus"), "train beside bus, car"),
        (("valid", "invalid"), "valid beside invalid"),
        (("train", "training", "test"), "train, training, two folders for one part"),
        (("train", "val", "validation"), "val, validation, two folders for one part"),
        (("test", "val"), "test, val and no train"),
        (("test",), "test and no train"),
        (("images",), r"one class images.*or .*/images if the classes are in it"),
        (("train/train", "train/test"), "test, train where classes are looked for"),
        (("train/cat", "train/val", "test/cat", "test/val"), "val where classes are looked for"),
    ],
    ids=str,
)
def test_parts_that_make_no_whole_are_refused_by_name(tmp_path, names, words) -> None:
    for name in names:
        write_classes(tmp_path / name)
    with pytest.raises(ImagesError, match=words):
        read(tmp_path)


def test_of_one_class_without_folders_no_deeper_folder_is_advised(tmp_path) -> None:
    write_classes(tmp_path, ("cat",))
    with pytest.raises(ImagesError, match=r"the one class cat: give .* class sub-folders$"):
        read(tmp_path)


def test_parts_in_each_class_are_not_mixed(tmp_path) -> None:
    for name in ("cat", "dog"):
        for part in ("Train", "Test"):
            write_image(tmp_path / name / part / "0.png")
    with pytest.raises(ImagesError, match=r"cat/Test: a class holds a part of a data set"):
        read(tmp_path)


@pytest.mark.parametrize(
    "classes",
    [
        ("bus", "trainer"),
        ("contest", "protest"),
        ("bus", "train_station"),
        ("bus_station", "train_station"),
        ("test_tube", "train_station"),
    ],
)
def test_a_class_is_not_taken_for_a_part_by_a_likeness(tmp_path, classes) -> None:
    assert read(write_classes(tmp_path, classes)).classes == classes


@pytest.mark.parametrize(
    ("train", "test"),
    [("Cat", "cat"), ("café", unicodedata.normalize("NFD", "café"))],
)
def test_classes_that_differ_in_spelling_are_refused_and_told_so(tmp_path, train, test) -> None:
    write_classes(tmp_path / "train", (train, "dog"))
    write_classes(tmp_path / "test", (test, "dog"))
    with pytest.raises(ImagesError, match=r"differ in their spelling alone") as refused:
        read(tmp_path)
    assert train in str(refused.value)
    assert test in str(refused.value)


def test_a_class_of_one_part_alone_is_named(tmp_path) -> None:
    write_classes(tmp_path / "train", ("cat", "dog", "emu"))
    write_classes(tmp_path / "test", ("cat", "dog"))
    with pytest.raises(ImagesError, match=r"do not hold the same classes: emu$"):
        read(tmp_path)


def test_letters_of_both_cases_are_classes_of_their_own(tmp_path) -> None:
    write_classes(tmp_path / "train", ("a", "A"))
    write_classes(tmp_path / "test", ("a", "A"))
    assert read(tmp_path).classes == ("A", "a")


@pytest.mark.parametrize("kept", [(), ("notes.txt",), (".hidden.png",)])
def test_a_class_without_an_image_is_named(tmp_path, kept) -> None:
    write_classes(tmp_path / "train", ("cat", "dog"))
    write_classes(tmp_path / "test", ("cat",))
    (tmp_path / "test" / "dog").mkdir()
    for name in kept:
        (tmp_path / "test" / "dog" / name).write_text("no image")
    with pytest.raises(ImagesError, match=r"/test: .*classes dog; fill each class's folder"):
        read(tmp_path)


def test_a_test_part_that_is_the_training_part_is_refused(tmp_path) -> None:
    write_classes(tmp_path / "train")
    (tmp_path / "test").symlink_to(tmp_path / "train")
    with pytest.raises(ImagesError, match=r"test/cat and .*train/cat are one folder"):
        read(tmp_path)


def test_test_images_that_are_training_images_too_are_counted(tmp_path) -> None:
    write_classes(tmp_path / "train", count=8)
    write_classes(tmp_path / "test", count=3)
    write_image(tmp_path / "test" / "dog" / "new.png", 77)
    assert "6 test images are also training images" in read(tmp_path).taken
    assert "also" not in read(write_classes(tmp_path / "other")).taken
