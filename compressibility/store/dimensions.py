"""The dimensions that tables share.

A dimension that one table alone lies along may be declared beside that table.
"""

from typing import Final, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from compressibility.store.cuts import MODES, n_schmidt_values
from compressibility.store.declarations import (
    AT_LEAST_ONE,
    EXPERIMENT,
    NORM_LOSS,
    PAPER,
    Bounds,
    Dimension,
    Variable,
)
from compressibility.store.view import View

_FORWARD: Final = "traced forward pass"


def _of_layers(
    name: str,
    long_name: str,
    definition: str,
    *,
    dtype: Literal["int64", "float64"] = "int64",
    source: str = "torch.nn",
    bounds: Bounds = AT_LEAST_ONE,
) -> Variable:
    return Variable(name, ("layer",), dtype, "1", long_name, definition, source, bounds=bounds)


LAYER: Final = Dimension(
    Variable("layer", ("layer",), "str", "1", "layer", "Path of the module in the network.",
             "torch.nn"),
    "module path of the layer, in forward order",
    "labels",
    described_by=(
        _of_layers("depth", "depth", "Position of the layer in forward order, from 1.",
                   source=_FORWARD),
        _of_layers("relative_depth", "relative depth",
                   "(depth - 1) / (number of layers - 1): 0 is the first measured layer, 1 the "
                   "last.",
                   dtype="float64", source=_FORWARD, bounds=Bounds(0, 1)),
        _of_layers("out_channels", "output channels", "Size of mode OUT."),
        _of_layers("in_channels", "input channels",
                   "Size of mode IN as stored: input channels / groups."),
        _of_layers("kernel_height", "kernel height", "Size of mode KH."),
        _of_layers("kernel_width", "kernel width", "Size of mode KW."),
        _of_layers("groups", "groups", "Groups of the convolution."),
        _of_layers("parameters", "parameters of the kernel",
                   "Entries of the kernel, without bias."),
        _of_layers("macs", "multiply-accumulates per image",
                   "Kernel entries times output positions, for one image.", source=_FORWARD),
    ),
)  # fmt: skip

SEED: Final = Dimension(
    Variable("seed", ("seed",), "int64", "1", "seed",
             "Seed of the initialisation and of the order and augmentation of the training images.",
             EXPERIMENT),
    "independently initialised and trained network",
    "ascending",
)  # fmt: skip

MODE: Final = Dimension(
    Variable("mode", ("mode",), "str", "1", "cut",
             "Bipartition of the modes OUT, IN, KH, KW, written by one side.", PAPER),
    "cut of the kernel's modes, written by one side",
    "labels",
    known=MODES,
    described_by=(
        Variable("same_as", ("layer", "mode"), "str", "1", "the cut this label stands for",
                 "The label itself where the cut exists; the label of the equal cut that holds its "
                 "values where size-one modes make two cuts one; 'trivial' where one side has no "
                 "mode left.", "compressibility.tensors.modes"),
    ),
    exists=lambda view: view.cut_exists,
)  # fmt: skip

THRESHOLD: Final = Dimension(
    Variable("threshold", ("threshold",), "float64", "1", "threshold on the norm loss",
             "The truncation keeps the smallest rank whose norm loss does not exceed the "
             "threshold; 0 keeps full rank.", PAPER, bounds=NORM_LOSS),
    "allowed norm loss of a truncation",
    "ascending",
)  # fmt: skip

WEIGHTS: Final = Dimension(
    Variable("weights", ("weights",), "str", "1", "weights",
             "trained; initial (before training); shuffled (trained, entries permuted at random).",
             EXPERIMENT),
    "which weights of the layer",
    "labels",
    known=("trained", "initial", "shuffled"),
)  # fmt: skip


def _index_is_used(view: View) -> xr.Variable:
    return view["schmidt_index"] <= view.n_schmidt_values


def _longest_spectrum(shapes: NDArray[np.int64]) -> int:
    return int(n_schmidt_values(shapes).max(initial=1))


SCHMIDT_INDEX: Final = Dimension(
    Variable("schmidt_index", ("schmidt_index",), "int64", "1", "Schmidt index",
             "Position in the descending Schmidt values, from 1.", PAPER),
    "position in the descending Schmidt values, from 1",
    "counted",
    exists=_index_is_used,
    longest=_longest_spectrum,
)  # fmt: skip

NORM_LOSS_LEVEL: Final = Dimension(
    Variable("norm_loss_level", ("norm_loss_level",), "float64", "1",
             "norm loss of the perturbation",
             "Norm loss at which the random perturbation is matched to a truncation.", EXPERIMENT,
             bounds=NORM_LOSS),
    "norm loss of the matched random perturbation",
    "ascending",
)  # fmt: skip

DIRECTION: Final = Dimension(
    Variable("direction", ("direction",), "int64", "1", "random direction",
             "Number of the random direction, from 1.", EXPERIMENT),
    "random direction in the space of one layer's weights, from 1",
    "counted",
)  # fmt: skip

EIGENVALUE_INDEX: Final = Dimension(
    Variable("eigenvalue_index", ("eigenvalue_index",), "int64", "1", "eigenvalue index",
             "Position in the descending eigenvalues, from 1.", EXPERIMENT),
    "position in the descending Hessian eigenvalues, from 1",
    "counted",
)  # fmt: skip
