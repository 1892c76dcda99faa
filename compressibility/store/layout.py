"""Tables laid out: the blank dataset, the shard of one task, and shards put into a dataset."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import product
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from compressibility.errors import nearest
from compressibility.store import schema
from compressibility.store.cuts import MODES, cut_labels
from compressibility.store.declarations import PARTED, Dimension, Flag, Table, Variable
from compressibility.store.provenance import TaskProvenance
from compressibility.store.schema import (
    CORE,
    SCHEMA_VERSION,
    described,
    dimensions,
    named,
    present,
)
from compressibility.store.view import SchemaError
from compressibility.tensors.modes import TRIVIAL

Labels = Mapping[str, ArrayLike]


class Layer(Protocol):
    """What a dataset keeps of a layer: `compressibility.networks.kernels.Kernel` has it all."""

    @property
    def layer(self) -> str:
        """Path of the module in the network."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Sizes of the modes OUT, IN, KH, KW of the kernel as stored."""

    @property
    def groups(self) -> int:
        """Groups of the convolution."""

    @property
    def depth(self) -> int:
        """Position in forward order, from 1."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""


def blank(
    layers: Sequence[Layer],
    *,
    seeds: Sequence[int],
    coordinates: Labels,
    tables: Sequence[str],
    attributes: Mapping[str, str | int],
) -> xr.Dataset:
    """The dataset of some tables in which nothing is measured yet.

    Every variable of the tables is there at its missing value (NaN, -1, empty text, the flag
    ``NOT_MEASURED``), with all its attributes; only ``same_as``, which follows from the layers'
    shapes, is filled in.

    Args:
        layers: The measured layers, in forward order.
        seeds: Seeds of the networks, ascending.
        coordinates: Labels along the other dimensions of the tables; those that no table lies
            along do not count. ``mode`` has all cuts, ``weights`` what the tables measure, and
            ``schmidt_index`` the length of the longest spectrum unless they are given.
        tables: Names of the tables; the core need not be named.
        attributes: The global attributes, as `compressibility.store.provenance.attributes` makes
            them.

    Returns:
        A dataset that passes `compressibility.store.rules.validate`.

    Raises:
        ValueError: There is no such table or dimension, or a dimension has no labels.
    """
    chosen = tuple(dict.fromkeys((CORE, *map(named, tables))))
    _require_dimensions(coordinates)
    shapes = np.array([layer.shape for layer in layers], np.int64).reshape(-1, 4)
    last = max(len(layers) - 1, 1)
    labels: dict[str, ArrayLike] = {
        "layer": [layer.layer for layer in layers],
        "seed": seeds,
        **coordinates,
    }
    along = dimensions(chosen)
    for dimension in along.values():
        if dimension.name not in labels:
            labels[dimension.name] = _default_labels(dimension, chosen, shapes)
    told: dict[str, ArrayLike] = {
        "depth": [layer.depth for layer in layers],
        "relative_depth": [(layer.depth - 1) / last for layer in layers],
        "out_channels": shapes[:, 0],
        "in_channels": shapes[:, 1],
        "kernel_height": shapes[:, 2],
        "kernel_width": shapes[:, 3],
        "groups": [layer.groups for layer in layers],
        "parameters": shapes.prod(axis=1),
        "macs": [layer.macs for layer in layers],
        "same_as": cut_labels(shapes),
    }
    labels |= told
    known = schema.coordinates(chosen) | described(along.values())
    laid = {name: laid_out(variable, labels[name]) for name, variable in known.items()}
    dataset = xr.Dataset(coords={name: laid.pop(name) for name in schema.coordinates(chosen)})
    missing = _missing([v for table in chosen for v in table.stored], dataset.sizes)
    return dataset.assign(laid | missing).assign_attrs(attributes)


def shard(
    table: str,
    labels: Mapping[str, object],
    values: Mapping[str, ArrayLike],
    *,
    coordinates: Labels,
    provenance: TaskProvenance,
) -> xr.Dataset:
    """What one task has measured, ready to be merged into the dataset.

    Args:
        table: Name of the task's table.
        labels: Where the task stands along the dimensions that its table is per.
        values: Arrays along the variables' dimensions without those, in the table's order; along
            ``weights`` only what this table measures. A flag that is not among them says that all
            is measured. Empty for a task that failed.
        coordinates: Labels along the table's other dimensions; those that it does not lie along
            do not count, nor do those of ``weights`` that the table does not measure.
            ``schmidt_index`` follows from the values; known labels (cuts, weights) and counts need
            not be given.
        provenance: Where the values come from; a failure if that is why there are none.

    Returns:
        The variables of the table, with the coordinates of its dimensions and no others.

    Raises:
        ValueError: The labels are not those of the table, a value is none of its variables or of
            another shape, or a dimension has no labels.
    """
    chosen = named(table)
    if set(labels) != set(chosen.per):
        raise ValueError(f"labels {dict(labels)} are not along {', '.join(chosen.per)}")
    _require_dimensions(coordinates)
    variables = {v.name: v for v in chosen.measured}
    for name in values:
        if name not in variables:
            raise ValueError(f"table {table} has no variable {name!r}: {nearest(name, variables)}")
    if provenance.failure and values:
        raise ValueError(f"a failed task of table {table} has values: {', '.join(values)}")
    arrays = {name: np.asarray(value) for name, value in values.items()}
    along = {d: dimensions((chosen,))[d] for v in chosen.measured for d in v.dims}
    axes: dict[str, ArrayLike] = {}
    for name, dimension in along.items():
        follows = name == PARTED or dimension.longest is not None or name not in coordinates
        if name not in chosen.per:
            axes[name] = _own_labels(dimension, chosen, arrays) if follows else coordinates[name]
    if PARTED in axes and PARTED in coordinates:
        given = set(np.asarray(coordinates[PARTED]).tolist())
        axes[PARTED] = [label for label in np.asarray(axes[PARTED]).tolist() if label in given]
    axes |= {name: np.array([label]) for name, label in labels.items()}
    dataset = xr.Dataset(
        coords={name: laid_out(d.coordinate, axes[name]) for name, d in along.items()},
        attrs={"schema_version": SCHEMA_VERSION},
    )
    dataset = dataset.assign(_missing((*chosen.measured, *chosen.bookkeeping), dataset.sizes))
    status = Flag.FAILED if provenance.failure else Flag.MEASURED
    arrays = {flag.name: np.array(status.value) for flag in chosen.flags} | arrays
    for name, array in arrays.items():
        inner = _inner(variables[name], chosen)
        shape = tuple(dataset.sizes[dim] for dim in inner)
        if array.shape not in {shape, ()}:
            raise ValueError(
                f"{name} of table {table} has shape {array.shape}, must have {shape} along "
                f"({', '.join(inner)})"
            )
        dataset[name][dict.fromkeys(chosen.per, 0)] = array
    for entry, text in asdict(provenance).items():
        dataset[chosen.book(entry)][...] = text
    return dataset


def merge(into: xr.Dataset, part: xr.Dataset) -> None:
    """Copy every task that ``part`` holds into ``into``, in place, label by label.

    Args:
        into: A dataset with every table that ``part`` holds a task of.
        part: A shard or a dataset. Its layers and seeds are among those of ``into``, and its
            labels along the other dimensions are equal, but that it may have fewer ``weights``
            and fewer Schmidt indices.

    Raises:
        SchemaError: ``into`` lacks a table, a layer or a seed, or has other labels.
    """
    for table in present(part):
        tasks = measured(part, table)
        if tasks:
            _require_labels(into, part, table)
        for task in tasks:
            _copy(into, part, table, dict(zip(table.per, task, strict=True)))


def measured(dataset: xr.Dataset, table: Table) -> dict[tuple[object, ...], str]:
    """Content key of every task that is done or has failed, by its labels along ``table.per``.

    Empty where the dataset does not have the table.
    """
    if table.book("key") not in dataset.variables:
        return {}
    keys = dataset[table.book("key")].transpose(*table.per)
    labels = product(*(keys[dim].values.tolist() for dim in table.per))
    return {task: key for task, key in zip(labels, keys.values.ravel(), strict=True) if key}


def cut_flags(shape: Sequence[int]) -> NDArray[np.int8]:
    """The flag of each cut of a measured kernel: measured, or why the cut holds no values.

    Args:
        shape: Shape (out, in, kh, kw) of the kernel.

    Returns:
        Values of `Flag`, shape (7,), along `compressibility.store.cuts.MODES`.
    """
    [held] = cut_labels([shape])
    absent = np.where(held == TRIVIAL, Flag.TRIVIAL_CUT.value, Flag.SAME_AS_OTHER_CUT.value)
    return np.where(held == np.array(MODES), Flag.MEASURED.value, absent).astype(np.int8)


def laid_out(variable: Variable, values: ArrayLike) -> xr.Variable:
    """Values along a variable's dimensions, with its type and attributes."""
    data = np.asarray(values, variable.numpy_dtype)
    return xr.Variable(variable.dims, data, variable_attributes(variable))


