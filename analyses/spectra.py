"""Schmidt spectra of a dataset: probabilities, entropies, ranks, and what random matrices have."""

from typing import Final

import numpy as np

from analyses.curves import Floats, Sweep
from compressibility.tensors.nulls import gaussian_entropy

TRAINED: Final = 0
INITIAL: Final = 1
SHUFFLED: Final = 2
"""Places along the dimension ``weights``."""


def schmidt_values(sweep: Sweep) -> Floats:
    """Schmidt values, (weights, layer, mode, seed, schmidt_index), NaN beyond the last."""
    return sweep.values("schmidt_value", "weights", "layer", "mode", "seed", "schmidt_index")


def probabilities(values: Floats) -> Floats:
    """P = s² / Σ s² along the last axis; missing where the spectrum is."""
    largest = np.nanmax(np.where(np.isnan(values), 0.0, values), axis=-1, keepdims=True)
    squares = (values / np.where(largest > 0, largest, 1.0)) ** 2
    total = np.nansum(squares, axis=-1, keepdims=True)
    return squares / np.where(total > 0, total, np.nan)


def normalised_entropy(values: Floats) -> Floats:
    """Entanglement entropy over its maximum ln n, along the last axis; NaN where n < 2."""
    p = probabilities(values)
    n = np.isfinite(values).sum(axis=-1)
    entropy = -np.nansum(p * np.log(np.where(p > 0, p, 1.0)), axis=-1)
    usable = (n > 1) & np.isfinite(p).any(axis=-1)
    return np.where(usable, entropy, np.nan) / np.log(np.where(n > 1, n, np.e))


def ranks_at(values: Floats, threshold: float) -> Floats:
    """Smallest rank whose norm loss does not exceed the threshold, along the last axis."""
    kept = np.nancumsum(probabilities(values), axis=-1)
    enough = np.sqrt(np.minimum(kept, 1.0)) >= 1 - threshold - 1e-12
    rank = enough.argmax(axis=-1) + 1.0
    return np.where(np.isfinite(values).any(axis=-1), rank, np.nan)


def null_entropy(sweep: Sweep) -> Floats:
    """Expected normalised entropy of Gaussian matrices of each cut's size, (layer, mode)."""
    table = np.full((len(sweep.layers), len(sweep.modes)), np.nan)
    for layer, j in np.argwhere(sweep.distinct):
        m, n = sweep.matrix_shape(layer, sweep.modes[j])
        if min(m, n) > 1:
            table[layer, j] = gaussian_entropy(m, n) / np.log(min(m, n))
    return table
