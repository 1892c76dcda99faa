"""Tucker-2 and tensor trains of one kernel, by threshold: ranks, errors, and the answers."""

from dataclasses import replace
from typing import Final

import numpy as np
import xarray as xr

from compressibility.store.cuts import MODES, n_schmidt_values
from compressibility.store.declarations import (
    AT_LEAST_ONE,
    FRACTION,
    Dimension,
    Family,
    Rule,
    Table,
    Variable,
    flag,
)
from compressibility.store.dimensions import LAYER, SEED, THRESHOLD
from compressibility.store.tables.answers import answers, rules_of
from compressibility.store.tables.spectra import SINGLE_PRECISION
from compressibility.store.view import View
from compressibility.tensors.formats import BONDS, FORMATS

_SOURCE: Final = "compressibility.tensors.formats"
_CUTS: Final = {name: tuple(cut.label for cut in cuts) for name, cuts in BONDS.items()}

BOND_LABELS: Final = tuple(mode for mode in MODES if any(mode in cuts for cuts in _CUTS.values()))
"""The cuts that a rank of some format belongs to, in the order of the cuts."""


def _is_a_bond(view: View) -> xr.Variable:
    bonds = view["bond"].values.tolist()
    there = [[bond in _CUTS[name] for bond in bonds] for name in view["format"].values.tolist()]
    return xr.Variable(("format", "bond"), np.array(there))


def _highest_rank(view: View) -> xr.Variable:
    places = [MODES.index(bond) for bond in view["bond"].values.tolist()]
    return xr.Variable(("layer", "bond"), n_schmidt_values(view.shapes)[:, places])


FORMAT: Final = Dimension(
    Variable("format", ("format",), "str", "1", "tensor format",
             "Tucker-2: K = G x A x B over the modes OUT and IN, by higher-order orthogonal "
             "iteration; TT: the tensor train in the order OUT, IN, KH, KW, by successive SVDs.",
             "arXiv 1511.06530; Oseledets, SIAM J. Sci. Comput. 33 (2011) 2295"),
    "tensor format that a kernel is decomposed in",
    "labels",
    known=FORMATS,
)  # fmt: skip
BOND: Final = Dimension(
    Variable("bond", ("bond",), "str", "1", "bond",
             "The cut that a bond of the tensor format crosses. Tucker-2 has the bonds OUT and IN, "
             "TT in its order OUT; OUT,IN; KW.", _SOURCE),
    "bond of a tensor format, by the cut that it crosses",
    "labels",
    known=BOND_LABELS,
    exists=_is_a_bond,
)  # fmt: skip

_FLAG: Final = flag("formats_flag", "layer seed", "decompositions in tensor formats")
_of_formats: Final = Family(("format", "layer", "threshold", "seed"), _SOURCE, _FLAG)


FORMATS_TABLE: Final = Table(
    name="formats",
    what="decompositions of one kernel at a time in tensor formats",
    per=("layer", "seed"),
    dimensions=(LAYER, SEED, FORMAT, THRESHOLD, BOND),
    variables=(
        replace(
            _of_formats("format_rank", "int64", "rank of the bond",
                        "The squared relative error t (2 - t) that the threshold t allows is "
                        "shared equally among the format's cuts that differ in the kernel; the "
                        "smallest rank whose own squared error across the bond's cut is within "
                        "the share, or what the decomposition comes out with if that is less.",
                        AT_LEAST_ONE, dims=("format", "layer", "threshold", "bond", "seed")),
            descends_along="threshold",
        ),
        _of_formats("format_norm_loss", "float64", "norm loss of the decomposition",
                    "1 - |K'| / |K| (Frobenius) of the decomposition K', an orthogonal projection "
                    "of K; at most the threshold.", FRACTION),
        _of_formats("format_relative_error", "float64", "relative error of the decomposition",
                    "|K - K'| / |K| (Frobenius), computed directly from the kernels in float64.",
                    FRACTION),
        _of_formats("format_parameters", "int64", "parameters of the decomposition",
                    "Entries of the layers that realise it. Tucker-2: OUT r_OUT + r_OUT r_IN KH KW "
                    "+ IN r_IN; TT: OUT r1 + r1 IN r2 + r2 KH r3 + r3 KW.", AT_LEAST_ONE),
        *answers(
            _of_formats, "formats", "format_",
            state="with this one kernel replaced by its decomposition",
            change="the decomposition", what=", the kernel decomposed",
        ),
    ),
    flags=(_FLAG,),
    rules=(
        Rule("format_rank", "at most", ("out_channels",), _highest_rank,
             "exceeds the number of Schmidt values of the bond's cut"),
        *rules_of("format_"),
        Rule("format_norm_loss", "at most", ("threshold",), lambda view: view["threshold"],
             "exceeds the threshold", tolerance=SINGLE_PRECISION),
        Rule("format_relative_error", "equals", ("format_norm_loss",),
             lambda view: abs(1 - (1 - view["format_norm_loss"]) ** 2) ** 0.5,
             "does not fit format_norm_loss: (1 - norm loss)² + relative error² must be 1",
             tolerance=SINGLE_PRECISION),
    ),
)  # fmt: skip
