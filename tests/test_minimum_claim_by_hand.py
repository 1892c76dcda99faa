"""Oracle: losses at five places of a path, set by hand, and the line between their ends."""

import math

import numpy as np
import pytest
import xarray as xr

from analyses.claims.minimum import AS_SHARP, SAME_MINIMUM, barrier, error, on_path
from analyses.findings import Verdict
from analyses.verdicts import answer
from compressibility.store.arms import TRAINED_ON
from compressibility.store.paths import (
    AS_STORED,
    BETWEEN_RETRAININGS,
    ESTIMATED_ANEW,
    RECOVERED,
    TO_ANOTHER_NETWORK,
    TO_RECOVERED,
    TO_TRAINED_ON,
)
from compressibility.store.reading import LayerData
from tests.synthetic_dataset import make

HEIGHTS = {
    TO_RECOVERED: 0.03,
    TO_TRAINED_ON: 0.02,
    BETWEEN_RETRAININGS: 0.01,
    TO_ANOTHER_NETWORK: 1.0,
}


@pytest.fixture
def paths():
    """Eight networks whose losses are 0.2 but for one hill half-way on each path."""
    dataset = make(n_seeds=8, n_images=1_000)
    for name in ("path_loss", "path_training_loss"):
        dataset[name][...] = 0.2
    for path, height in HEIGHTS.items():
        raise_hill(dataset, path, height)
    return dataset


def raise_hill(dataset, path, height, names=("path_loss", "path_training_loss"), **where):
    for name in names:
        dataset[name].loc[{"path": path, "path_point": 0.5, **where}] = 0.2 + height


@pytest.mark.parametrize(
    ("losses", "height"),
    [
        ([0, 0, 0, 0, 0], 0),
        ([1, 3, 2, 2, 1], 2),
        ([0, 1, 2, 3, 4], 0),
        ([0, 3, 2, 1, 4], 2),
        ([4, 3, 4, 3, 0], 2),
        ([5, 1, 0, 1, 5], 0),
        ([1, 3, math.nan, 3, 1], math.nan),
    ],
)
def test_a_barrier_is_the_largest_excess_over_the_line_between_the_ends(losses, height):
    places = {"path_point": np.linspace(0, 1, 5), "seed": [7]}
    values = xr.DataArray(np.reshape(losses, (5, 1)).astype(float), places, tuple(places))
    np.testing.assert_array_equal(barrier(values), [height])


def test_the_statistic_is_a_tenth_of_the_barrier_to_another_less_the_own_one(paths):
    raise_hill(paths, TO_RECOVERED, 0.3, seed=4)
    raise_hill(paths, TO_ANOTHER_NETWORK, 2.0, ["path_training_loss"], seed=5)
    found = answer(SAME_MINIMUM, LayerData(paths))
    on_test, on_training = found.findings
    assert on_test.per_seed == pytest.approx([0.07] * 4 + [-0.2] + [0.07] * 3)
    assert on_training.per_seed == pytest.approx([0.07] * 4 + [-0.2, 0.17] + [0.07] * 2)


def test_barriers_are_told_as_they_stand_in_the_dataset(paths):
    paths["path_n_correct"][...] = 950
    for path, right in ((TO_RECOVERED, 930), (TO_ANOTHER_NETWORK, 150)):
        paths["path_n_correct"].loc[{"path": path, "path_point": 0.5}] = right
    data = LayerData(paths)
    np.testing.assert_allclose(barrier(error(data, TO_RECOVERED)), 0.02)
    found = answer(SAME_MINIMUM, data)
    assert found.verdict is Verdict.SUPPORTED
    assert (
        "0.030 nat to the recovered network, 0.020 nat to the one trained on, 0.010 nat between "
        "two re-trainings of one network, 1.0 nat to another network; of the error +2.0 points to "
        "the recovered and +80 points to another network"
    ) in found.told.found
    raise_hill(paths, BETWEEN_RETRAININGS, 0.05, seed=0)
    raise_hill(paths, TO_ANOTHER_NETWORK, 5.0, seed=0)
    told = answer(SAME_MINIMUM, LayerData(paths)).told.found
    assert "0.015 nat between two re-trainings of one network, 1.5 nat to another network" in told


@pytest.mark.parametrize("ceiling", [0.0, 0.005, 0.01])
def test_without_a_barrier_to_another_network_nothing_is_decided(paths, ceiling):
    """Not even where the recovered network lies before none at all."""
    raise_hill(paths, TO_RECOVERED, 0.0)
    assert answer(SAME_MINIMUM, LayerData(paths)).verdict is Verdict.SUPPORTED
    raise_hill(paths, TO_ANOTHER_NETWORK, ceiling)
    found = answer(SAME_MINIMUM, LayerData(paths))
    assert (found.verdict, found.findings) == (Verdict.UNDECIDED, ())
    assert "the control fails: there is no barrier to another network" in found.told.found


def test_the_control_has_to_hold_on_the_training_images_too(paths):
    raise_hill(paths, TO_RECOVERED, 0.0)
    raise_hill(paths, TO_ANOTHER_NETWORK, 0.005, ["path_training_loss"])
    found = answer(SAME_MINIMUM, LayerData(paths))
    assert [f.comparison.condition for f in found.findings] == ["on test images"]
    assert found.verdict is Verdict.UNDECIDED


def test_statistics_are_estimated_anew_where_there_are_any(paths):
    raise_hill(paths, TO_RECOVERED, 0.6, statistics=AS_STORED)
    found = answer(SAME_MINIMUM, LayerData(paths)).findings[0]
    assert found.per_seed == pytest.approx([0.07] * 8)
    assert found.robustness.estimate == pytest.approx(-0.5)
    for name in ("path_loss", "path_training_loss"):
        paths[name].loc[{"statistics": ESTIMATED_ANEW}] = np.nan
    without = on_path(LayerData(paths), "path_loss", TO_RECOVERED)
    assert without.sel(path_point=0.5).values == pytest.approx([0.8] * 8)
    found = answer(SAME_MINIMUM, LayerData(paths)).findings[0]
    assert found.per_seed == pytest.approx([-0.5] * 8)


def test_sharpness_is_the_logarithm_of_the_ratio_of_the_traces(paths):
    """A network where one of them is not positive is left out."""
    trace = paths["state_relative_trace"]
    trace.loc[{"state": RECOVERED}] = [1, 2, 3, 4, 5, 6, 7, -8]
    trace.loc[{"state": TRAINED_ON}] = 2
    found = answer(AS_SHARP, LayerData(paths)).findings[0]
    assert found.per_seed == pytest.approx(np.log([0.5, 1, 1.5, 2, 2.5, 3, 3.5]))
