"""The blank layer dataset: every variable of the table, laid out, described and missing."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from compressibility.store.schema import (
    BOOKKEEPING,
    COORDINATES,
    FLAGS,
    MODES,
    TABLE,
    VARIABLES,
    WEIGHTS,
    Flag,
    Variable,
)
from compressibility.tensors.modes import CUTS, matrix_shape, same_as


class Layer(Protocol):
    """What a dataset keeps of a layer: `compressibility.networks.kernels.Kernel` has it all."""

    @property
    def layer(self) -> str:
        """Path of the module in the network."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Sizes of the modes OUT, IN, KH, KW of the kernel as stored."""

    @property
    def groups(self) -> int:
        """Groups of the convolution."""

    @property
    def depth(self) -> int:
        """Position in forward order, from 1."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""


def blank(
    layers: Sequence[Layer],
    *,
    thresholds: Sequence[float],
    seeds: Sequence[int],
    norm_loss_levels: Sequence[float],
    n_directions: int,
    n_eigenvalues: int,
    attributes: Mapping[str, str | int],
) -> xr.Dataset:
    """The dataset in which nothing is measured yet.

    Every variable of the table is there at its missing value (NaN, -1, empty text, the flag
    ``NOT_MEASURED``), with all its attributes; only ``same_as``, which follows from the layers'
    shapes, is filled in. ``schmidt_index`` is as long as the longest spectrum of the layers.

    Args:
        layers: The measured layers, in forward order.
        thresholds: Allowed norm losses, ascending, in [0, 1).
        seeds: Seeds of the networks, ascending.
        norm_loss_levels: Norm losses of the matched random perturbation, ascending.
        n_directions: Random directions of curvature for each layer.
        n_eigenvalues: Top eigenvalues of the network's Hessian.
        attributes: The global attributes, as `compressibility.store.provenance.attributes` makes
            them.

    Returns:
        A dataset that passes `compressibility.store.validation.validate`.
    """
    shapes = np.array([layer.shape for layer in layers], dtype=np.int64).reshape(-1, 4)
    longest = int(n_schmidt_values(shapes).max(initial=1))
    last = max(len(layers) - 1, 1)
    values: dict[str, ArrayLike] = {
        "layer": [layer.layer for layer in layers],
        "mode": MODES,
        "threshold": thresholds,
        "seed": seeds,
        "weights": WEIGHTS,
        "schmidt_index": np.arange(1, longest + 1),
        "norm_loss_level": norm_loss_levels,
        "direction": np.arange(1, n_directions + 1),
        "eigenvalue_index": np.arange(1, n_eigenvalues + 1),
        "depth": [layer.depth for layer in layers],
        "relative_depth": [(layer.depth - 1) / last for layer in layers],
        "out_channels": shapes[:, 0],
        "in_channels": shapes[:, 1],
        "kernel_height": shapes[:, 2],
        "kernel_width": shapes[:, 3],
        "groups": [layer.groups for layer in layers],
        "parameters": shapes.prod(axis=1),
        "macs": [layer.macs for layer in layers],
    }
    coordinates = {v.name: _described(v, values[v.name]) for v in COORDINATES}
    cuts = _described(TABLE["same_as"], cut_labels(shapes))
    return completed(xr.Dataset({"same_as": cuts}, coordinates, dict(attributes)))


def completed(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset with every variable of the table that it lacks, at its missing value.

    A variable along a dimension that the dataset does not have cannot be laid out and stays away.
    """
    sizes = dataset.sizes
    absent = {
        v.name: _described(v, np.full([sizes[d] for d in v.dims], v.missing, numpy_dtype(v)))
        for v in (*VARIABLES, *FLAGS, *BOOKKEEPING)
        if v.name not in dataset.variables and set(v.dims) <= set(sizes)
    }
    return dataset.assign(absent)


def n_schmidt_values(shapes: ArrayLike) -> NDArray[np.int64]:
    """How many Schmidt values each cut of each kernel has: the smaller side of its matrix.

    Args:
        shapes: Sizes of OUT, IN, KH, KW, shape (layers, 4).

    Returns:
        Shape (layers, 7), along the modes of the schema.
    """
    counts = [[min(matrix_shape(shape, cut)) for cut in CUTS] for shape in np.asarray(shapes)]
    return np.array(counts, np.int64).reshape(-1, len(MODES))


def cut_labels(shapes: ArrayLike) -> NDArray[np.object_]:
    """What ``same_as`` says of each cut of each kernel.

    Args:
        shapes: Sizes of OUT, IN, KH, KW, shape (layers, 4).

    Returns:
        Text, shape (layers, 7), along the modes of the schema.
    """
    labels = [[same_as(shape, cut) for cut in CUTS] for shape in np.asarray(shapes)]
    return np.array(labels, object).reshape(-1, len(MODES))


def variable_attributes(variable: Variable) -> dict[str, object]:
    """The netCDF attributes of a variable; a flag's follow the CF conventions."""
    counts = variable.dtype == "int64" and variable.parts
    missing = f" {variable.missing} where it is not measured." if counts else ""
    described: dict[str, object] = {
        "units": variable.units,
        "long_name": variable.long_name,
        "definition": variable.definition + missing,
        "source": variable.source,
    }
    if variable.dtype == "int8":
        described["flag_values"] = np.array([flag.value for flag in Flag], np.int8)
        described["flag_meanings"] = " ".join(flag.name.lower() for flag in Flag)
    return described


def numpy_dtype(variable: Variable) -> np.dtype[np.generic]:
    """The NumPy type of a variable: object for text, so that no text is ever cut short."""
    return np.dtype(object if variable.dtype == "str" else variable.dtype)


def _described(variable: Variable, values: ArrayLike) -> xr.Variable:
    data = np.asarray(values, numpy_dtype(TABLE[variable.name]))
    return xr.Variable(variable.dims, data, variable_attributes(variable))
