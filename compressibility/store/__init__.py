"""xarray datasets: what was measured."""

from compressibility.store.layout import blank, cut_flags, merge, shard
from compressibility.store.netcdf import (
    DatasetError,
    open_dataset,
    open_shard,
    save,
    save_shard,
)
from compressibility.store.provenance import TaskProvenance
from compressibility.store.rules import validate
from compressibility.store.schema import MODES, TABLES, Flag, Table, Variable
from compressibility.store.view import SchemaError

__all__ = [
    "MODES",
    "TABLES",
    "DatasetError",
    "Flag",
    "SchemaError",
    "Table",
    "TaskProvenance",
    "Variable",
    "blank",
    "cut_flags",
    "merge",
    "open_dataset",
    "open_shard",
    "save",
    "save_shard",
    "shard",
    "validate",
]
