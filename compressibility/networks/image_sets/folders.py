"""Images in class sub-folders."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np

from compressibility.networks.image_sets.image_set import ImagesError, ImageSet, labelled
from compressibility.networks.image_sets.listing import (
    Left,
    Listing,
    Parts,
    differing,
    listing,
    parts,
    shown,
    some,
)
from compressibility.networks.image_sets.pictures import (
    NoImageError,
    Picture,
    UnreadableError,
    read,
)

Report = Callable[[int, int], None]
"""Called with the number of files read and the number of all."""

NO_IMAGE: Final = "no image"
DARK: Final = 1 / 16
"""Images of 16 bits that stay below this share of their range keep fewer than 16 of 256 levels."""


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
    met: dict[tuple[int, int], Path] = {}
    listings = [listing(part, met) for part in (found.train, found.test) if part is not None]
    if len(listings) == 2 and (odd := differing(listings[0].classes, listings[1].classes)):
        raise ImagesError(f"{shown(path)}: train and test do not hold the same classes: {odd}")
    classes = tuple(listings[0].classes)
    total, done = sum(each.n_files for each in listings), 0

    def step() -> None:
        nonlocal done
        done += 1
        report(done, total)

    contents = [_read(each, size, step) for each in listings]
    _require_bright(path, contents)
    images, labels = contents[0].images, contents[0].labels
    if found.test is not None:
        test_images, test_labels = contents[1].images, contents[1].labels
    else:
        test = _number_in_class(labels) % 6 == 5
        test_images, test_labels = images[test], labels[test]
        images, labels = images[~test], labels[~test]
    if absent := sorted(set(range(len(classes))) - set(test_labels.tolist())):
        raise ImagesError(
            f"{shown(path)}: class {shown(classes[absent[0]])} has fewer than six images, and so "
            "no test image: give it more, or put test images into a folder test beside a folder "
            "train"
        )
    held_out = _number_in_class(labels) % 10 == 9
    image_set = ImageSet(
        name=path.name,
        classes=classes,
        train=labelled(images[~held_out], labels[~held_out]),
        held_out=labelled(images[held_out], labels[held_out]),
        test=labelled(test_images, test_labels),
    )
    return replace(image_set, taken=_told(path, image_set, found, listings, contents))


@dataclass(frozen=True, eq=False)
class _Contents:
    """Images (n, 3, size, size) of a part in random order, labels (n,), and what else was met."""

    images: np.ndarray
    labels: np.ndarray
    left: tuple[Left, ...]
    n_turned: int
    peaks: tuple[float, ...]


def _read(part: Listing, size: int, step: Callable[[], None]) -> _Contents:
    pictures: list[Picture] = []
    labels: list[int] = []
    left, unreadable = list(part.left), []
    for label, paths in enumerate(part.classes.values()):
        for path in paths:
            try:
                pictures.append(read(path, size))
                labels.append(label)
            except NoImageError:
                left.append((path, NO_IMAGE))
            except UnreadableError as error:
                unreadable.append(f"{shown(path)} ({error})")
            step()
    if unreadable:
        raise ImagesError(
            f"{len(unreadable)} of {len(pictures) + len(unreadable)} image files in "
            f"{shown(part.folder)} cannot be read; remove or replace them: {some(unreadable)}"
        )
    if empty := [name for label, name in enumerate(part.classes) if label not in labels]:
        raise ImagesError(
            f"{shown(part.folder)}: there is no image of the classes {some(empty)}; fill each "
            "class's folder, or remove it"
        )
    order = np.random.default_rng(0).permutation(len(pictures))
    return _Contents(
        images=np.stack([picture.pixels for picture in pictures])[order],
        labels=np.asarray(labels)[order],
        left=tuple(left),
        n_turned=sum(picture.turned for picture in pictures),
        peaks=tuple(picture.peak for picture in pictures if picture.peak is not None),
    )


def _require_bright(path: Path, contents: list[_Contents]) -> None:
    """Refuse images that use so little of their range that hardly anything of them is left."""
    peaks = [peak for part in contents for peak in part.peaks]
    if peaks and max(peaks) < DARK:
        raise ImagesError(
            f"{shown(path)}: its {len(peaks)} images of more than 8 bits use "
            f"{max(peaks):.2%} of their range at most, and would be black: scale their values to "
            "the whole range (0 to 65535 of 16 bits), or save them in 8 bits"
        )


def _number_in_class(labels: np.ndarray) -> np.ndarray:
    """0, 1, 2, … for the images of each class, in their order."""
    numbers = np.empty_like(labels)
    for label in np.unique(labels):
        numbers[labels == label] = np.arange(np.count_nonzero(labels == label))
    return numbers


def _told(
    path: Path, images: ImageSet, found: Parts, listings: list[Listing], contents: list[_Contents]
) -> str:
    """What was taken and what was left, in one line."""
    train, held_out, test = len(images.train), len(images.held_out), len(images.test)
    inner = [inside for each in listings for inside in each.inner]
    n_turned = sum(part.n_turned for part in contents)
    peaks = [peak for part in contents for peak in part.peaks]
    trained = {sha256(image).digest() for image in images.train.images.numpy()}
    n_same = sum(sha256(image).digest() in trained for image in images.test.images.numpy())
    left: dict[str, list[Path]] = {}
    for file, reason in (*found.left, *(each for part in contents for each in part.left)):
        left.setdefault(reason, []).append(file.relative_to(path))
    clauses = (
        f"{shown(path.name)}: {train + held_out + test} images of {len(images.classes)} classes "
        f"({some(images.classes)}): {train} to train, {held_out} held out, {test} to test",
        found.note,
        "every sixth of a class is a test image" if found.test is None else "",
        f"{len(inner)} files in folders of a class are of the class ({some(inner)})" * bool(inner),
        f"{n_turned} turned upright, as their tag asks" * bool(n_turned),
        f"{len(peaks)} of more than 8 bits, up to {max(peaks, default=0):.0%} of their range"
        * bool(peaks),
        f"{n_same} test images are also training images" * bool(n_same),
        *(f"left {len(files)} {reason} ({some(files)})" for reason, files in left.items()),
    )
    return "; ".join(filter(None, clauses))
