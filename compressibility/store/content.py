"""What the values of a layer dataset must obey: flags, keys, and the definitions themselves."""

from functools import reduce
from operator import or_
from typing import Final

import numpy as np
import xarray as xr

from compressibility.store.schema import (
    FLAGS,
    FLOAT32,
    MISSING_INTEGER,
    TABLE,
    VARIABLES,
    Flag,
    Group,
    Part,
    Variable,
)
from compressibility.store.view import View

_ROUNDING: Final = 1e-9
_SINGLE_PRECISION: Final = 1e-5
"""Kernels are truncated in their own precision, float32."""

_COUNTS: Final = ("baseline_n_correct", "n_correct", "n_lost", "n_gained", "perturbed_n_correct")
_FRACTIONS: Final = ("norm_loss", "relative_error", "correlation_loss")
_NOT_NEGATIVE: Final = (
    "baseline_loss",
    "loss",
    "perturbed_loss",
    "schmidt_value",
    "kernel_norm",
    "hessian_eigenvalue_residual",
    "hessian_trace_standard_error",
    "hessian_layer_trace_standard_error",
)
_DESCENDING: Final = (
    ("schmidt_value", "schmidt_index"),
    ("hessian_eigenvalue", "eigenvalue_index"),
    ("rank", "threshold"),
)


def check_content(view: View) -> None:
    """Check every value of a dataset whose layout and coordinates are those of the schema.

    Raises:
        SchemaError: The first violation found.
    """
    _check_flags(view)
    for group in Group:
        _check_bookkeeping(view, group)
    for variable in VARIABLES:
        for part in variable.parts:
            _check_presence(view, variable, part)
    _check_ranges(view)
    _check_ranks(view)
    _check_counts(view)
    _check_norms(view)


def _check_flags(view: View) -> None:
    """A flag that tells of a cut agrees with ``same_as``; others say measured or not."""
    exists, trivial = view.cut_exists, view.cut_is_trivial
    for variable in FLAGS:
        flag = view[variable.name]
        always = [_is(flag, Flag.NOT_MEASURED)]
        if "mode" in variable.dims:
            allowed = [
                _is(flag, Flag.MEASURED) & exists,
                _is(flag, Flag.TRIVIAL_CUT) & trivial,
                _is(flag, Flag.SAME_AS_OTHER_CUT) & ~exists & ~trivial,
            ]
            if variable.name == "directional_curvature_flag":
                allowed.append(_is(flag, Flag.NO_DIRECTION) & exists)
        else:
            allowed = [_is(flag, Flag.MEASURED)]
        view.refuse(variable.name, ~reduce(or_, always + allowed), "is no flag that can stand here")


def _check_bookkeeping(view: View, group: Group) -> None:
    """A task has a key, a device and a precision exactly where it has measured something."""
    names = [f"{group.value}_flag"]
    if group is Group.CURVATURE:
        names.append("directional_curvature_flag")
    flags = [view[name] for name in names]
    measured = reduce(or_, [_any(_is(flag, Flag.MEASURED), group) for flag in flags])
    started = reduce(or_, [_any(~_is(flag, Flag.NOT_MEASURED), group) for flag in flags])
    key, keyed = f"{group.value}_key", view[f"{group.value}_key"] != ""
    view.refuse(key, measured & ~keyed, f"stands where {names[0]} says measured")
    view.refuse(key, keyed & ~started, f"stands where {names[0]} says not measured")
    for what in (f"{group.value}_device", f"{group.value}_precision"):
        told = view[what] != ""
        view.refuse(what, keyed & ~told, f"is empty, but {key} is not")
        view.refuse(what, told & ~keyed, f"stands where {key} is empty")


def _check_presence(view: View, variable: Variable, part: Part) -> None:
    """A value is there exactly where its flag says so."""
    values = view[variable.name]
    there = values.notnull() if variable.dtype == "float64" else values != variable.missing
    expected = _expected(view, variable, part)
    if part.weights:
        ours = xr.Variable("weights", np.isin(view["weights"].values.astype(str), part.weights))
        there, expected = there & ours, expected & ours
    view.refuse(variable.name, expected & ~there, f"is missing, but {part.flag} says measured")
    who = f"{part.flag} or {part.group.value}_precision" if _is_loss(variable) else part.flag
    view.refuse(variable.name, there & ~expected, f"is there, but {who} says it is missing")


