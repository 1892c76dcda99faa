"""Images in class sub-folders, to train and to test."""

from dataclasses import replace
from pathlib import Path

from compressibility.networks.image_sets.contents import (
    Report,
    contents,
    left_out,
    number_in_class,
    read_as,
    shared,
)
from compressibility.networks.image_sets.image_set import ImagesError, ImageSet, labelled
from compressibility.networks.image_sets.listing import parts, shown, some


def folder(path: Path, size: int = 32, report: Report = lambda *_: None) -> ImageSet:
    """Images in class sub-folders, scaled and cropped to ``size`` by ``size`` colour pixels.

    Parts of a data set are known by their names (``train``, ``Validation``, ``test_images``, …).
    Training and test images are taken from those parts; without a test part, the validation part
    is the test part, and beside one it is not used. Without either, every sixth image of a class
    is a test image. Every tenth training image of a class is held out. The images of each part
    are in a random order, always the same, so that the first few are of all classes.

    Files are what their content says. What is hidden, outside the class folders or no image is
    left, and `ImageSet.taken` tells of it.

    Raises:
        ImagesError: Fewer than two class sub-folders, one without images or without test images,
            parts that make no whole, or an image that cannot be read as it is meant.
    """
    found = parts(path)
    folders = [part for part in (found.train, found.test) if part is not None]
    read = contents(path, folders, size, size, report)
    classes = tuple(read[0].listing.classes)
    images, labels = read[0].images, read[0].labels
    if found.test is not None:
        test_images, test_labels = read[1].images, read[1].labels
    else:
        test = number_in_class(labels) % 6 == 5
        test_images, test_labels = images[test], labels[test]
        images, labels = images[~test], labels[~test]
    if absent := sorted(set(range(len(classes))) - set(test_labels.tolist())):
        raise ImagesError(
            f"{shown(path)}: class {shown(classes[absent[0]])} has fewer than six images, and so "
            "no test image: give it more, or put test images into a folder test beside a folder "
            "train"
        )
    held_out = number_in_class(labels) % 10 == 9
    image_set = ImageSet(
        name=path.name,
        classes=classes,
        train=labelled(images[~held_out], labels[~held_out]),
        held_out=labelled(images[held_out], labels[held_out]),
        test=labelled(test_images, test_labels),
    )
    clauses = (
        _counted(image_set),
        found.note,
        "every sixth of a class is a test image" if found.test is None else "",
        *read_as(read),
        shared(image_set.test, image_set.train, "training images"),
        *left_out(path, found.left, read),
    )
    return replace(image_set, taken="; ".join(filter(None, clauses)))


def _counted(images: ImageSet) -> str:
    train, held_out, test = len(images.train), len(images.held_out), len(images.test)
    return (
        f"{shown(images.name)}: {train + held_out + test} images of {len(images.classes)} classes "
        f"({some(images.classes)}): {train} to train, {held_out} held out, {test} to test"
    )
