"""Scikit-learn's handwritten digits, which come with it."""

import numpy as np

from compressibility.networks.image_sets.image_set import ImageSet, labelled


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
        train=labelled(images[train], labels[train]),
        held_out=labelled(images[held_out], labels[held_out]),
        test=labelled(images[test], labels[test]),
        maximum=16,
    )
