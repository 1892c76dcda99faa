"""Images in class sub-folders for a network that was trained elsewhere: none to train."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from compressibility.networks.image_sets.contents import (
    Report,
    contents,
    left_out,
    number_in_class,
    read_as,
    shared,
)
from compressibility.networks.image_sets.image_set import ImagesError, ImageSet, labelled
from compressibility.networks.image_sets.listing import evaluation_parts, shown, some
from compressibility.networks.image_sets.preprocessing import Preprocessing

LEAST_HELD_OUT: Final = 4
"""Two halves, one to choose on and one to judge on; a batch norm needs two images."""


def evaluation_folder(
    path: Path, preprocessing: Preprocessing, report: Report = lambda *_: None
) -> ImageSet:
    """Held-out and test images in class sub-folders.

    Where there are a validation and a test part, they are the held-out and the test images, and a
    training part is not read. Otherwise every third image of a class is held out, and the others
    are test images: of the one part that is not for training, of the training part where it is
    alone, or of a folder without parts. Sorted class names are the numbers of the network's
    outputs, as in torchvision's ImageFolder.

    The first half of the held-out images, on which choices are made, stands in the place of
    training images wherever statistics are needed; the second half, on which they are judged,
    serves nothing else.

    Raises:
        ImagesError: There is no such folder, as for `compressibility.networks.image_sets.folder`,
            or fewer than `LEAST_HELD_OUT` images are held out.
    """
    if not path.is_dir():
        raise ImagesError(
            f"no folder of images at {shown(path)}: give the one with a sub-folder for each class "
            "with --images"
        )
    found = evaluation_parts(path)
    folders = [part for part in (found.held_out, found.test) if part is not None]
    read = contents(path, folders, preprocessing.size, preprocessing.resize, report)
    if found.test is None:
        chosen = number_in_class(read[0].labels) % 3 == 2
        held_out = labelled(read[0].images[chosen], read[0].labels[chosen])
        test = labelled(read[0].images[~chosen], read[0].labels[~chosen])
    else:
        held_out, test = (labelled(part.images, part.labels) for part in read)
    if len(held_out) < LEAST_HELD_OUT:
        raise ImagesError(
            f"{shown(path)}: {len(held_out)} held-out images are too few to choose and to judge "
            f"on: give at least {LEAST_HELD_OUT} (every third of a class is held out, or put them "
            "into a folder val beside a folder test)"
        )
    images = ImageSet(
        name=path.name,
        classes=tuple(read[0].listing.classes),
        train=held_out.first(len(held_out) // 2),
        held_out=held_out,
        test=test,
        given_moments=(preprocessing.mean, preprocessing.deviation),
    )
    clauses = (
        _counted(images),
        found.note,
        "every third of a class is held out" if found.test is None else "",
        str(preprocessing),
        *read_as(read),
        shared(images.test, images.held_out, "held out"),
        *left_out(path, found.left, read),
    )
    return replace(images, taken="; ".join(filter(None, clauses)))


def _counted(images: ImageSet) -> str:
    held_out, test = len(images.held_out), len(images.test)
    return (
        f"{shown(images.name)}: {held_out + test} images of {len(images.classes)} classes "
        f"({some(images.classes)}): {held_out} held out (for choices, and half of them for "
        f"batch-norm statistics), {test} to test, none to train"
    )
