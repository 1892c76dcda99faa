"""The cuts of kernels of known shapes: how many Schmidt values, which label holds the values."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from compressibility.tensors.modes import CUTS, matrix_shape, same_as

MODES: Final = tuple(cut.label for cut in CUTS)
"""Labels of the seven cuts, in the order of the dimension ``mode``."""


def n_schmidt_values(shapes: ArrayLike) -> NDArray[np.int64]:
    """How many Schmidt values each cut of each kernel has: the smaller side of its matrix.

    Args:
        shapes: Sizes of OUT, IN, KH, KW, shape (layers, 4).

    Returns:
        Shape (layers, 7), along `MODES`.
    """
    counts = [[min(matrix_shape(shape, cut)) for cut in CUTS] for shape in np.asarray(shapes)]
    return np.array(counts, np.int64).reshape(-1, len(MODES))


def cut_labels(shapes: ArrayLike) -> NDArray[np.object_]:
    """What ``same_as`` says of each cut of each kernel.

    Args:
        shapes: Sizes of OUT, IN, KH, KW, shape (layers, 4).

    Returns:
        Text, shape (layers, 7), along `MODES`.
    """
    labels = [[same_as(shape, cut) for cut in CUTS] for shape in np.asarray(shapes)]
    return np.array(labels, object).reshape(-1, len(MODES))
