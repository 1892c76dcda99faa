"""The schema rejects what no table declares: attributes, kernels that do not fit, whole layouts."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given

from compressibility.store.rules import validate
from compressibility.store.schema import SCHEMA_VERSION, Flag
from compressibility.tensors.modes import CUTS, same_as
from property_tests.datasets import whole_datasets
from property_tests.test_schema_damage import FEW, Damage, at_place, everywhere, refused

SIZES = ("out_channels", "in_channels", "kernel_height", "kernel_width")


def with_root(name: str, value: object) -> Callable[[xr.Dataset], xr.Dataset]:
    return lambda dataset: dataset.assign_attrs({name: value})


def without_root(name: str) -> Callable[[xr.Dataset], xr.Dataset]:
    def damage(dataset: xr.Dataset) -> xr.Dataset:
        kept = {key: value for key, value in dataset.attrs.items() if key != name}
        return dataset.drop_attrs(deep=False).assign_attrs(kept)

    return damage


def alike_depths(dataset: xr.Dataset) -> xr.Dataset:
    dataset = dataset.isel(layer=[0, 0])
    attributes = dataset["layer"].attrs
    return dataset.assign_coords(layer=("layer", np.array(["a", "b"], object), attributes))


def measured_without_cut(dataset: xr.Dataset) -> xr.Dataset:
    dataset = dataset.copy(deep=True)
    dataset["kernel_height"][0] = 1
    sizes = [int(dataset[n][0]) for n in SIZES]
    dataset["parameters"][0] = int(np.prod(sizes))
    dataset["same_as"][0] = [same_as(sizes, cut) for cut in CUTS]
    return dataset


def curvature_along_no_direction(dataset: xr.Dataset) -> xr.Dataset:
    flags = dataset["directional_curvature_flag"]
    place = tuple(np.argwhere(flags.values == Flag.MEASURED.value)[0])
    return at_place(dataset, flags.name, place, Flag.NO_DIRECTION.value)


# kind of damage: how the message begins and goes on, and the damage
BY_HAND: dict[str, tuple[str, Callable[[xr.Dataset], xr.Dataset]]] = {
    "unknown variable": ("n_found: unknown", lambda ds: ds.assign(n_found=ds["n_lost"])),
    "unknown dimension": (
        "colour: unknown variable",
        lambda ds: ds.expand_dims(colour=[1]).isel(colour=[0]),
    ),
    "number as text": (
        "network_key: dtype",
        lambda ds: at_place(ds, "network_key", (0,), 7),
    ),
    "no title": ("attribute title", without_root("title")),
    "no checksum": ("attribute images_checksum", without_root("images_checksum")),
    "no reasons": ("attribute left_out", without_root("left_out")),
    "reasons of no layer": ("attribute left_out is 3", with_root("left_out", "3")),
    "experiment not JSON": (
        "attribute experiment is not JSON",
        with_root("experiment", "{'name': 1}"),
    ),
    "no experiment": ("attribute experiment is None", with_root("experiment", "null")),
    "no schema version": ("attribute schema_version is missing", without_root("schema_version")),
    "schema version as text": ("attribute schema_version", with_root("schema_version", "1")),
    "newer schema": (
        f"schema_version {SCHEMA_VERSION + 1} is newer",
        with_root("schema_version", SCHEMA_VERSION + 1),
    ),
    "older schema": ("schema_version 1 is older", with_root("schema_version", 1)),
    "Schmidt values cut off": (
        "schmidt_index: has 1 entries",
        lambda ds: ds.isel(schmidt_index=slice(0, 1)),
    ),
    "depths alike": ("depth at .* does not rise", alike_depths),
    "parameters miscounted": (
        "parameters at .* entries",
        lambda ds: at_place(ds, "parameters", (0,), 1),
    ),
    "equal cut misnamed": (
        "same_as at .* is not what the shape",
        lambda ds: at_place(ds, "same_as", (0, 0), "IN"),
    ),
    "unknown number of images": (
        ".* outside 0 … n_images = -1",
        lambda ds: everywhere(ds, "n_images", -1),
    ),
    "measured where no cut exists": ("truncation_flag at .* no flag", measured_without_cut),
    "curvature along no direction": (
        "directional_curvature at .* is there, but",
        curvature_along_no_direction,
    ),
    "failed in part": (
        "curvature_failure at .* is empty where curvature_flag says failed",
        lambda ds: at_place(ds, "directional_curvature_flag", (0, 0, 0, 0), Flag.FAILED.value),
    ),
}


@pytest.mark.parametrize("kind", BY_HAND)
@FEW
@given(dataset=whole_datasets())
def test_the_schema_rejects_what_no_table_declares(kind: str, dataset: xr.Dataset) -> None:
    message, damage = BY_HAND[kind]
    validate(dataset)
    if kind == "curvature along no direction":
        assume((dataset["directional_curvature_flag"] == Flag.MEASURED.value).any())
    refused(iter([Damage(damage(dataset), message)]))
