import numpy as np
import pytest
import xarray as xr

from compressibility.experiments.experiment import ExperimentError
from compressibility.measuring.verify import Check, Recount, Variant, verify
from tests.small_experiment import SMALL, measure_in, place_in


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def dataset(folder) -> xr.Dataset:
    return measure_in(folder, seeds=(0,))


def _verify(dataset: xr.Dataset, folder, sample: int = 1000):
    return verify(dataset, SMALL, place_in(folder), sample=sample, rng=np.random.default_rng(0))


def test_every_stored_truncation_and_perturbation_holds(dataset, folder) -> None:
    checks = _verify(dataset, folder)
    n_truncations = 3 * int((dataset["truncation_flag"] == 0).sum())
    assert len(checks) == n_truncations + 2 * int((dataset["controls_flag"] == 0).sum())
    assert all(check.holds for check in checks)


HERE = {"layer": "stage2.conv", "seed": 0}
CUT = HERE | {"mode": "IN", "threshold": 0.4}
LEVEL = HERE | {"norm_loss_level": 0.4}


@pytest.mark.parametrize(
    ("variable", "change", "where", "variant"),
    [
        ("rank", -1, CUT, ("IN", 0.4)),
        ("norm_loss", 1e-6, CUT, ("IN", 0.4)),
        ("n_correct", 3, CUT, ("IN", 0.4)),
        ("n_lost", 3, CUT, ("IN", 0.4)),
        ("loss", 1e-2, CUT, ("IN", 0.4)),
        ("held_out_n_correct", 3, CUT, ("IN", 0.4)),
        ("perturbed_n_correct", 3, LEVEL, ("", 0.4)),
        ("perturbed_loss", 1e-2, LEVEL, ("", 0.4)),
    ],
)
def test_a_changed_number_does_not_hold(dataset, folder, variable, change, where, variant) -> None:
    changed = dataset.copy(deep=True)
    changed[variable].loc[where] += change
    failed = [check.variant for check in _verify(changed, folder) if not check.holds]
    assert [(v.layer, v.mode, v.level) for v in failed] == [("stage2.conv", *variant)]


@pytest.mark.parametrize(
    ("counts", "held_out", "holds"),
    [
        ((0, 0), (0, 0), True),
        ((2, 2), (1, 1), True),
        ((2, 1), (0, 5), False),
        ((0, 5), (2, 1), False),
    ],
)
def test_near_ties_excuse_the_counts_of_their_own_images_alone(counts, held_out, holds) -> None:
    variant = Variant(0, "stage1.conv", "OUT", 0.1)
    check = Check(variant, 0, 0.0, Recount(*counts), Recount(*held_out), 0.0)
    assert check.holds == holds


def test_a_dataset_without_counts_on_held_out_images_is_verified_without(dataset, folder) -> None:
    without = dataset.drop_vars([n for n in dataset.data_vars if n.startswith("held_out")])
    assert all(check.holds for check in _verify(without, folder))


def test_a_changed_spectrum_holds_for_none_of_its_truncations(dataset, folder) -> None:
    changed = dataset.copy(deep=True)
    changed["schmidt_value"].loc[HERE | {"weights": "trained", "mode": "IN"}] *= 1 + 1e-6
    failed = [check.variant for check in _verify(changed, folder) if not check.holds]
    assert [(v.layer, v.mode) for v in failed] == [("stage2.conv", "IN")] * 3


def test_a_changed_shuffle_holds_for_none_of_the_perturbations(dataset, folder) -> None:
    changed = dataset.copy(deep=True)
    changed["schmidt_value"].loc[HERE | {"weights": "shuffled", "mode": "OUT"}] *= 1 + 1e-6
    failed = [check.variant for check in _verify(changed, folder) if not check.holds]
    assert [(v.layer, v.mode, v.level) for v in failed] == [
        ("stage2.conv", "", level) for level in (0.1, 0.4)
    ]


def test_other_images_are_refused(dataset, folder) -> None:
    with pytest.raises(ExperimentError, match="was measured on other images"):
        _verify(dataset.assign_attrs(images_checksum="0" * 64), folder)


def test_a_sample_is_drawn_without_repetition(dataset, folder) -> None:
    checks = _verify(dataset, folder, sample=7)
    assert len({check.variant for check in checks}) == 7


def test_without_its_network_a_dataset_cannot_be_verified(dataset, tmp_path) -> None:
    with pytest.raises(ExperimentError, match="no network of seed 0"):
        _verify(dataset, tmp_path)
