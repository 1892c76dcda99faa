"""Image sets: handwritten digits (embedded), CIFAR-10 and CIFAR-100, and folders of images."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor

from compressibility.errors import UserError

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

CIFAR_HELD_OUT: Final = 5_000


class ImagesError(UserError):
    """An image set that cannot be had; the message says what to do."""


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images (n, channels, height, width), uint8, with labels (n,), int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    def first(self, count: int | None) -> "LabelledImages":
        """The first ``count`` images, or all of them."""
        return self if count is None else LabelledImages(self.images[:count], self.labels[:count])


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Training, held-out and test images of one classification task.

    ``held_out`` is taken from the training images and serves every choice made after training;
    ``test`` serves the measurements. ``maximum`` is the largest intensity a pixel can have.
    """

    name: str
    classes: tuple[str, ...]
    train: LabelledImages
    held_out: LabelledImages
    test: LabelledImages
    maximum: int = 255

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        intensities = self.train.images.to(torch.float64) / self.maximum
        mean = intensities.mean(dim=(0, 2, 3), keepdim=True)
        deviation = intensities.std(dim=(0, 2, 3), keepdim=True, correction=0)
        return mean.float(), deviation.float()

    def normalised(self, images: Tensor) -> Tensor:
        """Float32 images with the training images' zero mean and unit deviation a channel."""
        mean, deviation = (moment.to(images.device) for moment in self._moments)
        return (images.float() / self.maximum - mean) / deviation

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over all images and labels, in order.

        Of shape, classes and ``maximum`` it tells nothing, and need not: a network takes images of
        one shape alone, numbers of classes are among the labels, and what `normalised` gives does
        not depend on the unit of the intensities.
        """
        digest = hashlib.sha256()
        for part in (self.train, self.held_out, self.test):
            digest.update(part.images.numpy().tobytes())
            digest.update(part.labels.numpy().tobytes())
        return digest.hexdigest()


def _labelled(images: np.ndarray, labels: Sequence[int] | np.ndarray) -> LabelledImages:
    return LabelledImages(
        torch.from_numpy(np.ascontiguousarray(images, dtype=np.uint8)),
        torch.from_numpy(np.asarray(labels, dtype=np.int64)),
    )


def digits() -> ImageSet:
    """Scikit-learn's 1,797 handwritten digits, 8 by 8, intensities 0 to 16.

    Every third image is a test image (599); of the others every sixth is held out (200).
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 1, 8, 8)
    number = np.arange(len(labels))
    test = number % 3 == 0
    held_out = number % 9 == 1
    train = ~(test | held_out)
    return ImageSet(
        name="digits",
        classes=tuple("0123456789"),
        train=_labelled(images[train], labels[train]),
        held_out=_labelled(images[held_out], labels[held_out]),
        test=_labelled(images[test], labels[test]),
        maximum=16,
    )


_CIFARS: Final = ("cifar10", "cifar100")


def _family(name: str) -> "type[CIFAR10]":
    from torchvision.datasets import CIFAR10, CIFAR100

    families: dict[str, type[CIFAR10]] = {"cifar10": CIFAR10, "cifar100": CIFAR100}
    return families[name]


def _remedy(name: str) -> str:
    family = _family(name)
    return (
        f"put {family.filename} from {family.url} (MD5 {family.tgz_md5}) there and unpack it, "
        "or name its folder with --images-dir"
    )


def _cifar(name: str, folder: Path) -> ImageSet:
    family = _family(name)
    try:
        train = family(folder, train=True, download=True)
        test = family(folder, train=False, download=False)
    except (OSError, RuntimeError) as error:
        raise ImagesError(
            f"{name} is not in {folder} and could not be downloaded "
            f"({type(error).__name__}: {error}); {_remedy(name)}"
        ) from error
    images = train.data.transpose(0, 3, 1, 2)
    labels = np.asarray(train.targets)
    # the files hold the images in random order
    kept = slice(None, len(labels) - CIFAR_HELD_OUT)
    held_out = slice(len(labels) - CIFAR_HELD_OUT, None)
    return ImageSet(
        name=name,
        classes=tuple(train.classes),
        train=_labelled(images[kept], labels[kept]),
        held_out=_labelled(images[held_out], labels[held_out]),
        test=_labelled(test.data.transpose(0, 3, 1, 2), test.targets),
    )


