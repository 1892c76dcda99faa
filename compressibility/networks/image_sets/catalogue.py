"""Image sets by their names."""

from pathlib import Path
from typing import Final

from compressibility.networks.image_sets import cifar
from compressibility.networks.image_sets.contents import Report
from compressibility.networks.image_sets.folders import folder
from compressibility.networks.image_sets.handwritten import digits
from compressibility.networks.image_sets.image_set import ImagesError, ImageSet

NAMES: Final = ("digits", *cifar.NAMES)


def require_present(name: str, directory: Path) -> None:
    """Refuse an image set that `load` would have to download.

    Raises:
        ImagesError: It is CIFAR, and not in ``directory``.
    """
    if name in cifar.NAMES and not cifar.present(name, directory):
        raise ImagesError(f"{name} is not in {directory}; {cifar.remedy(name)}")


def load(name: str, directory: Path, report: Report = lambda *_: None) -> ImageSet:
    """The image set of that name: ``digits``, ``cifar10``, ``cifar100``, or a folder's path.

    CIFAR is read from ``directory``, and downloaded into it (checksummed) where it is not there.
    Of a folder's files ``report`` is told how many are read, of how many.

    Raises:
        ImagesError: No such image set, or it cannot be read or downloaded.
    """
    if name == "digits":
        return digits()
    if name in cifar.NAMES:
        return cifar.cifar(name, directory)
    if Path(name).is_dir():
        return folder(Path(name), report=report)
    raise ImagesError(
        f"unknown image set {name!r}: choose from {', '.join(NAMES)}, or an existing folder"
    )
