"""Every dimension, coordinate and variable of a layer dataset, in one table.

This table is the only place that defines them: an empty dataset, its validation, the generated
documentation and the tests all read it. A variable found under one of these names means exactly
what the table says. Dimensions are found by name, never by order.

Of the variables along ``weights``, the part for the trained weights belongs to the truncation
group and is flagged by ``truncation_flag``; the parts for the initial and the shuffled weights
belong to the controls group and are flagged by ``controls_flag`` (see `Variable.parts`).

A variable added later comes with a group and a flag of its own, and raises ``SCHEMA_VERSION``:
older files then open with the new variable flagged as not measured, and keep what they hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

SCHEMA_VERSION: Final = 1

MODES: Final = ("OUT", "IN", "KH", "KW", "OUT,IN", "OUT,KH", "OUT,KW")
WEIGHTS: Final = ("trained", "initial", "shuffled")

PAPER: Final = "arXiv 2403.14379"

MISSING_INTEGER: Final = -1

FLOAT32: Final = "float32"
"""The precision in which everything is measured, losses too."""


class Group(Enum):
    """Variables that one task measures together; a dataset keeps one content key for each."""

    NETWORK = "network"
    TRUNCATION = "truncation"
    CONTROLS = "controls"
    HESSIAN = "hessian"
    CURVATURE = "curvature"

    @property
    def dims(self) -> tuple[str, ...]:
        """The dimensions along which tasks of this group are independent."""
        return ("seed",) if self in (Group.NETWORK, Group.HESSIAN) else ("layer", "seed")


class Flag(Enum):
    """Why a value is there, or why it is missing (CF conventions: flag_values, flag_meanings)."""

    MEASURED = 0
    NOT_MEASURED = 1
    SAME_AS_OTHER_CUT = 2
    TRIVIAL_CUT = 3
    NO_DIRECTION = 4


_MISSING: Final[Mapping[str, float | int | str]] = {
    "float64": float("nan"),
    "int64": MISSING_INTEGER,
    "int8": Flag.NOT_MEASURED.value,
    "str": "",
}


@dataclass(frozen=True)
class Part:
    """The part of a variable that one group measures: all of it, or that for some weights."""

    group: Group
    flag: str
    weights: tuple[str, ...] = ()
    """Labels along ``weights``; empty for a variable without that dimension."""


@dataclass(frozen=True)
class Variable:
    """One variable or coordinate: what it is called, how it is laid out, what it means.

    ``dtype`` is a NumPy name, or ``str``. Missing is NaN for floats, -1 for integers (without
    ``_FillValue``), the empty string for text.
    """

    name: str
    dims: tuple[str, ...]
    dtype: str
    units: str
    long_name: str
    definition: str
    source: str
    group: Group | None = None
    """The group that measures it; None for what no group measures, or more than one does."""
    flag: str | None = None
    """The variable that says why a value is missing; along ``weights``, of the trained ones."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Which group measures which part, and the flag beside it; empty where none does."""
        if self.flag is not None and "weights" in self.dims:
            return (
                Part(Group.TRUNCATION, self.flag, ("trained",)),
                Part(Group.CONTROLS, "controls_flag", ("initial", "shuffled")),
            )
        if self.flag is not None and self.group is not None:
            return (Part(self.group, self.flag),)
        return ()

    @property
    def missing(self) -> float | int | str:
        """The value that stands for a missing one; for a flag, that of ``NOT_MEASURED``."""
        return _MISSING[self.dtype]


DIMENSIONS: Final[Mapping[str, str]] = {
    "layer": "module path of the layer, in forward order",
    "mode": "cut of the kernel's modes, written by one side",
    "threshold": "allowed norm loss of a truncation",
    "seed": "independently initialised and trained network",
    "weights": "which weights of the layer",
    "schmidt_index": "position in the descending Schmidt values, from 1",
    "norm_loss_level": "norm loss of the matched random perturbation",
    "direction": "random direction in the space of one layer's weights, from 1",
    "eigenvalue_index": "position in the descending Hessian eigenvalues, from 1",
}