def _expected(view: View, variable: Variable, part: Part) -> xr.Variable:
    """Where the flag, the cuts, the lengths of the spectra and the precision promise a value."""
    if variable.name == "kernel_norm" and part.group is Group.TRUNCATION:
        return view["truncation_key"] != ""
    measured = _is(view[part.flag], Flag.MEASURED)
    if variable.name == "schmidt_value":
        return measured & view.cut_exists & (view["schmidt_index"] <= view.n_schmidt_values)
    if _is_loss(variable):
        return measured & (view[f"{part.group.value}_precision"] == FLOAT32)
    return measured


def _is_loss(variable: Variable) -> bool:
    """Whether rounding in lower precision shifts the values, so that there are none then."""
    return variable.name in ("loss", "perturbed_loss")


def _check_ranges(view: View) -> None:
    for name, variable in TABLE.items():
        if variable.dtype == "float64":
            view.refuse(name, abs(view[name]) == np.inf, "is infinite")
    for name in _FRACTIONS:
        outside = (view[name] < -_ROUNDING) | (view[name] > 1 + _ROUNDING)
        view.refuse(name, outside, "is outside [0, 1]")
    for name in _NOT_NEGATIVE:
        view.refuse(name, view[name] < 0, "is negative")
    view.refuse("compression_ratio", view["compression_ratio"] <= 0, "is not positive")
    for name, dim in _DESCENDING:
        values = view[name].astype(np.float64)
        steps = np.diff(values.values, axis=values.dims.index(dim), prepend=np.inf)
        rises = xr.Variable(values.dims, steps > 0)
        view.refuse(name, rises, f"rises along {dim}; it must descend")


def _check_ranks(view: View) -> None:
    count = view.n_schmidt_values
    view.refuse(
        "rank",
        view["rank"] > count,
        lambda index: (
            f"exceeds the {count.isel(layer=index['layer'], mode=index['mode']).values} Schmidt "
            "values of the cut"
        ),
    )
    rank = view["rank"]
    view.refuse("rank", (rank < 1) & (rank != MISSING_INTEGER), "is no rank; the smallest is 1")


def _check_counts(view: View) -> None:
    """Counts lie within the images and add up; an accuracy is its count over the images."""
    n_images = view["n_images"]
    negative = (n_images < 1) & (n_images != MISSING_INTEGER)
    view.refuse("n_images", negative, "must be at least 1")
    for name in _COUNTS:
        values = view[name]
        outside = (values != MISSING_INTEGER) & ((values < 0) | (values > n_images))
        view.refuse(name, outside, f"is outside 0 … n_images = {n_images.values}")
    for name, count in (("accuracy", "n_correct"), ("baseline_accuracy", "baseline_n_correct")):
        wrong = abs(view[name] - view[count] / n_images) > _ROUNDING
        view.refuse(name, wrong, f"is not {count} / n_images")
    before, after = view["baseline_n_correct"], view["n_correct"]
    known = (before != MISSING_INTEGER) & (after != MISSING_INTEGER)
    view.refuse("n_lost", known & (view["n_lost"] > before), "exceeds baseline_n_correct")
    adds_up = after == before + view["n_gained"] - view["n_lost"]
    what = "is not baseline_n_correct + n_gained - n_lost"
    view.refuse("n_correct", known & ~adds_up, what)


def _check_norms(view: View) -> None:
    """Norms, losses and thresholds obey the identities of a truncation."""
    loss, error = view["norm_loss"], view["relative_error"]
    exceeds = loss > view["threshold"] + _SINGLE_PRECISION
    view.refuse("norm_loss", exceeds, "exceeds the threshold")
    off = abs((1 - loss) ** 2 + error**2 - 1) > _SINGLE_PRECISION
    what = "does not fit norm_loss: (1 - norm_loss)² + relative_error² must be 1"
    view.refuse("relative_error", off, what)
    norm = view["kernel_norm"]
    scale = xr.Variable(norm.dims, np.where(norm.values > 0, norm.values, 1.0))
    total = ((view["schmidt_value"] / scale) ** 2).sum("schmidt_index")
    known = view["schmidt_value"].isel(schmidt_index=0).notnull()
    wrong = known & (abs(total - (norm > 0)) > _SINGLE_PRECISION)
    view.refuse("kernel_norm", wrong.any("mode"), "is not the norm of the Schmidt values")


def _is(flags: xr.Variable, flag: Flag) -> xr.Variable:
    return flags == flag.value


def _any(mask: xr.Variable, group: Group) -> xr.Variable:
    """Whether it holds anywhere within a task of the group."""
    return mask.any([d for d in mask.dims if d not in group.dims])
