"""What becomes of datasets of older schema versions; every number, flag and key stays as it is.

Version 1 held every table, with dimensions of one entry where nothing was planned, and told the
commit and the versions of the libraries once for the whole file: those of its last measurement.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np
import xarray as xr

from compressibility.store.declarations import BOOKS
from compressibility.store.keys import canonical_json
from compressibility.store.layout import laid_out, variable_attributes
from compressibility.store.schema import SCHEMA_VERSION, TABLES, declared
from compressibility.store.view import SchemaError

_FIRST_TABLES: Final = ("network", "truncation", "controls", "hessian", "curvature")
_HESSIAN_TABLES: Final = ("hessian", "curvature")


def migrated(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset as the present schema has it; one of any other version than an older one, as is.

    Raises:
        SchemaError: A dataset of an older version lacks what it must have to be understood.
    """
    version = dataset.attrs.get("schema_version")
    for older in range(1, SCHEMA_VERSION):
        if version == older:
            dataset, version = _STEPS[older](dataset), older + 1
    return dataset


def _from_1(dataset: xr.Dataset) -> xr.Dataset:
    tables = [TABLES[name] for name in _FIRST_TABLES]
    for table in tables:
        if table.book("key") not in dataset.variables:
            raise SchemaError(f"{table.book('key')}: missing variable")
    experiment = _json(dataset, "experiment")
    versions = _json(dataset, "library_versions")
    unplanned = [
        TABLES[name]
        for name in _HESSIAN_TABLES
        if experiment.get("hessian", {}) is None
        and not (dataset[TABLES[name].book("key")] != "").any()
    ]
    kept = [table for table in tables if table not in unplanned]
    dropped = set(declared(unplanned)) - set(declared(kept))
    told = {
        "commit": str(dataset.attrs.get("commit", "unknown")),
        "versions": canonical_json(
            versions | {"compressibility": dataset.attrs.get("package_version", "unknown")}
        ),
        "failure": "",
    }
    dataset = dataset.drop_vars([name for name in dataset.variables if name in dropped])
    dataset = dataset.assign(
        {
            variable.name: laid_out(variable, np.where(keys != "", told[entry], ""))
            for table in kept
            for entry, variable in zip(BOOKS, table.bookkeeping, strict=True)
            if entry in told
            for keys in [dataset[table.book("key")].transpose(*table.per).values]
        }
    )
    for variable in (v for table in kept for v in (*table.flags, *table.bookkeeping)):
        found = dataset.variables[variable.name]
        found.attrs = variable_attributes(variable) | {"units": found.attrs.get("units")}
    dataset.attrs = {
        name: value
        for name, value in dataset.attrs.items()
        if name not in ("commit", "library_versions", "package_version")
    } | {
        "schema_version": 2,
        "experiment": canonical_json(with_plans(experiment)),
        "left_out": canonical_json(None),
    }
    return dataset


def _json(dataset: xr.Dataset, attribute: str) -> dict[str, Any]:
    try:
        told = json.loads(dataset.attrs[attribute])
    except (KeyError, TypeError, ValueError) as error:
        raise SchemaError(f"attribute {attribute} is missing or not JSON") from error
    if not isinstance(told, dict):
        raise SchemaError(f"attribute {attribute} is {told!r}: it must map names to values")
    return told


def with_plans(experiment: Mapping[str, Any]) -> dict[str, Any]:
    """The experiment with a plan for each table, and without what only one machine knows."""
    moved = ("hessian", "norm_loss_levels", "threads", "thresholds")
    told = {name: value for name, value in experiment.items() if name not in moved}
    plans: dict[str, Any] = {}
    if "thresholds" in experiment:
        plans["truncation"] = {"thresholds": experiment["thresholds"]}
    if "norm_loss_levels" in experiment:
        plans["controls"] = {"norm_loss_levels": experiment["norm_loss_levels"]}
    if hessian := experiment.get("hessian"):
        plans["hessian"] = hessian
        plans["curvature"] = hessian | {"thresholds": experiment.get("thresholds", [])}
    if plans:
        told["plans"] = plans
    if PurePosixPath(images := str(told.get("images", ""))).is_absolute():
        told["images"] = PurePosixPath(images).name
    return told


_STEPS: Final[Mapping[int, Callable[[xr.Dataset], xr.Dataset]]] = {1: _from_1}
