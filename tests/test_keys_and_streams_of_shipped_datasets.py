"""Oracle: the shipped datasets. Their keys and random numbers were made before this code was."""

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from safetensors.numpy import load_file

from compressibility.experiments.experiment import from_data
from compressibility.measuring.tasks import content_key
from compressibility.quantities.quantity import Scope, generator
from compressibility.quantities.registry import QUANTITIES
from compressibility.store import cache, layout, netcdf
from compressibility.store.schema import TABLES
from compressibility.tensors.modes import Cut
from compressibility.tensors.perturbations import shuffled
from compressibility.tensors.spectra import spectrum
from tests.small_experiment import PLANS, SMALL

SHIPPED = cache.default().datasets()


@pytest.fixture(scope="module", params=SHIPPED, ids=lambda path: path.stem)
def dataset(request) -> xr.Dataset:
    return netcdf.open_dataset(request.param)


def test_every_stored_key_is_the_key_of_its_task(dataset) -> None:
    experiment = from_data(json.loads(dataset.attrs["experiment"]))
    checked = 0
    for quantity in experiment.quantities:
        table = TABLES[quantity.table]
        for labels, key in layout.measured(dataset, table).items():
            place = dict(zip(table.per, labels, strict=True))
            seed = place.pop("seed")
            assert key == content_key(
                quantity,
                experiment.scope(seed),
                next(iter(place.values()), ""),
                weights=str(dataset["weights_hash"].sel(seed=seed).item()),
                images_checksum=dataset.attrs["images_checksum"],
            )
            checked += 1
    assert checked >= 1 + 2 * dataset.sizes["layer"]


def test_the_stored_shuffles_come_from_the_stream_of_the_controls() -> None:
    name = "cifar10-vanilla"
    dataset = netcdf.open_dataset(cache.default().dataset(name))
    for seed, layer in ((0, "stage1.conv"), (3, "stage2.conv")):
        weights = load_file(cache.default().checkpoint(name, seed))
        kernel = weights[f"{layer}.weight"].astype(np.float64)
        mixed = shuffled(kernel, generator(QUANTITIES["controls"](), Scope(seed), layer))
        stored = dataset["schmidt_value"].sel(
            weights="shuffled", layer=layer, seed=seed, mode="OUT"
        )
        found = spectrum(mixed, Cut.parse("OUT")).schmidt_values
        np.testing.assert_allclose(stored[: len(found)], found, rtol=1e-12)


@pytest.mark.parametrize(
    ("quantity", "number"),
    [
        ("truncation", 1),
        ("controls", 2),
        ("hessian", 3),
        ("curvature", 4),
        ("joint", 5),
        ("held_out", 6),
        ("cp", 7),
        ("formats", 8),
        ("recovery", 9),
        ("minimum", 10),
        ("whitened", 11),
    ],
)
def test_a_streams_first_numbers_are_those_of_its_number_seed_and_layer(quantity, number) -> None:
    expected = np.random.default_rng([7, number, *b"conv1"]).integers(2**62, size=4)
    found = generator(PLANS[quantity], Scope(7), "conv1").integers(2**62, size=4)
    np.testing.assert_array_equal(found, expected)


FIRST = Scope(1, 100)


def _key(quantity=PLANS["truncation"], scope=FIRST, layer="conv1", **changed) -> str:
    settings = {"weights": "a" * 64, "images_checksum": "b" * 64} | changed
    return content_key(quantity, scope, layer, **settings)


@pytest.mark.parametrize(
    "table",
    [
        "truncation",
        "held_out",
        "controls",
        "curvature",
        "joint",
        "cp",
        "formats",
        "recovery",
        "whitened",
    ],
)
def test_a_key_feels_the_weights_the_images_and_the_layer(table) -> None:
    plan = PLANS[table]
    keys = [
        _key(plan),
        _key(plan, weights="c" * 64),
        _key(plan, images_checksum="c" * 64),
        _key(plan, layer="conv2"),
        _key(plan, Scope(1, 100, "stream")),
    ]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("table", ["truncation", "controls", "joint", "cp", "formats", "recovery"])
def test_a_key_feels_the_number_of_test_images(table) -> None:
    plan = PLANS[table]
    assert _key(plan, Scope(1, 100)) != _key(plan, Scope(1, 101)) != _key(plan, Scope(1))


@pytest.mark.parametrize("table", ["controls", "hessian", "curvature", "cp", "recovery"])
def test_a_key_feels_the_seed_of_random_numbers(table) -> None:
    assert _key(PLANS[table], Scope(1)) != _key(PLANS[table], Scope(2))


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("truncation", {"thresholds": (0.0, 0.1, 0.41)}),
        ("truncation", {"thresholds": (0.0, 0.1)}),
        ("held_out", {"thresholds": (0.0, 0.1)}),
        ("held_out", {"images": 61}),
        ("controls", {"norm_loss_levels": (0.1,)}),
        ("hessian", {"images": 65}),
        ("hessian", {"eigenvalues": 3}),
        ("hessian", {"directions": 5}),
        ("curvature", {"images": 65}),
        ("curvature", {"directions": 5}),
        ("curvature", {"thresholds": (0.0, 0.1, 0.41)}),
        ("joint", {"thresholds": (0.0, 0.1, 0.41)}),
        ("joint", {"cuts": ("OUT",)}),
        ("cp", {"ranks": (1, 2)}),
        ("cp", {"starts": 3}),
        ("cp", {"sweeps": 21}),
        ("minimum", {"cut": "IN"}),
        ("minimum", {"points": 5}),
        ("minimum", {"directions": 3}),
        ("formats", {"thresholds": (0.0, 0.1, 0.41)}),
        ("formats", {"formats": ("TT",)}),
        ("whitened", {"thresholds": (0.0, 0.1)}),
        ("whitened", {"images": 65}),
        ("whitened", {"held_out_images": 61}),
        ("recovery", {"cuts": ("IN",)}),
        ("recovery", {"thresholds": (0.5,)}),
        ("recovery", {"statistics_images": 512}),
        ("recovery", {"recipe": replace(PLANS["recovery"].recipe, peak_learning_rate=0.02)}),
    ],
)
def test_a_key_feels_the_plan(table, change) -> None:
    assert _key(PLANS[table]) != _key(replace(PLANS[table], **change))


def test_a_key_feels_the_revision(monkeypatch) -> None:
    before = _key()
    monkeypatch.setattr(type(PLANS["truncation"]), "revision", 2)
    assert _key() != before


def test_quantities_have_keys_of_their_own() -> None:
    keys = [_key(plan) for plan in PLANS.values()]
    assert len(set(keys)) == len(keys)
    assert SMALL.quantities[0].table == "network"
