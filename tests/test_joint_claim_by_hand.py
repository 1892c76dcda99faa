"""Oracle: what layers cost together and alone, set by hand and added up."""

import numpy as np
import pytest
import xarray as xr

from analyses.claims.joint import excess, summed_change
from compressibility.store.reading import LayerData, NotMeasuredError
from tests.synthetic_dataset import DIMS, make

COSTS = {"OUT": 0.5, "IN": 0.25, "KH": 1.0, "KW": 7.0, "OUT,IN": 7.0, "OUT,KH": 7.0, "OUT,KW": 0.1}


@pytest.mark.parametrize(
    ("mode", "first", "every"), [("OUT", 0.5, 2.0), ("IN", 0.0, 0.75), ("OUT,KW", 1.0, 1.3)]
)
def test_the_sum_takes_a_cut_that_equals_this_one_and_passes_over_a_trivial_one(mode, first, every):
    """Each layer alone costs what its cut does; conv1 has no IN, and its OUT,KW is KH.

    All at once cost ten times the threshold, of which nine are up to 0.5, and four up to 0.1.
    """
    dataset = make(n_seeds=2)
    cost = xr.DataArray(list(COSTS.values()), {"mode": list(COSTS)}, "mode")
    dataset["loss"][...] = (0.1 + cost).where(dataset["loss"].notnull()).transpose(*DIMS)
    dataset["joint_loss"][...] = 0.1 + 10 * dataset["threshold"].values[:, None]
    data = LayerData(dataset)
    np.testing.assert_allclose(summed_change(data, "all", mode), every)
    np.testing.assert_allclose(summed_change(data, "first 1/4", mode), first, atol=1e-15)
    np.testing.assert_allclose(excess(data, mode), 17.3 / 9 - every)
    np.testing.assert_allclose(excess(data, mode, 0.1), 1.8 / 4 - every)
    dataset["loss"].loc[{"layer": "conv3", "threshold": 0.3, "seed": 1}] = np.nan
    np.testing.assert_array_equal(excess(data, mode).isnull(), [False, True])
    assert excess(data, mode, 0.2).notnull().all()


def test_the_sum_over_a_part_of_the_layers_is_not_taken_for_that_over_all():
    data = LayerData(make(n_seeds=2).isel(layer=[0, 2]))
    with pytest.raises(NotMeasuredError, match="4 layers were truncated at once, and 2 are here"):
        summed_change(data, "all", "OUT")
    with pytest.raises(NotMeasuredError, match="no joint truncations along KH"):
        excess(data, "KH")
