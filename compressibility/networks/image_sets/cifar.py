"""CIFAR-10 and CIFAR-100."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from compressibility.networks.image_sets.image_set import ImagesError, ImageSet, labelled

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

NAMES: Final = ("cifar10", "cifar100")
HELD_OUT: Final = 5_000


def _family(name: str) -> "type[CIFAR10]":
    from torchvision.datasets import CIFAR10, CIFAR100

    families: dict[str, type[CIFAR10]] = {"cifar10": CIFAR10, "cifar100": CIFAR100}
    return families[name]


def remedy(name: str) -> str:
    """What to do where the images are not there and cannot be downloaded."""
    family = _family(name)
    return (
        f"put {family.filename} from {family.url} (MD5 {family.tgz_md5}) there and unpack it, "
        "or name its folder with --images-dir"
    )


def cifar(name: str, folder: Path) -> ImageSet:
    """CIFAR-10 or CIFAR-100, from a folder, downloaded into it (checksummed) where not there.

    The last 5,000 training images are held out; the files hold them in random order.

    Raises:
        ImagesError: They are not there and cannot be downloaded.
    """
    family = _family(name)
    try:
        train = family(folder, train=True, download=True)
        test = family(folder, train=False, download=False)
    except (OSError, RuntimeError) as error:
        raise ImagesError(
            f"{name} is not in {folder} and could not be downloaded "
            f"({type(error).__name__}: {error}); {remedy(name)}"
        ) from error
    images = train.data.transpose(0, 3, 1, 2)
    labels = np.asarray(train.targets)
    kept = slice(None, len(labels) - HELD_OUT)
    held_out = slice(len(labels) - HELD_OUT, None)
    return ImageSet(
        name=name,
        classes=tuple(train.classes),
        train=labelled(images[kept], labels[kept]),
        held_out=labelled(images[held_out], labels[held_out]),
        test=labelled(test.data.transpose(0, 3, 1, 2), test.targets),
    )


def present(name: str, folder: Path) -> bool:
    """Whether the images are in a folder already."""
    unpacked: Path = folder / _family(name).base_folder
    return unpacked.is_dir()
