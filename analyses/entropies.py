"""Entanglement of a dataset's kernels: entropies, ranks, and what random matrices have."""

from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from compressibility.store.reading import LayerData
from compressibility.tensors.nulls import gaussian_entropy

Floats = NDArray[np.float64]

WEIGHTS: Final = ("trained", "initial", "shuffled")
"""Labels along the dimension ``weights``, in the order in which they are told."""


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
    return np.where(usable, entropy, np.nan) / np.log(np.where(n > 1, n, 2))


def ranks_at(values: Floats, threshold: float) -> Floats:
    """Smallest rank whose norm loss does not exceed the threshold, along the last axis."""
    kept = np.nancumsum(probabilities(values), axis=-1)
    enough = np.sqrt(np.minimum(kept, 1.0)) >= 1 - threshold - 1e-12
    rank = enough.argmax(axis=-1) + 1.0
    return np.where(np.isfinite(values).any(axis=-1), rank, np.nan)


def entropies(data: LayerData, weights: str) -> xr.DataArray:
    """Normalised entropies of the trained, initial or shuffled weights, (layer, mode, seed).

    Raises:
        NotMeasuredError: The dataset has no spectra of these weights.
    """
    values = _spectra(data, weights)
    return values.isel(schmidt_index=0, drop=True).copy(data=normalised_entropy(values.values))


def log2_ranks(data: LayerData, weights: str, threshold: float) -> xr.DataArray:
    """Base-2 logarithms of the ranks at a norm loss, (layer, mode, seed).

    Raises:
        NotMeasuredError: The dataset has no spectra of these weights.
    """
    values = _spectra(data, weights)
    ranks = np.log2(ranks_at(values.values, threshold))
    return values.isel(schmidt_index=0, drop=True).copy(data=ranks)


def normalised_spectra(data: LayerData, weights: str) -> xr.DataArray:
    """Schmidt values in units of the kernel's norm, (layer, mode, seed, schmidt_index).

    Raises:
        NotMeasuredError: The dataset has no spectra of these weights.
    """
    values = _spectra(data, weights)
    return values.copy(data=np.sqrt(probabilities(values.values)))


def _spectra(data: LayerData, weights: str) -> xr.DataArray:
    values = data.of_weights("schmidt_value", weights)
    return values.transpose("layer", "mode", "seed", "schmidt_index")


def null_entropies(data: LayerData) -> xr.DataArray:
    """Expected normalised entropy of Gaussian matrices of each cut's size, (layer, mode)."""
    found = xr.full_like(data.distinct.transpose("layer", "mode"), np.nan, dtype=np.float64)
    for layer in data.layers:
        for mode in data.modes:
            m, n = data.matrix_shape(layer, mode)
            if data.distinct.sel(layer=layer, mode=mode) and min(m, n) > 1:
                found.loc[layer, mode] = gaussian_entropy(m, n) / np.log(min(m, n))
    return found
