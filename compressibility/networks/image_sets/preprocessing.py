"""How images are brought to a network that was trained elsewhere."""

from dataclasses import dataclass
from math import isfinite
from typing import Final, TypeAlias

from compressibility.networks.image_sets.image_set import ImagesError

Channels: TypeAlias = tuple[float, float, float]
"""One number each for red, green and blue."""

IMAGENET_MEAN: Final[Channels] = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION: Final[Channels] = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """Scaled, cropped in the middle, less a mean and over a deviation; by default ImageNet's.

    Attributes:
        size: Pixels of each side, cropped.
        resize: Pixels of the shorter side, before cropping.
        mean: Of the intensities, 0 to 1.
        deviation: Of the intensities, above 0.

    Raises:
        ImagesError: There are no such images.
    """

    size: int = 224
    resize: int = 256
    mean: Channels = IMAGENET_MEAN
    deviation: Channels = IMAGENET_DEVIATION

    def __post_init__(self) -> None:
        """Refuse sizes and intensities that no image has."""
        if not 1 <= self.size <= self.resize:
            raise ImagesError(
                f"images scaled to {self.resize} pixels cannot be cropped to {self.size}: give a "
                "size of at least 1, and scale to no less"
            )
        if not all(0 <= value <= 1 for value in self.mean):
            raise ImagesError(
                f"a mean of {self.mean}: intensities lie between 0 and 1 (divide those of 0 to 255)"
            )
        if not all(value > 0 and isfinite(value) for value in self.deviation):
            raise ImagesError(f"a deviation of {self.deviation}: give numbers above 0")

    def __str__(self) -> str:
        """Such as ``scaled to 256, cropped to 224×224, mean 0.485,0.456,0.406, std …``."""
        mean, deviation = (",".join(f"{x:g}" for x in v) for v in (self.mean, self.deviation))
        scaled = f"scaled to {self.resize}, cropped to {self.size}×{self.size}"
        return f"{scaled}, mean {mean}, std {deviation}"
