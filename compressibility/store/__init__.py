"""xarray datasets: what was measured."""

from compressibility.store.netcdf import DatasetError, open_dataset, save
from compressibility.store.schema import MODES, TABLE, Flag, Group
from compressibility.store.template import blank
from compressibility.store.validation import SchemaError, validate

__all__ = [
    "MODES",
    "TABLE",
    "DatasetError",
    "Flag",
    "Group",
    "SchemaError",
    "blank",
    "open_dataset",
    "save",
    "validate",
]