def variable_attributes(variable: Variable) -> dict[str, object]:
    """The netCDF attributes of a variable; a flag's follow the CF conventions."""
    counts = variable.dtype == "int64" and variable.flag
    missing = f" {variable.missing} where it is not measured." if counts else ""
    attributes: dict[str, object] = {
        "units": variable.units,
        "long_name": variable.long_name,
        "definition": variable.definition + missing,
        "source": variable.source,
    }
    if variable.dtype == "int8":
        attributes["flag_values"] = np.array([flag.value for flag in Flag], np.int8)
        attributes["flag_meanings"] = " ".join(flag.name.lower() for flag in Flag)
    return attributes


def _require_dimensions(coordinates: Labels) -> None:
    for name in coordinates:
        if name not in dimensions():
            raise ValueError(f"unknown dimension {name!r}: {nearest(name, dimensions())}")


def _missing(
    variables: Iterable[Variable], sizes: Mapping[Hashable, int]
) -> dict[str, xr.Variable]:
    """Variables at their missing values; of a name that stands twice, the first."""
    found: dict[str, xr.Variable] = {}
    for v in variables:
        shape = [sizes[dim] for dim in v.dims]
        found.setdefault(v.name, laid_out(v, np.full(shape, v.missing, v.numpy_dtype)))
    return found


