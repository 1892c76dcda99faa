"""Oracles: the plain loop, NumPy, and the files that are written."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from compressibility.errors import NumericalError
from compressibility.evaluation import plain_evaluation
from compressibility.experiments import networks
from compressibility.experiments.experiment import Experiment, ExperimentError
from compressibility.measuring.progress import Step
from compressibility.measuring.tasks import Bench
from compressibility.networks.architectures import VanillaCNN
from compressibility.quantities.curvature import Curvature
from compressibility.quantities.registry import QUANTITIES
from compressibility.store import netcdf, provenance
from compressibility.store.schema import Flag
from compressibility.subjects import Subject
from compressibility.tensors.modes import Cut, matricize
from compressibility.tensors.schmidt import truncate
from tests.small_experiment import (
    PLANS,
    SMALL,
    THRESHOLDS,
    assert_same_values,
    measure_in,
    place_in,
    planning,
)

RETRAINING = PLANS["recovery"].recipe


def subject_in(folder: Path, seed: int, experiment: Experiment = SMALL) -> Subject:
    return Bench(place_in(folder)).subject(experiment, seed)


def only(*tables: str) -> Experiment:
    return planning(**{table: None for table in PLANS if table not in tables})


@pytest.mark.parametrize("layer", ["stage1.conv", "stage2.conv"])
def test_counts_and_losses_are_the_plain_loops(small_dataset, small_home, layer) -> None:
    seed = 1
    subject = subject_in(small_home, seed)
    kernel = subject.network.get_submodule(layer).weight.detach().numpy()
    held_modes = small_dataset["same_as"].sel(layer=layer)
    for mode in set(held_modes.values) - {"trivial"}:
        held = small_dataset.sel(layer=layer, mode=mode, seed=seed)
        for threshold in THRESHOLDS:
            here = held.sel(threshold=threshold)
            plain = plain_evaluation(
                subject.network,
                subject.images,
                subject.labels,
                {layer: truncate(kernel, Cut.parse(mode), int(here["rank"]))},
            )
            assert int(here["n_correct"]) == plain.n_correct
            assert float(here["loss"]) == pytest.approx(plain.loss, rel=1e-5)


def test_lower_precision_gives_the_counts_of_float32_and_no_losses(small_home, tmp_path) -> None:
    images = replace(only("truncation", "controls"), seeds=(0,), test_images=None)
    exact = measure_in(tmp_path / "exact", images)
    lower = measure_in(tmp_path / "lower", replace(images, precision="bfloat16"))
    for name in ("n_correct", "n_lost", "n_gained", "perturbed_n_correct", "rank"):
        xr.testing.assert_equal(lower[name], exact[name])
    assert set(lower["truncation_precision"].values.flat) == {"bfloat16"}
    assert set(exact["truncation_precision"].values.flat) == {"float32"}
    assert set(lower["network_precision"].values.flat) == {"float32"}
    assert lower["loss"].isnull().all()
    assert lower["perturbed_loss"].isnull().all()
    assert exact["loss"].notnull().equals(exact["norm_loss"].notnull())


def test_schmidt_values_are_numpys_singular_values(small_dataset, small_home) -> None:
    kernel = subject_in(small_home, 0).network.stage2.conv.weight.detach().numpy()
    for mode in small_dataset["mode"].values:
        expected = np.linalg.svd(
            matricize(kernel.astype(np.float64), Cut.parse(mode)), compute_uv=False
        )
        held = small_dataset["schmidt_value"].sel(
            weights="trained", layer="stage2.conv", mode=mode, seed=0
        )
        np.testing.assert_allclose(held[: len(expected)], expected, rtol=1e-10, atol=1e-12)


def test_shuffled_weights_are_the_trained_entries(small_dataset) -> None:
    norms = small_dataset["kernel_norm"]
    np.testing.assert_allclose(norms.sel(weights="shuffled"), norms.sel(weights="trained"))


def test_the_dataset_knows_its_number_of_classes(small_dataset) -> None:
    assert small_dataset.attrs["n_classes"] == 10


def test_the_saved_file_is_the_returned_dataset(small_dataset, small_home) -> None:
    saved = netcdf.open_dataset(place_in(small_home).cache.dataset("small"))
    assert_same_values(saved, small_dataset)


def test_an_unknown_layer_names_the_nearest(tmp_path) -> None:
    with pytest.raises(ExperimentError, match=r"no layer 'stage1\.con': did you mean stage1\.conv"):
        measure_in(tmp_path, layers=("stage1.con",))


OTHERS = {
    "architecture": replace(SMALL, architecture=VanillaCNN(channels=(8, 6), pooled=(0,))),
    "recipe": replace(SMALL, recipe=replace(SMALL.recipe, epochs=3)),
    "images": replace(SMALL, images="cifar10"),
    "test images": replace(SMALL, test_images=101),
}


@pytest.mark.parametrize("differing", OTHERS)
def test_a_dataset_is_not_taken_for_that_of_another_experiment_of_its_name_and_title(
    small_dataset, small_home, tmp_path, differing
) -> None:
    out = place_in(small_home).cache.dataset("small")
    before = out.read_bytes()
    with pytest.raises(ExperimentError, match=f"another experiment .*of another {differing} than"):
        measure_in(tmp_path, OTHERS[differing], out=out)
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("dimension", "changed"),
    [
        (
            "threshold",
            {
                "truncation": replace(PLANS["truncation"], thresholds=(0.0, 0.1, 0.5)),
                "held_out": replace(PLANS["held_out"], thresholds=(0.0, 0.1, 0.5)),
                "curvature": replace(PLANS["curvature"], thresholds=(0.0, 0.1, 0.5)),
                "joint": replace(PLANS["joint"], thresholds=(0.0, 0.1, 0.5)),
                "formats": replace(PLANS["formats"], thresholds=(0.0, 0.1, 0.5)),
                "whitened": replace(PLANS["whitened"], thresholds=(0.0, 0.1, 0.5)),
            },
        ),
        ("norm_loss_level", {"controls": replace(PLANS["controls"], norm_loss_levels=(0.1,))}),
        ("direction", {"curvature": replace(PLANS["curvature"], directions=5)}),
        ("eigenvalue_index", {"hessian": replace(PLANS["hessian"], eigenvalues=3)}),
        ("cp_rank", {"cp": replace(PLANS["cp"], ranks=(1, 2))}),
        ("format", {"formats": replace(PLANS["formats"], formats=("TT",))}),
        ("joint_mode", {"joint": replace(PLANS["joint"], cuts=("OUT", "KH"))}),
        ("path_point", {"minimum": replace(PLANS["minimum"], points=5)}),
        ("recovery_mode", {"recovery": replace(PLANS["recovery"], cuts=("KH",))}),
        ("recovery_threshold", {"recovery": replace(PLANS["recovery"], thresholds=(0.5,))}),
        (
            "epoch",
            {"recovery": replace(PLANS["recovery"], recipe=replace(RETRAINING, epochs=2))},
        ),
    ],
)
def test_another_grid_is_refused(small_dataset, small_home, dimension, changed) -> None:
    with pytest.raises(ExperimentError, match=f"another grid of {dimension}"):
        measure_in(small_home, planning(**changed))


def test_each_task_keeps_the_commit_that_measured_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(provenance, "here", lambda: "first")
    measure_in(tmp_path, seeds=(0,))
    monkeypatch.setattr(provenance, "here", lambda: "second")
    both = measure_in(tmp_path)
    for table in QUANTITIES:
        commits = both[f"{table}_commit"]
        assert set(commits.sel(seed=0).values.flat) == {"first"}
        assert set(commits.sel(seed=1).values.flat) == {"second"}


def test_a_diverged_training_is_recorded_and_the_other_seeds_go_on(
    small_dataset, tmp_path, monkeypatch
) -> None:
    train = networks.train

    def diverging(experiment: Experiment, seed: int, *rest) -> None:
        if seed == 0:
            raise NumericalError("training loss is nan in epoch 1")
        train(experiment, seed, *rest)

    monkeypatch.setattr(networks, "train", diverging)
    found = measure_in(tmp_path)
    assert found["network_failure"].sel(seed=0).item() == "training loss is nan in epoch 1"
    assert found["network_flag"].sel(seed=0).item() == Flag.FAILED.value
    assert found["weights_hash"].sel(seed=0).item() == ""
    one = {"seed": 1}
    xr.testing.assert_equal(found["n_correct"].sel(one), small_dataset["n_correct"].sel(one))
    monkeypatch.undo()
    assert_same_values(measure_in(tmp_path), small_dataset)


def test_a_task_that_fails_is_recorded_and_the_others_go_on(
    small_dataset, tmp_path, monkeypatch
) -> None:
    measure = Curvature.measure

    def failing(self, subject, layer, rng):
        if layer == "stage2.conv":
            raise np.linalg.LinAlgError("SVD did not converge")
        return measure(self, subject, layer, rng)

    monkeypatch.setattr(Curvature, "measure", failing)
    some = only("truncation", "curvature")
    found = measure_in(tmp_path, some)
    there = found.sel(layer="stage2.conv")
    assert set(there["curvature_failure"].values) == {"SVD did not converge"}
    assert set(there["curvature_flag"].values) == {Flag.FAILED.value}
    assert there["hessian_layer_trace"].isnull().all()
    here = {"layer": "stage1.conv"}
    for name in ("hessian_layer_trace", "curvature_flag"):
        xr.testing.assert_equal(found[name].sel(here), small_dataset[name].sel(here))
    again: list[Step] = []
    measure_in(tmp_path, some, report=again.append)
    assert all(step.done == step.total for step in again)


def test_a_defect_is_told_as_one_and_what_is_measured_is_saved(tmp_path, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("operands could not be broadcast together")

    monkeypatch.setattr(Curvature, "measure", broken)
    with pytest.raises(ValueError, match="broadcast"):
        measure_in(tmp_path)
    partial = netcdf.open_dataset(place_in(tmp_path).cache.dataset("small"))
    assert partial["network_key"].sel(seed=0).item()
