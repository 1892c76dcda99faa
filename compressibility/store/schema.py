"""Every table of a layer dataset, and what is found under a name.

A dataset has the core table; any other it has wholly or not at all. So a table added later leaves
older datasets as they are: readable, valid, without it. Dimensions and coordinates are present
where a present table lies along them. A name means exactly what its table says; dimensions are
found by name, never by order.

``SCHEMA_VERSION`` rises when the meaning or the layout of what stands in older files changes, not
when a table is added; `compressibility.store.migration` then says what becomes of older files.
"""

from collections.abc import Iterable
from typing import Final

import xarray as xr

from compressibility.errors import nearest
from compressibility.store.cuts import MODES
from compressibility.store.declarations import (
    BOOKS,
    FLOAT32,
    Bounds,
    Dimension,
    Flag,
    Rule,
    Table,
    Variable,
)
from compressibility.store.tables.controls import CONTROLS
from compressibility.store.tables.cp import CP
from compressibility.store.tables.curvature import CURVATURE
from compressibility.store.tables.formats import FORMATS_TABLE
from compressibility.store.tables.held_out import HELD_OUT
from compressibility.store.tables.hessian import HESSIAN
from compressibility.store.tables.joint import JOINT
from compressibility.store.tables.minimum import MINIMUM
from compressibility.store.tables.network import NETWORK
from compressibility.store.tables.recovery import RECOVERY
from compressibility.store.tables.truncation import TRUNCATION
from compressibility.store.tables.whitened import WHITENED
from compressibility.store.view import MISSING_INTEGER

__all__ = [
    "ATTRIBUTES",
    "BOOKS",
    "CORE",
    "FLOAT32",
    "JSON_ATTRIBUTES",
    "MISSING_INTEGER",
    "MODES",
    "N_CLASSES",
    "SCHEMA_VERSION",
    "TABLES",
    "Bounds",
    "Dimension",
    "Flag",
    "Rule",
    "Table",
    "Variable",
    "coordinates",
    "declared",
    "described",
    "dimensions",
    "named",
    "present",
]

SCHEMA_VERSION: Final = 2

CORE: Final = NETWORK
"""The table that every dataset has."""

TABLES: Final[dict[str, Table]] = {
    table.name: table
    for table in (
        CORE,
        TRUNCATION,
        HELD_OUT,
        CONTROLS,
        HESSIAN,
        CURVATURE,
        JOINT,
        FORMATS_TABLE,
        CP,
        RECOVERY,
        MINIMUM,
        WHITENED,
    )
}
"""Every table by its name, the core first."""

ATTRIBUTES: Final = (
    "title",
    "source",
    "history",
    "references",
    "schema_version",
    "images_checksum",
    "experiment",
    "left_out",
)
"""Global attributes that every dataset carries."""

N_CLASSES: Final = "n_classes"
"""Global attribute of datasets since they keep it: the number of classes of the test images."""

JSON_ATTRIBUTES: Final = ("experiment", "left_out")
"""Those that are JSON; ``left_out`` gives a reason for each layer not measured, or null where the
reasons were not recorded."""


def named(name: str) -> Table:
    """The table of this name.

    Raises:
        ValueError: There is none.
    """
    if name not in TABLES:
        raise ValueError(f"unknown table {name!r}: {nearest(name, TABLES)}")
    return TABLES[name]


def present(dataset: xr.Dataset) -> tuple[Table, ...]:
    """The tables that a dataset or a shard has."""
    return tuple(t for t in TABLES.values() if t.book("key") in dataset.variables)


def dimensions(tables: Iterable[Table] | None = None) -> dict[str, Dimension]:
    """The dimensions that tables lie along, by name; those of all tables if none are given."""
    chosen = TABLES.values() if tables is None else tables
    return {d.name: d for table in chosen for d in table.dimensions}


def described(along: Iterable[Dimension]) -> dict[str, Variable]:
    """What is told of the entries of dimensions, by name."""
    return {v.name: v for dimension in along for v in dimension.described_by}


def coordinates(tables: Iterable[Table] | None = None) -> dict[str, Variable]:
    """The coordinates of tables: of each dimension, and what is told of its entries alone."""
    along = dimensions(tables).values()
    labels = {dimension.name: dimension.coordinate for dimension in along}
    beside = {v.name: v for d in along for v in d.described_by if v.dims == (d.name,)}
    return labels | beside


def declared(tables: Iterable[Table] | None = None) -> dict[str, Variable]:
    """Every variable of tables by its name: coordinates, what is measured, flags, bookkeeping.

    Of a variable that several tables measure in parts, the first table's declaration stands.
    """
    chosen = tuple(TABLES.values() if tables is None else tables)
    found = coordinates(chosen) | described(dimensions(chosen).values())
    for variable in (v for table in chosen for v in table.stored):
        found.setdefault(variable.name, variable)
    return found
