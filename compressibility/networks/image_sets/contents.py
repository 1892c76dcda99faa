"""The images of a folder's classes, read, and what is told of the files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np

from compressibility.networks.image_sets.image_set import ImagesError, LabelledImages
from compressibility.networks.image_sets.listing import (
    Left,
    Listing,
    differing,
    listing,
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


@dataclass(frozen=True, eq=False)
class Contents:
    """Images (n, 3, size, size) of a part in random order, labels (n,), and what else was met."""

    listing: Listing
    images: np.ndarray
    labels: np.ndarray
    left: tuple[Left, ...]
    n_turned: int
    peaks: tuple[float, ...]


def contents(
    path: Path, parts: Sequence[Path], size: int, resize: int, report: Report
) -> tuple[Contents, ...]:
    """Read parts of a data set that hold the same classes.

    Args:
        path: The folder that holds the parts, or is the one.
        parts: Folders of class sub-folders.
        size: Pixels of each side.
        resize: Pixels of the shorter side, before cropping.
        report: Told of every file.

    Raises:
        ImagesError: As for `listing`, the classes are not the same, an image cannot be read, or all
            are dark.
    """
    met: dict[tuple[int, int], Path] = {}
    listings = [listing(part, met) for part in parts]
    for each in listings[1:]:
        if odd := differing(listings[0].classes, each.classes):
            names = " and ".join(part.name for part in parts)
            raise ImagesError(f"{shown(path)}: {names} do not hold the same classes: {odd}")
    total, done = sum(each.n_files for each in listings), 0

    def step() -> None:
        nonlocal done
        done += 1
        report(done, total)

    found = tuple(_read(each, size, resize, step) for each in listings)
    _require_bright(path, found)
    return found


def _read(part: Listing, size: int, resize: int, step: Callable[[], None]) -> Contents:
    pictures: list[Picture] = []
    labels: list[int] = []
    left, unreadable = list(part.left), []
    for label, paths in enumerate(part.classes.values()):
        for path in paths:
            try:
                pictures.append(read(path, size, resize))
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
    return Contents(
        listing=part,
        images=np.stack([picture.pixels for picture in pictures])[order],
        labels=np.asarray(labels)[order],
        left=tuple(left),
        n_turned=sum(picture.turned for picture in pictures),
        peaks=tuple(picture.peak for picture in pictures if picture.peak is not None),
    )


def _require_bright(path: Path, parts: Sequence[Contents]) -> None:
    """Refuse images that use so little of their range that hardly anything of them is left."""
    peaks = [peak for part in parts for peak in part.peaks]
    if peaks and max(peaks) < DARK:
        raise ImagesError(
            f"{shown(path)}: its {len(peaks)} images of more than 8 bits use "
            f"{max(peaks):.2%} of their range at most, and would be black: scale their values to "
            "the whole range (0 to 65535 of 16 bits), or save them in 8 bits"
        )


def number_in_class(labels: np.ndarray) -> np.ndarray:
    """0, 1, 2, … for the images of each class, in their order."""
    numbers = np.empty_like(labels)
    for label in np.unique(labels):
        numbers[labels == label] = np.arange(np.count_nonzero(labels == label))
    return numbers


def read_as(parts: Sequence[Contents]) -> tuple[str, ...]:
    """What is told of files that are not taken simply as they lie; empty where there are none."""
    inner = [inside for part in parts for inside in part.listing.inner]
    n_turned = sum(part.n_turned for part in parts)
    peaks = [peak for part in parts for peak in part.peaks]
    return (
        f"{len(inner)} files in folders of a class are of the class ({some(inner)})" * bool(inner),
        f"{n_turned} turned upright, as their tag asks" * bool(n_turned),
        f"{len(peaks)} of more than 8 bits, up to {max(peaks, default=0):.0%} of their range"
        * bool(peaks),
    )


def shared(test: LabelledImages, others: LabelledImages, called: str) -> str:
    """How many test images are others too; empty where none is."""
    known = {sha256(image).digest() for image in others.images.numpy()}
    n = sum(sha256(image).digest() in known for image in test.images.numpy())
    return f"{n} test images are also {called}" * bool(n)


def left_out(path: Path, outside: Sequence[Left], parts: Sequence[Contents]) -> tuple[str, ...]:
    """What was left of a folder, a clause for each reason."""
    left: dict[str, list[Path]] = {}
    for file, reason in (*outside, *(each for part in parts for each in part.left)):
        left.setdefault(reason, []).append(file.relative_to(path))
    return tuple(f"left {len(files)} {reason} ({some(files)})" for reason, files in left.items())
