"""Layer datasets as netCDF files: validated both ways, never half-written.

A file is written aside in the folder of its destination, flushed to the disk, and renamed. So the
file under the given name is at every moment a whole one.
"""

import contextlib
import os
import secrets
import shutil
from pathlib import Path
from typing import Final

import xarray as xr

from compressibility.errors import UserError
from compressibility.store.schema import ATTRIBUTES, SCHEMA_VERSION, TABLE
from compressibility.store.template import completed
from compressibility.store.validation import SchemaError, validate

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
    destination = Path(path)
    aside = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}.part")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        _write(dataset, aside)
        aside.replace(destination)
    except (OSError, RuntimeError) as error:
        raise DatasetError(
            f"cannot write {destination}: {_reason(error, destination.parent)}; make room or "
            "choose another place; what stood there before is untouched"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def open_dataset(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read a layer dataset into memory and validate it; the file is closed again.

    A dataset of an older schema comes back with the variables it lacks, at their missing values.

    Args:
        path: A file that `save` wrote.

    Returns:
        The dataset, with the dtypes of the table and text as objects.

    Raises:
        DatasetError: The file is missing, unreadable, truncated, not netCDF, or not a valid layer
            dataset (another program's, damaged, of a newer schema).
    """
    source = Path(path)
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
        with xr.open_dataset(content, engine="netcdf4") as opened:
            dataset = _normalised(opened.load())
    except Exception as error:  # damaged bytes make HDF5, netCDF and xarray raise many kinds
        raise DatasetError(
            f"{source} is truncated or damaged, at {len(content)} bytes; delete it and measure or "
            "download it again"
        ) from error
    try:
        if dataset.attrs.get("schema_version") in range(1, SCHEMA_VERSION):
            dataset = completed(dataset).assign_attrs(schema_version=SCHEMA_VERSION)
        validate(dataset)
    except SchemaError as error:
        raise DatasetError(
            f"{source} is not a valid layer dataset: {error}; give a file that `compressibility "
            "measure` wrote"
        ) from error
    return dataset


def _write(dataset: xr.Dataset, path: Path) -> None:
    """Write to the disk itself; arrays of numbers are compressed."""
    packed = [n for n, v in dataset.variables.items() if v.dtype.kind in "fi" and v.ndim > 0]
    encoding = dict.fromkeys(packed, _COMPRESSION)
    dataset.drop_encoding().to_netcdf(path, engine="netcdf4", encoding=encoding)
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _reason(error: OSError | RuntimeError, folder: Path) -> str:
    """What hindered the write; HDF5 says no more than that it was hindered."""
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return error.strerror or os.strerror(error.errno)
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(folder).free
        if free < _NEARLY_FULL:
            return f"the disk is full ({free} bytes free)"
    return f"the system refused to write on ({error}), as at a quota or a limit of file size"


def _normalised(dataset: xr.Dataset) -> xr.Dataset:
    """In the order of the table; text as objects, since a fixed width would cut longer text."""
    variables = {}
    for name in sorted(map(str, dataset.variables), key=_position):
        found = dataset.variables[name].drop_encoding()
        text = name in TABLE and TABLE[name].dtype == "str"
        variables[name] = found.astype(object).to_base_variable() if text else found
    attributes = {n: dataset.attrs[n] for n in sorted(map(str, dataset.attrs), key=_position)}
    coordinates = {name: variables.pop(name) for name in list(variables) if name in dataset.coords}
    return xr.Dataset(variables, coordinates, attributes)


def _position(name: str) -> int:
    names = (*TABLE, *ATTRIBUTES)
    return names.index(name) if name in names else len(names)