def folder(path: Path, size: int = 32) -> ImageSet:
    """Images in class sub-folders, scaled and cropped to ``size`` by ``size`` colour pixels.

    ``path/train`` and ``path/test`` are taken where both exist; otherwise every sixth image of a
    class is a test image. Every tenth training image of a class is held out. The images of each
    part are in a random order, always the same, so that the first few are of all classes.

    Raises:
        ImagesError: Fewer than two class sub-folders, one without images or without test images,
            or a file that is no image.
    """
    if (path / "train").is_dir() and (path / "test").is_dir():
        images, labels, classes = _read(path / "train", size)
        test_images, test_labels, test_classes = _read(path / "test", size)
        if test_classes != classes:
            odd = sorted(set(classes) ^ set(test_classes))
            raise ImagesError(f"{path}: train and test do not hold the same classes: {odd}")
    else:
        images, labels, classes = _read(path, size)
        test = _number_in_class(labels) % 6 == 5
        test_images, test_labels = images[test], labels[test]
        images, labels = images[~test], labels[~test]
    if absent := sorted(set(range(len(classes))) - set(test_labels.tolist())):
        raise ImagesError(
            f"{path}: class {classes[absent[0]]} has fewer than six images, and so no test image: "
            "give it more, or put test images into a folder test beside a folder train"
        )
    held_out = _number_in_class(labels) % 10 == 9
    return ImageSet(
        name=path.name,
        classes=classes,
        train=_labelled(images[~held_out], labels[~held_out]),
        held_out=_labelled(images[held_out], labels[held_out]),
        test=_labelled(test_images, test_labels),
    )


def _number_in_class(labels: np.ndarray) -> np.ndarray:
    """0, 1, 2, … for the images of each class, in their order."""
    numbers = np.empty_like(labels)
    for label in np.unique(labels):
        numbers[labels == label] = np.arange(np.count_nonzero(labels == label))
    return numbers


def _read(part: Path, size: int) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Images (n, 3, size, size) of class sub-folders in random order, labels (n,), classes."""
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    scale = v2.Compose([v2.Resize(size), v2.CenterCrop(size), v2.PILToTensor()])
    try:
        images = ImageFolder(str(part), transform=scale)
    except FileNotFoundError as error:
        advice = (
            "fill each class's folder, or remove it"
            if any(each.is_dir() for each in part.iterdir())
            else "put each class's images into a folder of its own"
        )
        raise ImagesError(f"{part}: {error}; {advice}") from error
    if len(images.classes) < 2:
        raise ImagesError(
            f"{part} holds the one class {images.classes[0]}: give at least two class sub-folders"
        )
    pixels, unreadable = [], []
    order = np.random.default_rng(0).permutation(len(images)).tolist()
    for number in order:
        try:
            pixels.append(images[number][0].numpy())
        except (OSError, SyntaxError, ValueError):  # as Pillow tells of damaged files
            unreadable.append(images.samples[number][0])
    if unreadable:
        some = ", ".join(sorted(unreadable)[:3])
        raise ImagesError(
            f"{len(unreadable)} of {len(images)} image files in {part} cannot be read; remove or "
            f"replace them: {some}{', …' * (len(unreadable) > 3)}"
        )
    return np.stack(pixels), np.asarray(images.targets)[order], tuple(images.classes)


def require_present(name: str, directory: Path) -> None:
    """Refuse an image set that `load` would have to download.

    Raises:
        ImagesError: It is CIFAR, and not in ``directory``.
    """
    if name in _CIFARS and not (directory / _family(name).base_folder).is_dir():
        raise ImagesError(f"{name} is not in {directory}; {_remedy(name)}")


def load(name: str, directory: Path) -> ImageSet:
    """The image set of that name: ``digits``, ``cifar10``, ``cifar100``, or a folder's path.

    CIFAR is read from ``directory``, and downloaded into it (checksummed) where it is not there.

    Raises:
        ImagesError: No such image set, or it cannot be read or downloaded.
    """
    if name == "digits":
        return digits()
    if name in _CIFARS:
        return _cifar(name, directory)
    if Path(name).is_dir():
        return folder(Path(name))
    known = ", ".join(("digits", *_CIFARS))
    raise ImagesError(f"unknown image set {name!r}: choose from {known}, or an existing folder")
