"""Whether a dataset is a layer dataset: its attributes, its layout, its coordinates, its content.

A partial dataset is valid: what is not measured is missing, and flagged so. Dimensions are found
by name; their order is free.
"""

import json

import numpy as np
import xarray as xr

from compressibility.store.content import check_content
from compressibility.store.schema import (
    ATTRIBUTES,
    COORDINATES,
    DIMENSIONS,
    MODES,
    SCHEMA_VERSION,
    TABLE,
    WEIGHTS,
    Variable,
)
from compressibility.store.template import variable_attributes
from compressibility.store.view import SchemaError, View

__all__ = ["SchemaError", "validate"]


def validate(dataset: xr.Dataset) -> None:
    """Check that a dataset follows the schema.

    Layout: every variable of the table and no other, with its dimensions, dtype, units and
    attributes; coordinates unique, ascending and known. Content: values are there exactly where
    their flag says so; flags agree with the cuts that a kernel has and with the content keys;
    counts, losses, norms and ranks obey their definitions.

    Args:
        dataset: Any dataset.

    Raises:
        SchemaError: The first violation found.
    """
    _check_attributes(dataset)
    _check_layout(dataset)
    view = View.of(dataset)
    _check_coordinates(view)
    _check_kernels(view)
    check_content(view)


def _check_attributes(dataset: xr.Dataset) -> None:
    version = dataset.attrs.get("schema_version")
    if version is None:
        raise SchemaError("attribute schema_version is missing: this is not a layer dataset")
    if isinstance(version, bool) or not isinstance(version, int | np.integer) or version < 1:
        raise SchemaError(f"attribute schema_version is {version!r}: it must be a whole number")
    if version != SCHEMA_VERSION:
        what = "newer" if version > SCHEMA_VERSION else "older"
        raise SchemaError(
            f"schema_version {version} is {what} than {SCHEMA_VERSION}, that of this version of "
            "compressibility: upgrade compressibility, or measure again"
        )
    for name in ATTRIBUTES:
        value = dataset.attrs.get(name)
        if name != "schema_version" and not (isinstance(value, str) and value):
            raise SchemaError(f"attribute {name} is {value!r}: it must be text, and not empty")
    for name in ("library_versions", "experiment"):
        try:
            json.loads(dataset.attrs[name])
        except ValueError as error:
            raise SchemaError(f"attribute {name} is not JSON: {error}") from error


def _check_layout(dataset: xr.Dataset) -> None:
    present = {str(name) for name in dataset.variables}
    if unknown := sorted(present - set(TABLE)):
        raise SchemaError(f"{unknown[0]}: unknown variable; the schema has no such name")
    for name, variable in TABLE.items():
        if name not in present:
            raise SchemaError(f"{name}: missing variable")
        _check_variable(dataset.variables[name], variable)
    for variable in COORDINATES:
        if variable.name not in dataset.coords:
            raise SchemaError(f"{variable.name}: is a data variable, must be a coordinate")


def _check_variable(found: xr.Variable, variable: Variable) -> None:
    name = variable.name
    if set(found.dims) != set(variable.dims):
        raise SchemaError(f"{name}: dimensions are {found.dims}, must be {variable.dims}")
    if not _has_dtype(found, variable):
        raise SchemaError(f"{name}: dtype is {found.dtype}, must be {variable.dtype}")
    for key, expected in variable_attributes(variable).items():
        value = found.attrs.get(key)
        if key in ("long_name", "definition", "source"):
            if not (isinstance(value, str) and value):
                raise SchemaError(f"{name}: attribute {key} is {value!r}, must be text")
        elif value is None or not np.array_equal(np.asarray(value), np.asarray(expected)):
            raise SchemaError(f"{name}: attribute {key} is {value!r}, must be {expected!r}")


def _has_dtype(found: xr.Variable, variable: Variable) -> bool:
    if variable.dtype != "str":
        return bool(found.dtype == np.dtype(variable.dtype))
    if found.dtype.kind == "O":
        return all(isinstance(value, str) for value in found.values.flat)
    return bool(found.dtype.kind in "UT")


def _check_coordinates(view: View) -> None:
    for name in DIMENSIONS:
        if not view[name].size:
            raise SchemaError(f"{name}: has no entry; a dataset needs at least one")
    for name, known in (("mode", MODES), ("weights", WEIGHTS)):
        strange = ~np.isin(view[name].values.astype(str), known)
        view.refuse(name, xr.Variable(name, strange), f"is none of {'; '.join(known)}")
        order = [known.index(str(label)) for label in view[name].values]
        _check_ascending(view, name, xr.Variable(name, order), "does not follow the schema's order")
    labels = view["layer"].values.astype(str)
    _, first = np.unique(labels, return_index=True)
    repeated = ~np.isin(np.arange(labels.size), first)
    view.refuse("layer", xr.Variable("layer", repeated), "stands twice")
    for name in ("threshold", "seed", "norm_loss_level", "depth"):
        _check_ascending(view, name, view[name], "does not rise above the one before")
    for name in ("schmidt_index", "direction", "eigenvalue_index"):
        counted = xr.Variable(name, np.arange(1, view[name].size + 1))
        view.refuse(name, view[name] != counted, "breaks the count 1, 2, 3, …")
    for name in ("threshold", "norm_loss_level"):
        inside = (view[name] >= 0) & (view[name] < 1)
        view.refuse(name, ~inside, "is outside [0, 1)")


def _check_ascending(view: View, name: str, values: xr.Variable, what: str) -> None:
    numbers = values.values
    rises = np.concatenate([[True], numbers[1:] > numbers[:-1]])
    view.refuse(name, xr.Variable(values.dims, ~rises), what)


def _check_kernels(view: View) -> None:
    """What is told of the layers fits together, and their spectra fit on ``schmidt_index``."""
    sizes = ("out_channels", "in_channels", "kernel_height", "kernel_width")
    for name in (*sizes, "depth", "groups", "macs"):
        view.refuse(name, view[name] < 1, "must be at least 1")
    relative = view["relative_depth"]
    view.refuse("relative_depth", ~((relative >= 0) & (relative <= 1)), "is outside [0, 1]")
    entries = xr.Variable("layer", view.shapes.prod(axis=1))
    view.refuse(
        "parameters", view["parameters"] != entries, "is not the kernel's number of entries"
    )
    labels = view.cut_labels
    view.refuse(
        "same_as",
        view["same_as"] != labels,
        lambda index: f"must be {labels.isel(index).values.item()!r}, by the shape of the kernel",
    )
    longest = int(view.n_schmidt_values.max())
    if view["schmidt_index"].size < longest:
        raise SchemaError(
            f"schmidt_index: has {view['schmidt_index'].size} entries, must have {longest}: as "
            "many as the largest kernel has Schmidt values"
        )
