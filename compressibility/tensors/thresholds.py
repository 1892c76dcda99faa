"""The allowed norm loss of a truncation, and the rank that obeys it."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from compressibility.errors import UserError
from compressibility.tensors.arrays import Floats
from compressibility.tensors.spectra import Spectrum

THRESHOLDS: Final = (0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""The standard grid of allowed norm losses."""


def rank_at(spectrum: Spectrum, threshold: float) -> int:
    """Return the smallest rank whose norm loss does not exceed a threshold.

    A threshold of 0 keeps full rank, by definition: the control. The zero kernel has rank 1.

    Args:
        spectrum: The Schmidt values.
        threshold: Allowed norm loss, in [0, 1).

    Raises:
        UserError: The threshold is outside [0, 1).

    Examples:
        >>> rank_at(Spectrum(np.array([4.0, 3.0, 0.0])), 0.3)
        1
    """
    return int(ranks_at(spectrum, (threshold,))[0])


def ranks_at(spectrum: Spectrum, thresholds: Sequence[float] | Floats) -> NDArray[np.int64]:
    """Return `rank_at` for several thresholds.

    Args:
        spectrum: The Schmidt values.
        thresholds: T allowed norm losses, each in [0, 1).

    Returns:
        int64, shape (T,).

    Raises:
        UserError: A threshold is outside [0, 1).

    Examples:
        >>> ranks_at(Spectrum(np.array([4.0, 3.0, 0.0])), (0, 0.1, 0.3))
        array([3, 2, 1])
    """
    allowed = require_thresholds(thresholds)
    if spectrum.is_zero:
        return np.ones(allowed.shape, dtype=np.int64)
    obeys = spectrum.norm_losses <= allowed[:, None]
    ranks = np.where(allowed == 0, len(spectrum), obeys.argmax(axis=1) + 1)
    return ranks.astype(np.int64)


def require_thresholds(thresholds: Sequence[float] | Floats) -> Floats:
    """Return allowed norm losses in float64.

    Raises:
        UserError: One is outside [0, 1).
    """
    allowed = np.asarray(thresholds, dtype=np.float64)
    outside = ~((allowed >= 0) & (allowed < 1))
    if outside.any():
        raise UserError(
            f"threshold {allowed[outside][0]} is outside [0, 1): choose an allowed norm loss from "
            "0 (full rank) to below 1"
        )
    return allowed
