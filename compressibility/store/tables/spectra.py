"""Spectra of kernels: two variables of which several tables measure a part."""

from dataclasses import replace
from typing import Final

import numpy as np
import xarray as xr

from compressibility.store.declarations import NOT_NEGATIVE, PAPER, PARTED, Rule, Variable
from compressibility.store.view import View

SINGLE_PRECISION: Final = 1e-5
"""Kernels are truncated in their own precision, float32."""

_SCHMIDT_VALUE: Final = Variable(
    "schmidt_value",
    ("weights", "layer", "mode", "seed", "schmidt_index"),
    "float64",
    "1",
    "Schmidt value",
    "Singular value of the kernel's matricization along the cut, in float64, descending.",
    PAPER,
    bounds=NOT_NEGATIVE,
    descends_along="schmidt_index",
)
_KERNEL_NORM: Final = Variable(
    "kernel_norm",
    ("weights", "layer", "seed"),
    "float64",
    "1",
    "norm of the kernel",
    "Frobenius norm, in float64.",
    PAPER,
    bounds=NOT_NEGATIVE,
)


def spectra(part: tuple[str, ...], flag: str) -> tuple[Variable, ...]:
    """The spectra and norms of these weights, whose absence the flag explains."""
    return tuple(replace(v, part=part, flag=flag) for v in (_SCHMIDT_VALUE, _KERNEL_NORM))


def norm_of_the_spectrum(part: tuple[str, ...]) -> Rule:
    """The norm of each of these weights is that of their Schmidt values."""

    def squares(view: View) -> xr.Variable:
        """Sum of the squared Schmidt values over the squared norm; NaN where there are none."""
        norm = view["kernel_norm"]
        ours = np.isin(view[PARTED].values.astype(str), part)
        scale = xr.Variable(norm.dims, np.where(norm.values > 0, norm.values, 1.0))
        total = ((view["schmidt_value"] / scale) ** 2).sum("schmidt_index", min_count=1)
        one: xr.Variable = total * xr.Variable(PARTED, np.where(ours, 1.0, np.nan))
        return one

    def one_unless_zero(view: View) -> xr.Variable:
        norm = view["kernel_norm"]
        return xr.Variable(norm.dims, np.where(np.isnan(norm.values), np.nan, norm.values > 0))

    return Rule(
        "kernel_norm",
        "equals",
        ("schmidt_value",),
        one_unless_zero,
        "is not the norm of the Schmidt values",
        left=squares,
        tolerance=SINGLE_PRECISION,
    )
