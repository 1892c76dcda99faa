"""Whether a dataset is a layer dataset: its attributes, its layout, its coordinates, its content.

A partial dataset is valid: what is not measured is missing, and flagged so. Dimensions are found
by name; their order is free. What is checked of a variable is what its table declares.
"""

import json
from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr

from compressibility.store.declarations import Dimension, Flag, Table, Variable
from compressibility.store.schema import (
    ATTRIBUTES,
    CORE,
    JSON_ATTRIBUTES,
    N_CLASSES,
    SCHEMA_VERSION,
    TABLES,
    coordinates,
    declared,
    dimensions,
    present,
)
from compressibility.store.values import check_bounds, check_values
from compressibility.store.view import SchemaError, View

__all__ = ["SchemaError", "validate", "validate_shard"]


def validate(dataset: xr.Dataset) -> None:
    """Check that a dataset follows the schema.

    Layout: the core table and others, each wholly there, and nothing else; dimensions, dtypes,
    units and attributes as declared; coordinates unique, ascending and known. Content: values are
    there exactly where their flag says so; flags agree with the cuts that a kernel has, with the
    content keys and with the failures; values obey their bounds and the rules of their tables.

    Args:
        dataset: Any dataset.

    Raises:
        SchemaError: The first violation found.
    """
    _check_version(dataset)
    _check_attributes(dataset)
    tables = tuple(dict.fromkeys((CORE, *present(dataset))))
    names = declared(tables)
    _check_layout(dataset, names, tables)
    view = View.of(dataset, names)
    along = dimensions(tables).values()
    for dimension in along:
        _check_coordinate(view, dimension)
    for dimension in along:
        _check_descriptions(view, dimension)
    _check_kernels(view)
    for table in tables:
        check_values(view, table)


def validate_shard(shard: xr.Dataset) -> None:
    """Check of a shard all that can be checked without the rest of its dataset.

    Raises:
        SchemaError: The first violation found.
    """
    _check_version(shard)
    tables = present(shard)
    if len(tables) != 1:
        raise SchemaError("this is no shard: it has the content key of no table, or of several")
    [table] = tables
    used = {dim for v in table.measured for dim in v.dims}
    along = [d for d in table.dimensions if d.name in used]
    names = {d.name: d.coordinate for d in along}
    names |= {v.name: v for v in (*table.measured, *table.bookkeeping)}
    _check_layout(shard, names, tables)
    view = View.of(shard, names)
    for dimension in along:
        _check_coordinate(view, dimension)
    check_values(view, table)


def _check_version(dataset: xr.Dataset) -> None:
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


def _check_attributes(dataset: xr.Dataset) -> None:
    for name in ATTRIBUTES:
        value = dataset.attrs.get(name)
        if name != "schema_version" and not (isinstance(value, str) and value):
            raise SchemaError(f"attribute {name} is {value!r}: it must be text, and not empty")
    n_classes = dataset.attrs.get(N_CLASSES, 2)
    if not isinstance(n_classes, int | np.integer) or isinstance(n_classes, bool) or n_classes < 2:
        raise SchemaError(
            f"attribute {N_CLASSES} is {n_classes!r}: it must be a whole number of two or more"
        )
    for name in JSON_ATTRIBUTES:
        try:
            told = json.loads(dataset.attrs[name])
        except ValueError as error:
            raise SchemaError(f"attribute {name} is not JSON: {error}") from error
        if not isinstance(told, dict) and not (told is None and name == "left_out"):
            raise SchemaError(f"attribute {name} is {told!r}: it must map names to values")


def _check_layout(
    dataset: xr.Dataset, names: Mapping[str, Variable], tables: tuple[Table, ...]
) -> None:
    found = {str(name) for name in dataset.variables}
    if strange := sorted(found - set(names)):
        raise SchemaError(f"{strange[0]}: {_strange(strange[0], tables)}")
    for name, variable in names.items():
        if name not in found:
            raise SchemaError(f"{name}: missing variable")
        _check_variable(dataset.variables[name], variable)
    for name in coordinates(tables):
        if name in found and name not in dataset.coords:
            raise SchemaError(f"{name}: is a data variable, must be a coordinate")
    for dim in dataset.dims:
        if dim not in names:
            raise SchemaError(f"{dim}: unknown dimension; no table of this dataset lies along it")


def _strange(name: str, tables: Iterable[Table]) -> str:
    """What is wrong with a variable that none of the dataset's tables has."""
    if name not in declared():
        return "unknown variable; the schema has no such name"
    keys = [t.book("key") for t in TABLES.values() if t not in tables and name in declared((t,))]
    return f"stands without a table: the dataset has no {' and no '.join(keys)}"