def _row(
    name: str,
    dims: str,
    dtype: str,
    units: str,
    group: Group | None,
    source: str,
    long_name: str,
    definition: str,
    *,
    flag: str | None = None,
) -> Variable:
    """One row of the table; ``dims`` apart by blanks, the flag that of the group unless given."""
    flag = f"{group.value}_flag" if flag is None and group is not None else flag
    return Variable(
        name, tuple(dims.split()), dtype, units, long_name, definition, source, group, flag
    )


_EXPERIMENT = "the experiment"
_FORWARD = "traced forward pass"
_ARPACK = "curvlinops and ARPACK"
_HUTCHINSON = "Hutchinson, Commun. Stat. Simul. Comput. 18 (1989) 1059"
_ECKART = "Eckart and Young, Psychometrika 1 (1936) 211"
_STORED = "compressibility.tensors.schmidt.stored_parameters"

# fmt: off
# name, dims, dtype, units, group, source, long name, definition
COORDINATES: Final = (
    _row("layer", "layer", "str", "1", None, "torch.nn", "layer",
         "Path of the module in the network."),
    _row("mode", "mode", "str", "1", None, PAPER, "cut",
         "Bipartition of the modes OUT, IN, KH, KW, written by one side."),
    _row("threshold", "threshold", "float64", "1", None, PAPER, "threshold on the norm loss",
         "The truncation keeps the smallest rank whose norm loss does not exceed the threshold; "
         "0 keeps full rank."),
    _row("seed", "seed", "int64", "1", None, _EXPERIMENT, "seed",
         "Seed of the initialisation and of the order and augmentation of the training images."),
    _row("weights", "weights", "str", "1", None, _EXPERIMENT, "weights",
         "trained; initial (before training); shuffled (trained, entries permuted at random)."),
    _row("schmidt_index", "schmidt_index", "int64", "1", None, PAPER, "Schmidt index",
         "Position in the descending Schmidt values, from 1."),
    _row("norm_loss_level", "norm_loss_level", "float64", "1", None, _EXPERIMENT,
         "norm loss of the perturbation",
         "Norm loss at which the random perturbation is matched to a truncation."),
    _row("direction", "direction", "int64", "1", None, _EXPERIMENT, "random direction",
         "Number of the random direction, from 1."),
    _row("eigenvalue_index", "eigenvalue_index", "int64", "1", None, _EXPERIMENT,
         "eigenvalue index", "Position in the descending eigenvalues, from 1."),
    _row("depth", "layer", "int64", "1", None, _FORWARD, "depth",
         "Position of the layer in forward order, from 1."),
    _row("relative_depth", "layer", "float64", "1", None, _FORWARD, "relative depth",
         "(depth - 1) / (number of layers - 1): 0 is the first measured layer, 1 the last."),
    _row("out_channels", "layer", "int64", "1", None, "torch.nn", "output channels",
         "Size of mode OUT."),
    _row("in_channels", "layer", "int64", "1", None, "torch.nn", "input channels",
         "Size of mode IN as stored: input channels / groups."),
    _row("kernel_height", "layer", "int64", "1", None, "torch.nn", "kernel height",
         "Size of mode KH."),
    _row("kernel_width", "layer", "int64", "1", None, "torch.nn", "kernel width",
         "Size of mode KW."),
    _row("groups", "layer", "int64", "1", None, "torch.nn", "groups",
         "Groups of the convolution."),
    _row("parameters", "layer", "int64", "1", None, "torch.nn", "parameters of the kernel",
         "Entries of the kernel, without bias."),
    _row("macs", "layer", "int64", "1", None, _FORWARD, "multiply-accumulates per image",
         "Kernel entries times output positions, for one image."),
)

_CUT = "layer mode threshold seed"
_LEVEL = "layer norm_loss_level seed"
_NETWORK, _TRUNCATION, _CONTROLS, _HESSIAN, _CURVATURE = Group

