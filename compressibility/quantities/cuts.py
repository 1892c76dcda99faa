"""Values along the cuts of one kernel, laid out along the seven labels."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressibility.store.cuts import MODES
from compressibility.tensors.arrays import Floats
from compressibility.tensors.modes import distinct_cuts
from compressibility.tensors.spectra import spectrum


def along_modes(
    by_mode: Mapping[str, NDArray[Any]], missing: float, dtype: type[Any]
) -> NDArray[Any]:
    """Columns of some cuts as one array (7, longest column), the rest missing."""
    longest = max((len(column) for column in by_mode.values()), default=0)
    table = np.full((len(MODES), longest), missing, dtype)
    for mode, column in by_mode.items():
        table[MODES.index(mode), : len(column)] = column
    return table


def schmidt_values(kernel: Floats) -> Floats:
    """Schmidt values of every distinct cut, float64, shape (7, largest number), NaN beyond."""
    held = {cut.label: spectrum(kernel, cut).schmidt_values for cut in distinct_cuts(kernel.shape)}
    return along_modes(held, np.nan, np.float64)
