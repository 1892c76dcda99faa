"""A small experiment on the digits, and how it is measured in a folder of its own."""

from dataclasses import replace
from pathlib import Path

import xarray as xr

from compressibility.experiments import EXPERIMENTS, Experiment, HessianPlan
from compressibility.measuring.sweep import measure
from compressibility.measuring.tasks import Place
from compressibility.networks.architectures import VanillaCNN
from compressibility.store.cache import Cache

SMALL = replace(
    EXPERIMENTS["digits-vanilla"],
    name="small",
    title="Two convolutions on digits",
    architecture=VanillaCNN(channels=(4, 6), pooled=(0,)),
    recipe=replace(EXPERIMENTS["digits-vanilla"].recipe, epochs=2),
    seeds=(0, 1),
    thresholds=(0.0, 0.1, 0.4),
    norm_loss_levels=(0.1, 0.4),
    hessian=HessianPlan(images=64, eigenvalues=2, directions=4),
    test_images=100,
)
N_TASKS = 2 + 3 * 2  # network and Hessian; three groups of two layers


def place_in(folder: Path) -> Place:
    return Place(Cache(folder), folder / "images", "cpu")


def measure_in(folder: Path, experiment: Experiment = SMALL, **options) -> xr.Dataset:
    options = {"seeds": experiment.seeds} | options
    place = place_in(folder)
    seeds = options.pop("seeds")
    out = options.pop("out", place.cache.dataset(experiment.name))
    return measure(experiment, seeds, place=place, out=out, **options)


def assert_same_values(one: xr.Dataset, other: xr.Dataset) -> None:
    for name in one.variables:
        xr.testing.assert_identical(one[name].variable, other[name].variable)