VARIABLES: Final = (
    _row("same_as", "layer mode", "str", "1", None, "compressibility.tensors.modes",
         "the cut this label stands for",
         "The label itself where the cut exists; the label of the equal cut that holds its values "
         "where size-one modes make two cuts one; 'trivial' where one side has no mode left."),
    _row("n_images", "", "int64", "1", None, _EXPERIMENT, "number of test images",
         "Images on which every count, accuracy and loss is taken."),
    _row("weights_hash", "seed", "str", "1", _NETWORK, _EXPERIMENT, "hash of the trained weights",
         "SHA-256 of the trained network's parameters and buffers, after rounding to float16."),
    _row("baseline_n_correct", "seed", "int64", "1", _NETWORK, PAPER,
         "correct test images of the trained network",
         "Test images whose largest logit is the label's, with no layer truncated."),
    _row("baseline_accuracy", "seed", "float64", "1", _NETWORK, PAPER,
         "accuracy of the trained network", "baseline_n_correct / n_images."),
    _row("baseline_loss", "seed", "float64", "nat", _NETWORK, PAPER,
         "test loss of the trained network",
         "Mean cross-entropy over the test images, with no layer truncated."),
    _row("schmidt_value", "weights layer mode seed schmidt_index", "float64", "1", None, PAPER,
         "Schmidt value",
         "Singular value of the kernel's matricization along the cut, in float64, descending.",
         flag="truncation_flag"),
    _row("kernel_norm", "weights layer seed", "float64", "1", None, PAPER, "norm of the kernel",
         "Frobenius norm, in float64.", flag="truncation_flag"),
    _row("rank", _CUT, "int64", "1", _TRUNCATION, PAPER, "rank",
         "Schmidt values kept: the smallest number whose norm loss does not exceed the threshold."),
    _row("norm_loss", _CUT, "float64", "1", _TRUNCATION, PAPER, "norm loss",
         "1 - |K_r| / |K| (Frobenius) of the truncated kernel K_r."),
    _row("relative_error", _CUT, "float64", "1", _TRUNCATION, _ECKART, "relative error",
         "|K - K_r| / |K| (Frobenius), computed directly from the kernels in float64."),
    _row("correlation_loss", _CUT, "float64", "1", _TRUNCATION, PAPER, "correlation loss",
         "(S - S_r) / S, with S the entanglement entropy across the cut and S_r that of the kept, "
         "renormalised Schmidt values; 0 where S = 0."),
    _row("compression_ratio", _CUT, "float64", "1", _TRUNCATION, _STORED, "compression ratio",
         "Parameters of the kernel / parameters of the two layers that realise the truncation, "
         "rank * (rows + columns) of the matricization; below 1 it is an expansion."),
    _row("n_correct", _CUT, "int64", "1", _TRUNCATION, PAPER, "correct test images",
         "Test images whose largest logit is the label's, with this one layer truncated."),
    _row("n_lost", _CUT, "int64", "1", _TRUNCATION, PAPER, "test images lost",
         "Right before the truncation and wrong after."),
    _row("n_gained", _CUT, "int64", "1", _TRUNCATION, PAPER, "test images gained",
         "Wrong before the truncation and right after."),
    _row("accuracy", _CUT, "float64", "1", _TRUNCATION, PAPER, "accuracy", "n_correct / n_images."),
    _row("loss", _CUT, "float64", "nat", _TRUNCATION, PAPER, "test loss",
         "Mean cross-entropy over the test images, with this one layer truncated. Missing where "
         "truncation_precision is lower than float32: rounding shifts all logits alike."),
    _row("perturbed_n_correct", _LEVEL, "int64", "1", _CONTROLS, _EXPERIMENT,
         "correct test images under the matched random perturbation",
         "As n_correct, with the kernel K replaced by (1-v)^2 K + (1-v) sqrt(1-(1-v)^2) |K| N: a "
         "random N of unit norm, orthogonal to K, so that norm and overlap are a truncation's."),
    _row("perturbed_loss", _LEVEL, "float64", "nat", _CONTROLS, _EXPERIMENT,
         "test loss under the matched random perturbation",
         "As loss, with the kernel replaced as for perturbed_n_correct. Missing where "
         "controls_precision is lower than float32."),
    _row("hessian_eigenvalue", "eigenvalue_index seed", "float64", "nat", _HESSIAN, _ARPACK,
         "top Hessian eigenvalue",
         "Largest eigenvalues of the Hessian of the mean training loss with respect to all "
         "measured kernels, in evaluation mode, on a fixed set of training images."),
    _row("hessian_eigenvalue_residual", "eigenvalue_index seed", "float64", "nat", _HESSIAN,
         _ARPACK, "residual of the Hessian eigenvalue",
         "|H v - lambda v| for the unit eigenvector v: an eigenvalue lies within it of lambda."),
    _row("hessian_trace", "seed", "float64", "nat", _HESSIAN, _HUTCHINSON, "Hessian trace",
         "Trace of the Hessian of the mean training loss with respect to all measured kernels, "
         "estimated from random directions in the space of all of them."),
    _row("hessian_trace_standard_error", "seed", "float64", "nat", _HESSIAN, _HUTCHINSON,
         "standard error of the Hessian trace", "Standard error over the random directions."),
    _row("hessian_layer_eigenvalue", "layer seed", "float64", "nat", _CURVATURE, _ARPACK,
         "top Hessian eigenvalue of the layer",
         "Largest eigenvalue of the Hessian's block of this layer's kernel."),
    _row("hessian_layer_trace", "layer seed", "float64", "nat", _CURVATURE, _HUTCHINSON,
         "Hessian trace of the layer",
         "Trace of the Hessian's block of this layer's kernel, estimated from random directions."),
    _row("hessian_layer_trace_standard_error", "layer seed", "float64", "nat", _CURVATURE,
         _HUTCHINSON, "standard error of the Hessian trace of the layer",
         "Standard error over the random directions."),
    _row("random_directional_curvature", "layer direction seed", "float64", "nat", _CURVATURE,
         _HUTCHINSON, "curvature along a random direction",
         "d'Hd / d'd along a random direction d of the layer's weights: the layer's average "
         "direction, with expectation trace / number of weights."),
    _row("directional_curvature", _CUT, "float64", "nat", _CURVATURE, PAPER,
         "curvature along the truncation",
         "d'Hd / d'd along the truncation d = K_r - K, at the trained weights.",
         flag="directional_curvature_flag"),
)


