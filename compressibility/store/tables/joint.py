"""Several layers truncated at once: norm and parameters left, and how the network answers."""

from typing import Final

from compressibility.store.cuts import MODES
from compressibility.store.declarations import (
    AT_LEAST_ONE,
    EXPERIMENT,
    FRACTION,
    PAPER,
    POSITIVE,
    Dimension,
    Family,
    Rule,
    Table,
    Variable,
    flag,
)
from compressibility.store.dimensions import SEED, THRESHOLD
from compressibility.store.layer_sets import LAYER_SETS
from compressibility.store.tables.answers import answers, rules_of
from compressibility.store.tables.spectra import SINGLE_PRECISION

LAYER_SET: Final = Dimension(
    Variable("layer_set", ("layer_set",), "str", "1", "set of layers",
             "first k/4, last k/4: the first or last ceil(k L / 4) of the L measured layers in "
             "forward order; all: every one.", EXPERIMENT),
    "layers that are truncated at once",
    "labels",
    known=LAYER_SETS,
)  # fmt: skip

JOINT_MODE: Final = Dimension(
    Variable("joint_mode", ("joint_mode",), "str", "1", "cut of every layer of the set",
             "Cut along which every layer of the set is truncated. In a layer where it equals "
             "another cut (same_as) it is that one; where it is trivial the layer stays as it is.",
             PAPER),
    "cut along which every layer of the set is truncated",
    "labels",
    known=MODES,
)  # fmt: skip
"""A dimension of its own: ``mode`` is a cut of one kernel, which that kernel may not have."""

_FLAG: Final = flag("joint_flag", "seed", "joint truncations")
_joint: Final = Family(("layer_set", "joint_mode", "threshold", "seed"), PAPER, _FLAG)


JOINT: Final = Table(
    name="joint",
    what="truncations of several layers at once",
    per=("seed",),
    dimensions=(SEED, LAYER_SET, JOINT_MODE, THRESHOLD),
    variables=(
        Variable("joint_n_layers", ("layer_set", "seed"), "int64", "1", "layers of the set",
                 "Measured layers that the set has in this network.", EXPERIMENT, flag=_FLAG.name,
                 bounds=AT_LEAST_ONE),
        _joint("joint_norm_loss", "float64", "norm loss of the set",
               "1 - |K'| / |K| (Frobenius), of all kernels of the set together as one vector, each "
               "truncated to the smallest rank whose norm loss does not exceed the threshold.",
               FRACTION),
        _joint("joint_compression_ratio", "float64", "compression ratio of the set",
               "Parameters of the set's kernels / parameters of the layers that realise their "
               "truncations, rank * (rows + columns) of each matricization, at full rank too; a "
               "kernel along whose trivial cut nothing is truncated counts as it is.", POSITIVE),
        *answers(
            _joint, "joint", "joint_", state="with every layer of the set truncated",
            change="the truncation of the set", what=", the set truncated",
        ),
    ),
    flags=(_FLAG,),
    rules=(
        *rules_of("joint_"),
        Rule("joint_norm_loss", "at most", ("threshold",), lambda view: view["threshold"],
             "exceeds the threshold", tolerance=SINGLE_PRECISION),
    ),
)  # fmt: skip
