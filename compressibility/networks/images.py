"""Image sets: handwritten digits (embedded), CIFAR-10 and CIFAR-100, and folders of images."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

CIFAR_HELD_OUT: Final = 5_000


class ImagesError(ValueError):
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
        """SHA-256 over all images and labels, in order."""
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


def _cifar(name: str, folder: Path) -> ImageSet:
    from torchvision.datasets import CIFAR10, CIFAR100

    family = {"cifar10": CIFAR10, "cifar100": CIFAR100}[name]
    try:
        train = family(folder, train=True, download=True)
        test = family(folder, train=False, download=False)
    except (OSError, RuntimeError) as error:
        raise ImagesError(
            f"{name} is not in {folder} and could not be downloaded "
            f"({type(error).__name__}: {error}); "
            f"put {family.filename} from {family.url} (MD5 {family.tgz_md5}) there and unpack it, "
            "or name its folder with --images-dir"
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

    ``path/train`` and ``path/test`` are taken where both exist; otherwise every sixth image of
    ``path`` is a test image. Every tenth training image is held out. The images of each part are
    in a random order, always the same, so that the first few are of all classes.

    Raises:
        ImagesError: There is no such folder, or no class sub-folder with images in it.
    """
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    scale = v2.Compose([v2.Resize(size), v2.CenterCrop(size), v2.PILToTensor()])

    def read(part: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        try:
            images = ImageFolder(str(part), transform=scale)
        except FileNotFoundError as error:
            raise ImagesError(
                f"{part} holds no class sub-folders with images ({error}); "
                "put each class's images into a folder of its own"
            ) from error
        order = np.random.default_rng(0).permutation(len(images))
        pixels = [(image.numpy(), label) for image, label in (images[i] for i in order)]
        return (
            np.stack([image for image, _ in pixels]),
            np.array([label for _, label in pixels]),
            tuple(images.classes),
        )

    if (path / "train").is_dir() and (path / "test").is_dir():
        images, labels, classes = read(path / "train")
        test_images, test_labels, test_classes = read(path / "test")
        if test_classes != classes:
            odd = sorted(set(classes) ^ set(test_classes))
            raise ImagesError(f"{path}: train and test do not hold the same classes: {odd}")
    else:
        images, labels, classes = read(path)
        test = np.arange(len(labels)) % 6 == 5
        test_images, test_labels = images[test], labels[test]
        images, labels = images[~test], labels[~test]
    held_out = np.arange(len(labels)) % 10 == 9
    return ImageSet(
        name=path.name,
        classes=classes,
        train=_labelled(images[~held_out], labels[~held_out]),
        held_out=_labelled(images[held_out], labels[held_out]),
        test=_labelled(test_images, test_labels),
    )


_NAMED: Final[dict[str, Callable[[Path], ImageSet]]] = {
    "digits": lambda _: digits(),
    "cifar10": lambda directory: _cifar("cifar10", directory),
    "cifar100": lambda directory: _cifar("cifar100", directory),
}


def load(name: str, directory: Path) -> ImageSet:
    """The image set of that name: ``digits``, ``cifar10``, ``cifar100``, or a folder's path.

    CIFAR is read from ``directory``, and downloaded into it (checksummed) where it is not there.

    Raises:
        ImagesError: No such image set, or it cannot be read or downloaded.
    """
    if name in _NAMED:
        return _NAMED[name](directory)
    if Path(name).is_dir():
        return folder(Path(name))
    raise ImagesError(f"unknown image set {name!r}: choose from {', '.join(_NAMED)}, or a folder")
