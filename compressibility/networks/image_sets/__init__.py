"""Images with their classes: embedded digits, CIFAR, and folders of one's own."""

from compressibility.networks.image_sets.catalogue import NAMES, load, require_present
from compressibility.networks.image_sets.folders import folder
from compressibility.networks.image_sets.handwritten import digits
from compressibility.networks.image_sets.image_set import ImagesError, ImageSet, LabelledImages

__all__ = [
    "NAMES",
    "ImageSet",
    "ImagesError",
    "LabelledImages",
    "digits",
    "folder",
    "load",
    "require_present",
]
