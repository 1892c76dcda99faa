"""Small folders of images, written and read again."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from compressibility.networks.image_sets import ImageSet, folder

SIDE = 8


def write_image(path: Path, value: int = 0) -> None:
    """A grey image whose first pixel tells it from others; any format by the path's suffix."""
    pixels = np.full((SIDE, SIDE), 100 + value % 50, np.uint8)
    pixels[0, 0], pixels[0, 1] = value % 256, value // 256
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_classes(root: Path, classes: Iterable[str] = ("cat", "dog"), count: int = 6) -> Path:
    for label, name in enumerate(classes):
        for number in range(count):
            write_image(root / name / f"{number:02}.png", 100 * label + number)
    return root


def read(root: Path) -> ImageSet:
    return folder(root, SIDE)


def sizes(images: ImageSet) -> tuple[int, int, int]:
    return len(images.train), len(images.held_out), len(images.test)
