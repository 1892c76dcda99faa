"""Oracles: torchvision's ImageFolder and transforms, and the files that were written."""

from collections import Counter
from pathlib import Path

import pytest
import torch

from compressibility.networks.image_sets import ImagesError, Preprocessing, evaluation_folder
from tests.small_network import CLASSES, DEVIATION, MEAN, SIZE, by_torchvision, draw_images
from tests.written_folders import write_classes, write_image

TAKEN = Preprocessing(SIZE, 14, MEAN, DEVIATION)
PLAIN = Preprocessing(8, 8)


def counted(images: torch.Tensor, labels: torch.Tensor) -> Counter:
    """Images by their pixels and class."""
    pairs = zip(images, labels.tolist(), strict=True)
    return Counter((image.numpy().tobytes(), label) for image, label in pairs)


def test_inputs_and_classes_are_torchvisions(tmp_path) -> None:
    for part, seed in (("val", 0), ("test", 1)):
        draw_images(tmp_path / part, 5, seed)
    found = evaluation_folder(tmp_path, TAKEN)
    assert found.classes == CLASSES
    for part, name in ((found.held_out, "val"), (found.test, "test")):
        inputs, labels = by_torchvision(tmp_path / name)
        ours = found.normalised(part.images)
        assert sorted(part.labels.tolist()) == labels.tolist()
        for image, label in zip(ours, part.labels.tolist(), strict=True):
            distance = (inputs - image).abs().amax(dim=(1, 2, 3))
            assert float(distance.min()) < 1e-5
            assert int(labels[distance.argmin()]) == label


def test_of_a_folder_without_parts_every_third_of_a_class_is_held_out(tmp_path) -> None:
    root = write_classes(tmp_path / "pets", count=7)
    found = evaluation_folder(root, PLAIN)
    whole = evaluation_folder(
        root, Preprocessing(8, 8, (0.1, 0.1, 0.1))
    )  # pixels are before normalisation
    assert Counter(found.held_out.labels.tolist()) == {0: 2, 1: 2}
    assert Counter(found.test.labels.tolist()) == {0: 5, 1: 5}
    both = counted(found.held_out.images, found.held_out.labels)
    both += counted(found.test.images, found.test.labels)
    assert set(both.values()) == {1}
    assert len(both) == 14
    assert torch.equal(whole.test.images, found.test.images)


@pytest.mark.parametrize("names", [("valid", "test"), ("Validation", "test_images")])
def test_validation_and_test_parts_are_held_out_and_test_images(tmp_path, names) -> None:
    for name, count in zip(names, (3, 4), strict=True):
        write_classes(tmp_path / name, count=count)
    found = evaluation_folder(tmp_path, PLAIN)
    assert (len(found.held_out), len(found.test)) == (6, 8)


def test_a_training_part_is_not_read_beside_another(tmp_path) -> None:
    write_classes(tmp_path / "train", count=2)
    (tmp_path / "train" / "cat" / "damaged.png").write_bytes(b"no image")
    write_classes(tmp_path / "val", count=9)
    found = evaluation_folder(tmp_path, PLAIN)
    assert (len(found.held_out), len(found.test)) == (6, 12)
    assert "train is not read" in found.taken


def test_a_training_part_alone_is_told(tmp_path) -> None:
    write_classes(tmp_path / "train", count=6)
    assert "train alone is there" in evaluation_folder(tmp_path, PLAIN).taken


def test_statistics_are_of_the_half_that_choices_are_made_on(tmp_path) -> None:
    found = evaluation_folder(write_classes(tmp_path / "pets", count=15), PLAIN)
    half = len(found.held_out) // 2
    assert torch.equal(found.train.images, found.held_out.images[:half])
    judged = counted(found.held_out.images[half:], found.held_out.labels[half:])
    assert not judged & counted(found.train.images, found.train.labels)


def test_the_first_line_tells_what_was_taken_for_what(tmp_path) -> None:
    root = write_classes(tmp_path / "pets", count=6)
    write_image(root / "cat" / ".hidden.png")
    assert evaluation_folder(root, Preprocessing()).taken == (
        "pets: 12 images of 2 classes (cat, dog): 4 held out (for choices, and half of them for "
        "batch-norm statistics), 8 to test, none to train; every third of a class is held out; "
        "scaled to 256, cropped to 224×224, mean 0.485,0.456,0.406, std 0.229,0.224,0.225; left 1 "
        "hidden or the system's (cat/.hidden.png)"
    )


@pytest.mark.parametrize(
    "other",
    [
        Preprocessing(8, 8, (0.4, 0.4, 0.4)),
        Preprocessing(8, 8, deviation=(0.4, 0.4, 0.4)),
        Preprocessing(7, 8),
    ],
)
def test_other_inputs_have_another_checksum(tmp_path, other) -> None:
    root = write_classes(tmp_path / "pets")
    one, again = (evaluation_folder(root, PLAIN) for _ in range(2))
    assert one.checksum == again.checksum
    assert evaluation_folder(root, other).checksum != one.checksum


def _two_files(root: Path) -> None:
    write_classes(root, count=3)


def _no_classes(root: Path) -> None:
    write_image(root / "0.png")


def _damaged(root: Path) -> None:
    write_classes(root, count=6)
    (root / "cat" / "0.png").write_bytes(b"no image")


def _other_classes(root: Path) -> None:
    write_classes(root / "val")
    write_classes(root / "test", ("cat", "cow"))


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (_two_files, "2 held-out images are too few"),
        (_no_classes, "no class folders"),
        (_damaged, r"0\.png"),
        (_other_classes, "val and test do not hold the same classes: cow, dog"),
        (lambda root: None, "no folder of images at"),
    ],
)
def test_what_cannot_be_taken_is_refused(tmp_path, write, words) -> None:
    write(tmp_path / "pets")
    with pytest.raises(ImagesError, match=words):
        evaluation_folder(tmp_path / "pets", PLAIN)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": 300}, "cannot be cropped"),
        ({"size": 0}, "cannot be cropped"),
        ({"mean": (123.7, 116.3, 103.5)}, "between 0 and 1"),
        ({"deviation": (0.0, 1.0, 1.0)}, "above 0"),
        ({"deviation": (float("nan"), 1.0, 1.0)}, "above 0"),
    ],
)
def test_sizes_and_intensities_that_no_image_has_are_refused(settings, words) -> None:
    with pytest.raises(ImagesError, match=words):
        Preprocessing(**settings)
