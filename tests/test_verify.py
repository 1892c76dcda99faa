import numpy as np
import pytest
import xarray as xr

from compressibility.experiments import ExperimentError
from compressibility.measuring.verify import verify
from tests.small_experiment import SMALL, measure_in, place_in


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def dataset(folder) -> xr.Dataset:
    return measure_in(folder, seeds=(0,))


def _verify(dataset: xr.Dataset, folder, sample: int = 1000):
    return verify(dataset, SMALL, place_in(folder), sample=sample, rng=np.random.default_rng(0))


def test_every_stored_truncation_holds(dataset, folder) -> None:
    checks = _verify(dataset, folder)
    assert len(checks) == 3 * int((dataset["truncation_flag"] == 0).sum())
    assert all(check.holds for check in checks)


@pytest.mark.parametrize(
    ("variable", "change"),
    [("rank", -1), ("norm_loss", 1e-6), ("n_correct", 3), ("n_lost", 3), ("loss", 1e-2)],
)
def test_a_changed_number_does_not_hold(dataset, folder, variable, change) -> None:
    changed = dataset.copy(deep=True)
    here = {"layer": "stage2.conv", "mode": "IN", "threshold": 0.4, "seed": 0}
    changed[variable].loc[here] += change
    failed = [check for check in _verify(changed, folder) if not check.holds]
    assert [(check.layer, check.mode, check.threshold) for check in failed] == [
        ("stage2.conv", "IN", 0.4)
    ]


def test_other_images_are_refused(dataset, folder) -> None:
    with pytest.raises(ExperimentError, match="was measured on other images"):
        _verify(dataset.assign_attrs(images_checksum="0" * 64), folder)


def test_a_sample_is_drawn_without_repetition(dataset, folder) -> None:
    checks = _verify(dataset, folder, sample=7)
    assert len({(c.layer, c.mode, c.threshold) for c in checks}) == 7


def test_without_its_network_a_dataset_cannot_be_verified(dataset, tmp_path) -> None:
    with pytest.raises(ExperimentError, match="no network of seed 0"):
        _verify(dataset, tmp_path)