def _flag(name: str, dims: str, what: str) -> Variable:
    return _row(name, dims, "int8", "1", None, "compressibility.store.schema",
                f"status of the {what}",
                "0 where measured, else the reason why the values are missing.")


FLAGS: Final = (
    _flag("network_flag", "seed", "baseline"),
    _flag("truncation_flag", "layer mode seed", "spectra and truncations"),
    _flag("controls_flag", "layer seed", "controls"),
    _flag("hessian_flag", "seed", "network's Hessian"),
    _flag("curvature_flag", "layer seed", "layer's Hessian"),
    _flag("directional_curvature_flag", _CUT, "curvature along the truncations"),
)


def _bookkeeping(group: Group) -> tuple[Variable, ...]:
    name, dims, provenance = group.value, " ".join(group.dims), "compressibility.store.provenance"
    return (
        _row(f"{name}_key", dims, "str", "1", None, "compressibility.measuring.sweep",
             f"content key of the {name} group",
             "SHA-256 of the weights, the images and the settings that the values depend on; "
             "empty where nothing is measured."),
        _row(f"{name}_device", dims, "str", "1", None, provenance, f"device of the {name} group",
             "Name of the device that measured the values."),
        _row(f"{name}_precision", dims, "str", "1", None, provenance,
             f"precision of the {name} group",
             "Arithmetic of the network's evaluation. Below float32, answers in doubt are repeated "
             "in float32, so that counts are those of float32."),
    )
# fmt: on


BOOKKEEPING: Final = tuple(v for group in Group for v in _bookkeeping(group))

TABLE: Final[Mapping[str, Variable]] = {
    v.name: v for v in (*COORDINATES, *VARIABLES, *FLAGS, *BOOKKEEPING)
}

ATTRIBUTES: Final = (
    "title",
    "source",
    "history",
    "references",
    "schema_version",
    "package_version",
    "library_versions",
    "commit",
    "images_checksum",
    "experiment",
)
"""Global attributes every dataset carries; ``library_versions`` and ``experiment`` are JSON."""


def members(group: Group) -> dict[str, Part]:
    """The variables that ``group`` measures, wholly or in part, by name."""
    return {
        variable.name: part
        for variable in VARIABLES
        for part in variable.parts
        if part.group is group
    }
