"""Truncations of one layer along each cut: ranks and losses, and how the network answers."""

from dataclasses import replace
from typing import Final

import xarray as xr

from compressibility.store.declarations import (
    AT_LEAST_ONE,
    FRACTION,
    PAPER,
    POSITIVE,
    Family,
    Rule,
    Table,
    flag,
)
from compressibility.store.dimensions import (
    LAYER,
    MODE,
    SCHMIDT_INDEX,
    SEED,
    THRESHOLD,
    WEIGHTS,
)
from compressibility.store.tables.answers import answers, rules_of
from compressibility.store.tables.spectra import SINGLE_PRECISION, norm_of_the_spectrum, spectra
from compressibility.store.view import View

_FLAG: Final = flag("truncation_flag", "layer mode seed", "spectra and truncations")
_PART: Final = ("trained",)
_STORED: Final = "compressibility.tensors.schmidt.stored_parameters"
_ECKART: Final = "Eckart and Young, Psychometrika 1 (1936) 211"
_of_truncations: Final = Family(("layer", "mode", "threshold", "seed"), PAPER, _FLAG)


def _squared_error(view: View) -> xr.Variable:
    return (1 - view["norm_loss"]) ** 2 + view["relative_error"] ** 2


TRUNCATION: Final = Table(
    name="truncation",
    what="spectra of the trained kernels, and truncations of one layer at a time",
    per=("layer", "seed"),
    dimensions=(LAYER, MODE, THRESHOLD, SEED, WEIGHTS, SCHMIDT_INDEX),
    variables=(
        *spectra(_PART, _FLAG.name),
        replace(
            _of_truncations("rank", "int64", "rank",
                            "Schmidt values kept: the smallest number whose norm loss does not "
                            "exceed the threshold.", AT_LEAST_ONE),
            descends_along="threshold",
        ),
        _of_truncations("norm_loss", "float64", "norm loss",
                        "1 - |K_r| / |K| (Frobenius) of the truncated kernel K_r.", FRACTION),
        _of_truncations("relative_error", "float64", "relative error",
                        "|K - K_r| / |K| (Frobenius), computed directly from the kernels in "
                        "float64.", FRACTION, source=_ECKART),
        _of_truncations("correlation_loss", "float64", "correlation loss",
                        "(S - S_r) / S, with S the entanglement entropy across the cut and S_r "
                        "that of the kept, renormalised Schmidt values; 0 where S = 0.", FRACTION),
        _of_truncations("compression_ratio", "float64", "compression ratio",
                        "Parameters of the kernel / parameters of the two layers that realise the "
                        "truncation, rank * (rows + columns) of the matricization; below 1 it is "
                        "an expansion.", POSITIVE, source=_STORED),
        *answers(
            _of_truncations, "truncation", "", state="with this one layer truncated",
            change="the truncation", what="",
        ),
    ),
    flags=(_FLAG,),
    rules=(
        Rule("rank", "at most", ("out_channels",), lambda view: view.n_schmidt_values,
             "exceeds the number of Schmidt values of the cut"),
        *rules_of(),
        Rule("norm_loss", "at most", ("threshold",), lambda view: view["threshold"],
             "exceeds the threshold", tolerance=SINGLE_PRECISION),
        Rule("relative_error", "equals", ("norm_loss",), lambda _: xr.Variable((), 1.0),
             "does not fit norm_loss: (1 - norm_loss)² + relative_error² must be 1",
             left=_squared_error, tolerance=SINGLE_PRECISION),
        norm_of_the_spectrum(_PART),
    ),
)  # fmt: skip