def _default_labels(
    dimension: Dimension, tables: Sequence[Table], shapes: NDArray[np.int64]
) -> ArrayLike:
    """The labels that follow from the tables or from the kernels."""
    lying = [table for table in tables if dimension in table.dimensions]
    if dimension.longest is not None:
        return np.arange(1, 1 + dimension.longest(shapes))
    if dimension.known:
        measured = {label for table in lying for label in table.labels_along(dimension)}
        return [label for label in dimension.known if label in measured]
    names = ", ".join(table.name for table in lying)
    raise ValueError(f"dimension {dimension.name} of table {names} has no labels: give them")


def _own_labels(
    dimension: Dimension, table: Table, arrays: Mapping[str, NDArray[Any]]
) -> ArrayLike:
    """The labels of a shard that follow from its table or from its values."""
    if dimension.order == "counted":
        sizes = [
            arrays[v.name].shape[_inner(v, table).index(dimension.name)]
            for v in table.measured
            if v.name in arrays and dimension.name in v.dims
        ]
        return np.arange(1, 1 + max(sizes, default=1))
    return _default_labels(dimension, (table,), np.ones((1, 4), np.int64))


def _inner(variable: Variable, table: Table) -> tuple[str, ...]:
    """The dimensions of a variable within one task of a table."""
    return tuple(dim for dim in variable.dims if dim not in table.per)


def _require_labels(into: xr.Dataset, part: xr.Dataset, table: Table) -> None:
    if table not in present(into):
        raise SchemaError(f"{table.book('key')}: the dataset has no table {table.name}")
    for dimension in table.dimensions:
        name = dimension.name
        if name not in part.dims:
            continue
        here, there = part[name].values, into[name].values
        some = name in table.per or name == PARTED or dimension.longest is not None
        if not (np.isin(here, there).all() if some else np.array_equal(here, there)):
            raise SchemaError(f"{name}: a task of table {table.name} lies along other labels")


def _copy(into: xr.Dataset, part: xr.Dataset, table: Table, labels: Mapping[str, object]) -> None:
    failed = bool(part[table.book("failure")].loc[labels].item())
    here, there = (_places(dataset, table) for dataset in (part, into))
    chosen = {dim: [labels[dim]] if dim in labels else list(here[dim]) for dim in here}
    for variable in (*table.measured, *table.bookkeeping):
        if failed and variable in table.variables:
            continue
        if variable.part:
            chosen[PARTED] = [label for label in here[PARTED] if label in variable.part]
        found = into.variables[variable.name]
        piece = part.variables[variable.name].transpose(*found.dims)
        source, target = (
            np.ix_(*([places[dim][label] for label in chosen[dim]] for dim in map(str, found.dims)))
            for places in (here, there)
        )
        found.values[target] = piece.values[source]


def _places(dataset: xr.Dataset, table: Table) -> dict[str, dict[object, int]]:
    """Where each label of a table's dimensions stands in a dataset."""
    names = [dimension.name for dimension in table.dimensions if dimension.name in dataset.dims]
    return {
        name: {label: place for place, label in enumerate(dataset[name].values.tolist())}
        for name in names
    }
