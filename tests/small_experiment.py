"""A small experiment on the digits, and how it is measured in a folder of its own."""

from dataclasses import replace
from pathlib import Path

import xarray as xr

from compressibility.experiments.experiment import Experiment
from compressibility.experiments.named import EXPERIMENTS
from compressibility.experiments.networks import Place
from compressibility.measuring.sweep import measure
from compressibility.networks.architectures import VanillaCNN
from compressibility.networks.training import ConstantRate
from compressibility.quantities.controls import Controls
from compressibility.quantities.cp import CPDecomposition
from compressibility.quantities.curvature import Curvature
from compressibility.quantities.formats import TensorFormats
from compressibility.quantities.held_out import HeldOut
from compressibility.quantities.hessian import Hessian
from compressibility.quantities.joint import Joint
from compressibility.quantities.minimum import Minimum
from compressibility.quantities.recovery import Recovery
from compressibility.quantities.truncations import Truncation
from compressibility.quantities.whitened import WhitenedTruncation
from compressibility.store.cache import Cache

THRESHOLDS = (0.0, 0.1, 0.4)
PLANS = {
    "truncation": Truncation(THRESHOLDS),
    "held_out": HeldOut(THRESHOLDS, images=60),
    "controls": Controls((0.1, 0.4)),
    "hessian": Hessian(images=64, eigenvalues=2, directions=4),
    "curvature": Curvature(images=64, eigenvalues=2, directions=4, thresholds=THRESHOLDS),
    "joint": Joint(THRESHOLDS),
    "formats": TensorFormats(THRESHOLDS),
    "cp": CPDecomposition((1, 3), starts=2, sweeps=20),
    "recovery": Recovery(
        ConstantRate(epochs=1, batch_size=64, peak_learning_rate=0.01),
        cuts=("OUT",),
        thresholds=(0.4,),
        statistics_images=256,
    ),
    "minimum": Minimum(
        ConstantRate(epochs=1, batch_size=64, peak_learning_rate=0.01),
        threshold=0.4,
        epochs_of_another=2,
        points=3,
        images=128,
        statistics_images=256,
        directions=2,
    ),
    "whitened": WhitenedTruncation(THRESHOLDS, images=64),
}
SMALL = replace(
    EXPERIMENTS["digits-vanilla"],
    name="small",
    title="Two convolutions on digits",
    architecture=VanillaCNN(channels=(4, 6), pooled=(0,)),
    recipe=replace(EXPERIMENTS["digits-vanilla"].recipe, epochs=2),
    seeds=(0, 1),
    plans=tuple(PLANS.values()),
    test_images=100,
)
N_TASKS = 4 + 7 * 2 + 6
"""Network, Hessian, joint and minimum; seven quantities of two layers; six arms."""


def planning(experiment: Experiment = SMALL, **changed) -> Experiment:
    """The experiment with some plans changed, or with None left out."""
    plans = {plan.table: plan for plan in experiment.plans} | changed
    return replace(experiment, plans=tuple(plan for plan in plans.values() if plan is not None))


def place_in(folder: Path) -> Place:
    return Place(Cache(folder), folder / "images", "cpu")


def measure_in(folder: Path, experiment: Experiment = SMALL, **options) -> xr.Dataset:
    options = {"seeds": experiment.seeds} | options
    place = place_in(folder)
    seeds = options.pop("seeds")
    out = options.pop("out", place.cache.dataset(experiment.name))
    return measure(experiment, seeds, place=place, out=out, **options)


def assert_same_values(one: xr.Dataset, other: xr.Dataset) -> None:
    assert set(one.variables) == set(other.variables)
    for name in one.variables:
        xr.testing.assert_identical(one[name].variable, other[name].variable)
