"""The schema lets no damage pass: every kind of it is refused, by a message that says where."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings

from compressibility.store.rules import SchemaError, validate
from compressibility.store.schema import SCHEMA_VERSION, TABLES, Flag, declared
from compressibility.tensors.modes import CUTS, same_as
from property_tests.datasets import whole_datasets

FEW = settings(max_examples=max(2, settings().max_examples // 50), deadline=None)
"""There are many kinds of damage."""

SIZES = ("out_channels", "in_channels", "kernel_height", "kernel_width")

Damage = Callable[[xr.Dataset], xr.Dataset]


def assigned(name: str, value: object, **place: object) -> Damage:
    """Puts a value in the first place of a variable, or in the place given by indices."""

    def damage(dataset: xr.Dataset) -> xr.Dataset:
        index = dict.fromkeys(dataset[name].dims, 0) | place
        dataset[name][index] = value
        return dataset

    return damage


def shifted(name: str, by: float) -> Damage:
    def damage(dataset: xr.Dataset) -> xr.Dataset:
        dataset[name][dict.fromkeys(dataset[name].dims, 0)] += by
        return dataset

    return damage


def every(name: str, value: object) -> Damage:
    def damage(dataset: xr.Dataset) -> xr.Dataset:
        dataset[name][...] = value
        return dataset

    return damage


def without_attribute(name: str, key: str) -> Damage:
    def damage(dataset: xr.Dataset) -> xr.Dataset:
        del dataset[name].attrs[key]
        return dataset

    return damage


def with_attribute(name: str, key: str, value: object) -> Damage:
    def damage(dataset: xr.Dataset) -> xr.Dataset:
        dataset[name].attrs[key] = value
        return dataset

    return damage


def coordinate(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Damage:
    def damage(dataset: xr.Dataset) -> xr.Dataset:
        found = dataset[name]
        return dataset.assign_coords({name: (found.dims, change(found.values.copy()), found.attrs)})

    return damage


def first(value: object) -> Callable[[np.ndarray], np.ndarray]:
    def change(values: np.ndarray) -> np.ndarray:
        values[0] = value
        return values

    return change


def last(value: object) -> Callable[[np.ndarray], np.ndarray]:
    def change(values: np.ndarray) -> np.ndarray:
        values[-1] = value
        return values

    return change


def twice(dim: str) -> Damage:
    """The first entry of a dimension stands twice."""
    return lambda dataset: dataset.isel({dim: [0, *range(dataset.sizes[dim])]})


def with_root(name: str, value: object) -> Damage:
    return lambda dataset: dataset.assign_attrs({name: value})


def without_root(name: str) -> Damage:
    def damage(dataset: xr.Dataset) -> xr.Dataset:
        del dataset.attrs[name]
        return dataset

    return damage


# kind of damage: how the message begins and goes on, and the damage
DAMAGES: dict[str, tuple[str, Damage]] = {
    "missing variable": ("n_lost: missing", lambda ds: ds.drop_vars("n_lost")),
    "missing coordinate": ("macs: missing", lambda ds: ds.drop_vars("macs")),
    "unknown variable": ("n_found: unknown", lambda ds: ds.assign(n_found=ds["n_lost"])),
    "coordinate as variable": ("depth: is a data variable", lambda ds: ds.reset_coords("depth")),
    "lacking dimension": (
        "loss: dimensions",
        lambda ds: ds.assign(loss=ds["loss"].isel(seed=0, drop=True)),
    ),
    "strange dimension": (
        "loss: dimensions",
        lambda ds: ds.assign(loss=ds["loss"].expand_dims("epoch")),
    ),
    "narrow integers": ("rank: dtype", lambda ds: ds.assign(rank=ds["rank"].astype(np.int32))),
    "counts as floats": ("n_lost: dtype", lambda ds: ds.assign(n_lost=ds["n_lost"].astype(float))),
    "single precision": ("loss: dtype", lambda ds: ds.assign(loss=ds["loss"].astype(np.float32))),
    "wide flags": (
        "truncation_flag: dtype",
        lambda ds: ds.assign(truncation_flag=ds["truncation_flag"].astype(np.int64)),
    ),
    "number as text": ("network_key: dtype", assigned("network_key", 7)),
    "wrong units": ("loss: attribute units is 'bit'", with_attribute("loss", "units", "bit")),
    "no units": ("rank: attribute units", without_attribute("rank", "units")),
    "no definition": (
        "accuracy: attribute definition",
        without_attribute("accuracy", "definition"),
    ),
    "no long name": ("mode: attribute long_name", without_attribute("mode", "long_name")),
    "no source": ("n_images: attribute source", without_attribute("n_images", "source")),
    "empty definition": (
        "norm_loss: attribute definition",
        with_attribute("norm_loss", "definition", ""),
    ),
    "no flag values": (
        "controls_flag: attribute flag_values",
        without_attribute("controls_flag", "flag_values"),
    ),
    "other flag meanings": (
        "hessian_flag: attribute flag_meanings",
        with_attribute("hessian_flag", "flag_meanings", "good bad"),
    ),
    "no title": ("attribute title", without_root("title")),
    "no checksum": ("attribute images_checksum", without_root("images_checksum")),
    "reasons of no layer": ("attribute left_out is 3", with_root("left_out", "3")),
    "experiment not JSON": (
        "attribute experiment is not JSON",
        with_root("experiment", "{'name': 1}"),
    ),
    "versions not JSON": (
        "network_versions: 'numpy 2' is no JSON",
        every("network_versions", "numpy 2"),
    ),
    "no schema version": ("attribute schema_version is missing", without_root("schema_version")),
    "schema version as text": ("attribute schema_version", with_root("schema_version", "1")),
    "newer schema": (
        f"schema_version {SCHEMA_VERSION + 1} is newer",
        with_root("schema_version", SCHEMA_VERSION + 1),
    ),
    "unknown mode": ("mode at .* is none of", coordinate("mode", first("OUT,OUT"))),
    "modes out of order": (
        "mode at .* does not follow",
        lambda ds: ds.isel(mode=slice(None, None, -1)),
    ),
    "repeated layer": ("layer at .* stands twice", twice("layer")),
    "repeated seed": ("seed at .* does not rise", twice("seed")),
    "repeated threshold": ("threshold at .* does not rise", twice("threshold")),
    "unknown weights": ("weights at .* is none of", coordinate("weights", first("random"))),
    "threshold of one": ("threshold at .* outside", coordinate("threshold", last(1.0))),
    "threshold not a number": ("threshold at", coordinate("threshold", first(np.nan))),
    "negative norm loss level": (
        "norm_loss_level at .* outside",
        coordinate("norm_loss_level", first(-0.1)),
    ),
    "Schmidt index from zero": (
        "schmidt_index at .* count",
        coordinate("schmidt_index", lambda v: v - 1),
    ),
    "direction not counted": ("direction at .* count", coordinate("direction", lambda v: v * 2)),
    "Schmidt values cut off": (
        "schmidt_index: has 1 entries",
        lambda ds: ds.isel(schmidt_index=slice(0, 1)),
    ),
    "no seed left": ("seed: has no entry", lambda ds: ds.isel(seed=slice(0, 0))),
    "depth of zero": ("depth at .* at least 1", coordinate("depth", first(0))),
    "depths alike": ("depth at .* does not rise", lambda ds: alike_depths(ds)),
    "relative depth above one": (
        "relative_depth at .* outside",
        coordinate("relative_depth", first(1.5)),
    ),
    "no channels": ("out_channels at .* at least 1", coordinate("out_channels", first(0))),
    "parameters miscounted": ("parameters at .* entries", coordinate("parameters", first(1))),
    "no groups": ("groups at .* at least 1", coordinate("groups", first(0))),
    "equal cut misnamed": ("same_as at .* is not what the shape", assigned("same_as", "IN")),
    "count above the images": ("n_correct at .* outside", shifted("n_correct", 10_001)),
    "perturbed count above the images": (
        "perturbed_n_correct at .* outside",
        shifted("perturbed_n_correct", 10_001),
    ),
    "count below zero": ("n_gained at .* outside", assigned("n_gained", -2)),
    "no images": ("n_images: 0", lambda ds: assigned("n_images", 0)(ds)),
    "unknown number of images": (".* outside 0", assigned("n_images", -1)),
    "losses that do not add up": (
        "n_(lost at .* exceeds|lost at .* outside|correct at .* is not baseline)",
        shifted("n_lost", 1),
    ),
    "more lost than were right": (
        "n_lost at .* exceeds baseline",
        lambda ds: more_lost_than_right(ds),
    ),
    "gains that do not add up": (
        "n_(gained at .* outside|correct at .* is not baseline)",
        shifted("n_gained", 1),
    ),
    "accuracy of another count": ("accuracy at .* is not n_correct", shifted("accuracy", 1e-6)),
    "baseline of another count": (
        "baseline_accuracy at .* is not baseline_n_correct",
        shifted("baseline_accuracy", -1e-6),
    ),
    "norm loss above one": ("norm_loss at .* outside", assigned("norm_loss", 1.1)),
    "norm loss below zero": ("norm_loss at .* outside", assigned("norm_loss", -0.1)),
    "norm loss above the threshold": ("norm_loss at .* exceeds", lambda ds: above_threshold(ds)),
    "relative error beside the norm loss": (
        "relative_error at .* does not fit",
        lambda ds: other_error(ds),
    ),
    "correlation loss above one": (
        "correlation_loss at .* outside",
        assigned("correlation_loss", 1.1),
    ),
    "negative loss": ("loss at .* negative", assigned("loss", -0.1)),
    "infinite loss": ("perturbed_loss at .* infinite", assigned("perturbed_loss", np.inf)),
    "no compression ratio": (
        "compression_ratio at .* not positive",
        assigned("compression_ratio", 0.0),
    ),
    "rank of zero": ("rank at .* must be at least 1", assigned("rank", 0, threshold=-1)),
    "rank above the Schmidt values": ("rank at .* exceeds the", assigned("rank", 99)),
    "rank rising with the threshold": ("rank at .* rises", lambda ds: rising_rank(ds)),
    "Schmidt values rising": (
        "schmidt_value at .* rises",
        assigned("schmidt_value", 1e9, schmidt_index=1),
    ),
    "negative Schmidt value": ("schmidt_value at .* negative", lambda ds: negative_last(ds)),
    "norm of other values": ("kernel_norm at .* norm of", shifted("kernel_norm", 1.0)),
    "eigenvalues rising": ("hessian_eigenvalue at .* rises", lambda ds: rising_eigenvalues(ds)),
    "negative standard error": (
        "hessian_trace_standard_error at .* negative",
        assigned("hessian_trace_standard_error", -1.0),
    ),
    "impossible flag": (
        "truncation_flag at .* no flag",
        assigned("truncation_flag", Flag.TRIVIAL_CUT.value),
    ),
    "unknown flag": ("controls_flag at .* no flag", assigned("controls_flag", 7)),
    "flag of another variable": ("hessian_flag at .* no flag", assigned("hessian_flag", 4)),
    "measured where no cut exists": (
        "truncation_flag at .* no flag",
        lambda ds: measured_without_cut(ds),
    ),
    "curvature along no direction": (
        "directional_curvature at .* is there, but",
        lambda ds: curvature_along_no_direction(ds),
    ),
    "device without a key": (
        "network_device at .* stands where",
        lambda ds: every("network_key", "")(every("network_flag", Flag.NOT_MEASURED.value)(ds)),
    ),
    "key lost": ("controls_key at .* stands where", assigned("controls_key", "")),
    "device lost": ("curvature_device at .* is empty", assigned("curvature_device", "")),
    "losses of lower precision": (
        "loss at .* is there, but truncation_flag or truncation_precision",
        every("truncation_precision", "bfloat16"),
    ),
    "precision lost": (
        "truncation_precision at .* is empty",
        assigned("truncation_precision", ""),
    ),
}
DAMAGES |= {
    f"{name} lost": (f"{name} at .* is missing, but", assigned(name, declared()[name].missing))
    for name in (
        "weights_hash",
        "baseline_n_correct",
        "baseline_loss",
        "schmidt_value",
        "kernel_norm",
        "rank",
        "norm_loss",
        "correlation_loss",
        "n_lost",
        "perturbed_n_correct",
        "hessian_eigenvalue_residual",
        "hessian_layer_trace",
        "random_directional_curvature",
    )
}
DAMAGES |= {
    f"{name} flagged as not measured": (
        rf"{name}_key at .* says not measured"
        if name != "curvature"
        else "hessian_layer_eigenvalue at .* is there, but",
        every(f"{name}_flag", Flag.NOT_MEASURED.value),
    )
    for name in TABLES
}


def alike_depths(dataset: xr.Dataset) -> xr.Dataset:
    dataset = dataset.isel(layer=[0, 0])
    attributes = dataset["layer"].attrs
    return dataset.assign_coords(layer=("layer", np.array(["a", "b"], object), attributes))


def above_threshold(dataset: xr.Dataset) -> xr.Dataset:
    index = dict.fromkeys(dataset["norm_loss"].dims, 0)
    loss = 0.5 * (1 + dataset["threshold"].values[0])
    dataset["norm_loss"][index] = loss
    dataset["relative_error"][index] = np.sqrt(1 - (1 - loss) ** 2)
    return dataset


def other_error(dataset: xr.Dataset) -> xr.Dataset:
    index = dict.fromkeys(dataset["relative_error"].dims, 0)
    error = float(dataset["relative_error"][index])
    dataset["relative_error"][index] = error + 0.1 if error < 0.5 else error - 0.1
    return dataset


def more_lost_than_right(dataset: xr.Dataset) -> xr.Dataset:
    dataset = shifted("n_lost", dataset["n_lost"].values.flat[0] == 0)(dataset)
    dataset = assigned("baseline_accuracy", 0.0)(dataset)
    return assigned("baseline_n_correct", 0)(dataset)


def measured_without_cut(dataset: xr.Dataset) -> xr.Dataset:
    dataset["kernel_height"][0] = 1
    sizes = [int(dataset[n][0]) for n in SIZES]
    dataset["parameters"][0] = int(np.prod(sizes))
    dataset["same_as"][0] = [same_as(sizes, cut) for cut in CUTS]
    return dataset


def curvature_along_no_direction(dataset: xr.Dataset) -> xr.Dataset:
    index = dict.fromkeys(dataset["directional_curvature"].dims, 0)
    dataset["directional_curvature"][index] = 0.0
    dataset["directional_curvature_flag"][index] = Flag.NO_DIRECTION.value
    return dataset


def rising_rank(dataset: xr.Dataset) -> xr.Dataset:
    dataset = dataset.isel(threshold=[0, 0])
    dataset = dataset.assign_coords(threshold=("threshold", [0.4, 0.5], dataset["threshold"].attrs))
    for place, rank in ((0, 1), (1, 2)):
        dataset["rank"][{"layer": 0, "mode": 0, "threshold": place}] = rank
    return dataset


def negative_last(dataset: xr.Dataset) -> xr.Dataset:
    last = int(dataset["out_channels"].values[0]) - 1
    return assigned("schmidt_value", -1e-12, schmidt_index=last)(dataset)


def rising_eigenvalues(dataset: xr.Dataset) -> xr.Dataset:
    dataset = dataset.isel(eigenvalue_index=[0, 0])
    attributes = dataset["eigenvalue_index"].attrs
    dataset = dataset.assign_coords(eigenvalue_index=("eigenvalue_index", [1, 2], attributes))
    return shifted("hessian_eigenvalue", -1.0)(dataset)


@pytest.mark.parametrize("kind", DAMAGES)
@FEW
@given(dataset=whole_datasets())
def test_the_schema_rejects_each_kind_of_damage(kind: str, dataset: xr.Dataset) -> None:
    message, damage = DAMAGES[kind]
    validate(dataset)
    with pytest.raises(SchemaError, match=rf"^({message})") as caught:
        validate(damage(dataset.copy(deep=True)))
    assert "\n" not in str(caught.value)
