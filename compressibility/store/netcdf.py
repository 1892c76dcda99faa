"""Layer datasets as netCDF files: validated both ways, never half-written."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

import xarray as xr

from compressibility.errors import ForeignError, UserError, foreign
from compressibility.files import replaced
from compressibility.store.migration import migrated
from compressibility.store.rules import SchemaError, validate, validate_shard
from compressibility.store.schema import ATTRIBUTES, declared

_HDF5_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_COMPRESSION: Final = {"zlib": True, "complevel": 4, "shuffle": True}
_NEARLY_FULL: Final = 2**20


class DatasetError(UserError):
    """A file that cannot be read as a layer dataset, or not be written; one line says why."""


def save(dataset: xr.Dataset, path: str | os.PathLike[str]) -> None:
    """Write a layer dataset as netCDF-4, compressed; an existing file is replaced in one step.

    Args:
        dataset: A valid layer dataset; it may be partial.
        path: Where to; missing folders are made.

    Raises:
        SchemaError: The dataset violates the schema. Nothing is written.
        DatasetError: The file cannot be written: unwritable folder, full disk. What stood under
            the name before is untouched, and nothing half-written is left.
    """
    validate(dataset)
    _write(dataset, Path(path))


def save_shard(shard: xr.Dataset, path: str | os.PathLike[str]) -> None:
    """Write what `compressibility.store.layout.shard` made, as `save` writes a dataset.

    Raises:
        SchemaError: The shard violates what can be checked of it alone. Nothing is written.
        DatasetError: The file cannot be written.
    """
    validate_shard(shard)
    _write(shard, Path(path))


def open_dataset(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read a layer dataset into memory and validate it; the file is closed again.

    A dataset of an older schema version comes back as one of the present version.

    Args:
        path: A file that `save` wrote.

    Returns:
        The dataset, with the dtypes of the table and text as objects.

    Raises:
        DatasetError: The file is missing, unreadable, truncated, not netCDF, or not a valid layer
            dataset (another program's, damaged, of a newer schema).
    """
    source = Path(path)
    dataset = _read(source)
    try:
        dataset = migrated(dataset)
        validate(dataset)
    except SchemaError as error:
        raise DatasetError(
            f"{source} is not a valid layer dataset: {error}; give a file that `compressibility "
            "measure` wrote"
        ) from error
    return dataset


def open_shard(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read what `save_shard` wrote; of version 1, when shards were datasets, a dataset.

    Raises:
        DatasetError: The file is missing, unreadable, damaged, or no shard.
    """
    source = Path(path)
    shard = _read(source)
    try:
        if shard.attrs.get("schema_version") == 1:
            shard = migrated(shard)
            validate(shard)
        else:
            validate_shard(shard)
    except SchemaError as error:
        raise DatasetError(f"{source} is not a valid shard: {error}; delete it") from error
    return shard


def _read(source: Path) -> xr.Dataset:
    try:
        content = source.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"cannot read {source}: {error.strerror}; measure it first, or give another file"
        ) from error
    if not content.startswith(_HDF5_SIGNATURE):
        what = f"it starts with {content[:8]!r}" if content else "it is empty"
        raise DatasetError(
            f"{source} is not a netCDF-4 file ({what}); give a file that `measure` wrote"
        )
    try:
        with foreign(), xr.open_dataset(content, engine="netcdf4") as opened:
            return _normalised(opened.load())
    except ForeignError as error:  # damaged bytes make HDF5, netCDF and xarray raise many kinds
        raise DatasetError(
            f"{source} is truncated or damaged, at {len(content)} bytes; delete it and measure or "
            "download it again"
        ) from error


def _write(dataset: xr.Dataset, destination: Path) -> None:
    """Write aside and rename; arrays of numbers are compressed."""
    packed = [n for n, v in dataset.variables.items() if v.dtype.kind in "fi" and v.ndim > 0]
    encoding = dict.fromkeys(packed, _COMPRESSION)
    try:
        with replaced(destination) as aside:
            dataset.drop_encoding().to_netcdf(aside, engine="netcdf4", encoding=encoding)
    except (OSError, RuntimeError) as error:
        raise DatasetError(
            f"cannot write {destination}: {_reason(error, destination.parent)}; make room or "
            "choose another place; what stood there before is untouched"
        ) from error


def _reason(error: OSError | RuntimeError, folder: Path) -> str:
    """What hindered the write; HDF5 says no more than that it was hindered."""
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return error.strerror or os.strerror(error.errno)
    with suppress(OSError):
        free = shutil.disk_usage(folder).free
        if free < _NEARLY_FULL:
            return f"the disk is full ({free} bytes free)"
    return f"the system refused to write on ({error}), as at a quota or a limit of file size"


def _normalised(dataset: xr.Dataset) -> xr.Dataset:
    """In the order of the tables; text as objects, since a fixed width would cut longer text."""
    known = declared()
    places = {name: place for place, name in enumerate((*known, *ATTRIBUTES))}

    def place(name: object) -> int:
        return places.get(str(name), len(places))

    variables = {}
    for name in sorted(dataset.variables, key=place):
        found = dataset.variables[name].drop_encoding()
        text = name in known and known[str(name)].dtype == "str"
        variables[name] = found.astype(object).to_base_variable() if text else found
    attributes = {name: dataset.attrs[name] for name in sorted(dataset.attrs, key=place)}
    coordinates = {name: variables.pop(name) for name in list(variables) if name in dataset.coords}
    return xr.Dataset(variables, coordinates, attributes)
