"""CP decompositions of one kernel, by rank: error, health, and how the network answers."""

from typing import Final

import xarray as xr

from compressibility.store.declarations import (
    AT_LEAST_ONE,
    EXPERIMENT,
    NOT_NEGATIVE,
    Dimension,
    Family,
    Table,
    Variable,
    flag,
)
from compressibility.store.dimensions import LAYER, SEED
from compressibility.store.tables.answers import answers, rules_of
from compressibility.store.view import View
from compressibility.tensors.cp import CP_FORMS, highest_rank

_SOURCE: Final = "compressibility.tensors.cp"
_DEGENERACY: Final = "de Silva and Lim, SIAM J. Matrix Anal. Appl. 30 (2008) 1084"
_SENSITIVITY: Final = "Phan et al., arXiv 2008.05441, equation 5"


def _is_a_rank(view: View) -> xr.Variable:
    highest = xr.Variable(("layer",), [highest_rank(shape) for shape in view.shapes.tolist()])
    return view["cp_rank"] <= highest


CP_RANK: Final = Dimension(
    Variable("cp_rank", ("cp_rank",), "int64", "1", "CP rank",
             "Number of components of the CP decomposition.", EXPERIMENT, bounds=AT_LEAST_ONE),
    "number of components of a CP decomposition",
    "ascending",
    exists=_is_a_rank,
)  # fmt: skip
CP_FORM: Final = Dimension(
    Variable("cp_form", ("cp_form",), "str", "1", "form of the CP decomposition",
             "fitted: the best of the starts; corrected: the same relative error with the "
             "smallest sum of squared components that alternating over the modes finds.",
             "Phan et al., arXiv 1709.08349"),
    "the fit, or its error-preserving correction",
    "labels",
    known=CP_FORMS,
)  # fmt: skip

_FLAG: Final = flag("cp_flag", "layer seed", "CP decompositions")
_of_fits: Final = Family(("cp_form", "layer", "cp_rank", "seed"), _SOURCE, _FLAG)
_ONCE: Final = ("layer", "cp_rank", "seed")


CP: Final = Table(
    name="cp",
    what="CP decompositions of one kernel at a time",
    per=("layer", "seed"),
    dimensions=(LAYER, SEED, CP_RANK, CP_FORM),
    variables=(
        _of_fits("cp_relative_error", "float64", "relative error of the CP decomposition",
                 "|K - K'| / |K| (Frobenius), computed directly from the kernels in float64.",
                 NOT_NEGATIVE),
        _of_fits("cp_largest_component", "float64", "largest component over the kernel",
                 "Norm of the largest component over |K|. Far above 1 components cancel one "
                 "another: the decomposition degenerates.", NOT_NEGATIVE, source=_DEGENERACY),
        _of_fits("cp_sensitivity", "float64", "sensitivity of the CP decomposition",
                 "Expected squared change of the kernel, scaled to unit norm, under noise on every "
                 "entry of the factors, over the variance of the noise.", NOT_NEGATIVE,
                 source=_SENSITIVITY),
        _of_fits("cp_n_sweeps", "int64", "sweeps",
                 "Sweeps over the modes until the error, or the sum of squares, had settled, or "
                 "as many as were allowed.", NOT_NEGATIVE),
        _of_fits("cp_error_spread", "float64", "spread of the relative error over the starts",
                 "Largest minus smallest relative error over the starts that did not fail.",
                 NOT_NEGATIVE, dims=_ONCE),
        _of_fits("cp_n_diverged", "int64", "starts that diverged",
                 "Starts whose largest component exceeds ten times |K|, or that failed outright.",
                 NOT_NEGATIVE, source=_DEGENERACY, dims=_ONCE),
        _of_fits("cp_parameters", "int64", "parameters of the CP decomposition",
                 "Entries of the four factors, rank * (OUT + IN + KH + KW): those of the layers "
                 "that realise it.", AT_LEAST_ONE, source="arXiv 1412.6553", dims=_ONCE),
        *answers(
            _of_fits, "cp", "cp_", state="with this one kernel replaced by its decomposition",
            change="the decomposition", what=", the kernel decomposed",
        ),
    ),
    flags=(_FLAG,),
    rules=rules_of("cp_"),
)  # fmt: skip