def _check_variable(found: xr.Variable, variable: Variable) -> None:
    name = variable.name
    if set(found.dims) != set(variable.dims):
        raise SchemaError(f"{name}: dimensions are {found.dims}, must be {variable.dims}")
    if not _has_dtype(found, variable):
        raise SchemaError(f"{name}: dtype is {found.dtype}, must be {variable.dtype}")
    if variable.dtype == "int8":
        _check_meanings(found, name)
    for key in ("units", "long_name", "definition", "source"):
        value = found.attrs.get(key)
        if not (isinstance(value, str) and value):
            raise SchemaError(f"{name}: attribute {key} is {value!r}, must be text")
        if key == "units" and value != variable.units:
            raise SchemaError(f"{name}: attribute units is {value!r}, must be {variable.units!r}")


def _check_meanings(found: xr.Variable, name: str) -> None:
    """The flags that a file knows mean what they mean here, and every one that stands is told.

    A flag that came later is not among those of an older file.
    """
    values = np.atleast_1d(found.attrs.get("flag_values", []))
    meanings = str(found.attrs.get("flag_meanings", "")).split()
    ours = {flag.value: flag.name.lower() for flag in Flag}
    if not values.size or not set(values.tolist()) <= set(ours):
        raise SchemaError(f"{name}: attribute flag_values is {values}, must be of {list(ours)}")
    expected = [ours[value] for value in values.tolist()]
    if meanings != expected:
        raise SchemaError(
            f"{name}: attribute flag_meanings is {' '.join(meanings)!r}, must be "
            f"{' '.join(expected)!r}"
        )
    untold = sorted(set(np.unique(found.values).tolist()) & set(ours) - set(values.tolist()))
    if untold:
        raise SchemaError(f"{name}: attribute flag_values does not tell of {untold[0]}")


def _has_dtype(found: xr.Variable, variable: Variable) -> bool:
    if variable.dtype != "str":
        return bool(found.dtype == np.dtype(variable.dtype))
    if found.dtype.kind == "O":
        return all(isinstance(value, str) for value in found.values.flat)
    return bool(found.dtype.kind in "UT")


def _check_coordinate(view: View, dimension: Dimension) -> None:
    """Labels stand once, in their order, among those that are known."""
    name = dimension.name
    if not view[name].size:
        raise SchemaError(f"{name}: has no entry; a dataset needs at least one")
    match dimension.order:
        case "labels" if dimension.known:
            known = dimension.known
            strange = ~np.isin(view[name].values.astype(str), known)
            view.refuse(name, xr.Variable(name, strange), f"is none of {'; '.join(known)}")
            order = [known.index(str(label)) for label in view[name].values]
            told = "does not follow the schema's order"
            _check_ascending(view, name, xr.Variable(name, order), told)
        case "labels":
            labels = view[name].values.astype(str)
            _, first = np.unique(labels, return_index=True)
            repeated = ~np.isin(np.arange(labels.size), first)
            view.refuse(name, xr.Variable(name, repeated), "stands twice")
        case "ascending":
            told = "does not rise above the one before"
            _check_ascending(view, name, view[name], told)
        case "counted":
            counted = xr.Variable(name, np.arange(1, view[name].size + 1))
            view.refuse(name, view[name] != counted, "breaks the count 1, 2, 3, …")
    check_bounds(view, dimension.coordinate, may_be_missing=False)


def _check_ascending(view: View, name: str, values: xr.Variable, what: str) -> None:
    numbers = values.values
    rises = np.concatenate([[True], numbers[1:] > numbers[:-1]])
    view.refuse(name, xr.Variable(values.dims, ~rises), what)


def _check_descriptions(view: View, dimension: Dimension) -> None:
    """What is told of the layers and cuts fits the kernels, and their spectra fit in."""
    for variable in dimension.described_by:
        check_bounds(view, variable, may_be_missing=False)
    if dimension.longest is not None:
        size, longest = view[dimension.name].size, dimension.longest(view.shapes)
        if size < longest:
            raise SchemaError(
                f"{dimension.name}: has {size} entries, must have {longest}: as many as the "
                "largest kernel needs"
            )


def _check_kernels(view: View) -> None:
    """Layers stand in forward order; what is told of their kernels follows from the shapes."""
    _check_ascending(view, "depth", view["depth"], "does not rise above the one before")
    entries = xr.Variable("layer", view.shapes.prod(axis=1))
    wrong = view["parameters"] != entries
    view.refuse("parameters", wrong, "is not the kernel's number of entries")
    if "same_as" in view.variables:
        wrong = view["same_as"] != view.cut_labels
        view.refuse("same_as", wrong, "is not what the shape of the kernel says")
