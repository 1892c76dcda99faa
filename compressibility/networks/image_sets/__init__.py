"""Images with their classes: embedded digits, CIFAR, and folders of one's own."""

from compressibility.networks.image_sets.catalogue import NAMES, load, require_present
from compressibility.networks.image_sets.evaluation import evaluation_folder
from compressibility.networks.image_sets.folders import folder
from compressibility.networks.image_sets.handwritten import digits
from compressibility.networks.image_sets.image_set import ImagesError, ImageSet, LabelledImages
from compressibility.networks.image_sets.preprocessing import Preprocessing

__all__ = [
    "NAMES",
    "ImageSet",
    "ImagesError",
    "LabelledImages",
    "Preprocessing",
    "digits",
    "evaluation_folder",
    "folder",
    "load",
    "require_present",
]
