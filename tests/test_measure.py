import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.context import SpawnProcess
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import load_file, save_file

from compressibility.errors import NumericalError
from compressibility.evaluation import plain_evaluation
from compressibility.experiments import networks
from compressibility.experiments.experiment import Experiment, ExperimentError
from compressibility.measuring.lock import BusyError
from compressibility.measuring.progress import Step
from compressibility.measuring.tasks import Bench
from compressibility.measuring.workers import Beside, processes
from compressibility.networks.architectures import VanillaCNN
from compressibility.networks.image_sets import digits
from compressibility.quantities.curvature import Curvature
from compressibility.quantities.registry import QUANTITIES
from compressibility.store import netcdf, provenance
from compressibility.store.schema import Flag
from compressibility.subjects import Subject
from compressibility.tensors.modes import Cut, matricize
from compressibility.tensors.schmidt import truncate
from tests.small_experiment import (
    N_TASKS,
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def dataset(folder: Path) -> xr.Dataset:
    return measure_in(folder)


@pytest.mark.parametrize("layer", ["stage1.conv", "stage2.conv"])
def test_counts_and_losses_are_the_plain_loops(dataset, folder, layer) -> None:
    seed = 1
    subject = subject_in(folder, seed)
    kernel = subject.network.get_submodule(layer).weight.detach().numpy()
    held_modes = dataset["same_as"].sel(layer=layer)
    for mode in set(held_modes.values) - {"trivial"}:
        held = dataset.sel(layer=layer, mode=mode, seed=seed)
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


def test_lower_precision_gives_the_counts_of_float32_and_no_losses(folder, tmp_path) -> None:
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


def test_schmidt_values_are_numpys_singular_values(dataset, folder) -> None:
    kernel = subject_in(folder, 0).network.stage2.conv.weight.detach().numpy()
    for mode in dataset["mode"].values:
        expected = np.linalg.svd(
            matricize(kernel.astype(np.float64), Cut.parse(mode)), compute_uv=False
        )
        held = dataset["schmidt_value"].sel(
            weights="trained", layer="stage2.conv", mode=mode, seed=0
        )
        np.testing.assert_allclose(held[: len(expected)], expected, rtol=1e-10, atol=1e-12)


def test_shuffled_weights_are_the_trained_entries(dataset) -> None:
    norms = dataset["kernel_norm"]
    np.testing.assert_allclose(norms.sel(weights="shuffled"), norms.sel(weights="trained"))


def test_the_dataset_knows_its_number_of_classes(dataset) -> None:
    assert dataset.attrs["n_classes"] == 10


def test_the_saved_file_is_the_returned_dataset(dataset, folder) -> None:
    saved = netcdf.open_dataset(place_in(folder).cache.dataset("small"))
    assert_same_values(saved, dataset)


def test_measuring_again_does_nothing(dataset, folder) -> None:
    steps: list[Step] = []
    again = measure_in(folder, report=steps.append)
    assert_same_values(again, dataset)
    assert all(step.done == step.total for step in steps)


def test_a_dataset_counts_as_done_without_checkpoints_shards_or_images(
    dataset, folder, tmp_path, monkeypatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("images are read")

    place = place_in(tmp_path)
    netcdf.save(dataset, place.cache.dataset("small"))
    monkeypatch.setattr(Bench, "images", refuse)
    assert_same_values(measure_in(tmp_path), dataset)


def test_a_whole_dataset_needs_no_lock(dataset, folder, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the dataset is locked")

    monkeypatch.setattr("compressibility.measuring.sweep.exclusive", refuse)
    assert_same_values(measure_in(folder), dataset)


def test_a_missing_network_of_a_partial_measurement_is_asked_for(tmp_path) -> None:
    measure_in(tmp_path, only("truncation"), seeds=(0,), layers=("stage1.conv",))
    place_in(tmp_path).cache.checkpoint("small", 0).unlink()
    with pytest.raises(ExperimentError, match="put it there"):
        measure_in(tmp_path, only("truncation"), seeds=(0,))


def test_another_network_of_a_partly_measured_seed_is_refused(folder, tmp_path) -> None:
    measure_in(tmp_path, only("truncation"), seeds=(0,), layers=("stage1.conv",))
    path = place_in(tmp_path).cache.checkpoint("small", 0)
    tensors = load_file(path)
    tensors["head.bias"] += 1
    origin = networks.training_json(SMALL, 0, digits().checksum)
    save_file(tensors, path, {"training": origin})
    with pytest.raises(ExperimentError, match="is not the network of seed 0"):
        measure_in(tmp_path, only("truncation"), seeds=(0,))


def test_an_interrupted_measurement_is_saved_and_resumes_to_the_same_values(
    dataset, tmp_path
) -> None:
    def interrupt(step: Step) -> None:
        if step.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_in(tmp_path, report=interrupt)
    partial = netcdf.open_dataset(place_in(tmp_path).cache.dataset("small"))
    assert partial["network_key"].values.tolist() != ["", ""]
    steps: list[Step] = []
    resumed = measure_in(tmp_path, report=steps.append)
    assert steps[0].done >= 4
    assert_same_values(resumed, dataset)


def test_seeds_measured_one_after_the_other_make_the_same_dataset(dataset, tmp_path) -> None:
    measure_in(tmp_path, seeds=(1,))
    assert_same_values(measure_in(tmp_path, seeds=(0,)), dataset)


def test_layers_measured_one_after_the_other_make_the_same_dataset(dataset, tmp_path) -> None:
    measure_in(tmp_path, layers=("stage2.conv",))
    assert_same_values(measure_in(tmp_path), dataset)


def test_processes_measure_what_one_process_measures(dataset, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(
        "compressibility.measuring.workers.cores", lambda: 2 * torch.get_num_threads()
    )
    with processes(2) as pool:  # as many threads each as this one has, for the same last bits
        hands = Beside(pool, place_in(tmp_path), at_once=2)
        beside = measure_in(tmp_path, hands=hands)
    assert_same_values(beside, dataset)


def _measure_until_killed(folder: Path) -> None:
    measure_in(folder)


def _wait_for(condition, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def test_a_killed_measurement_resumes_to_the_same_values(dataset, tmp_path) -> None:
    shards = place_in(tmp_path).cache.shards("small")
    process = multiprocessing.get_context("spawn").Process(
        target=_measure_until_killed, args=(tmp_path,)
    )
    process.start()
    _wait_for(lambda: len(list(shards.glob("*.nc"))) >= 3)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    kept = len(list(shards.glob("*.nc")))
    assert kept < 2 * N_TASKS
    steps: list[Step] = []
    resumed = measure_in(tmp_path, report=steps.append)
    assert steps[0].done >= kept
    assert_same_values(resumed, dataset)


@pytest.fixture(scope="module")
def another_measuring(tmp_path_factory) -> Iterator[tuple[Path, SpawnProcess]]:
    """A folder, and a process that stands still in the midst of its measurement there."""
    folder = tmp_path_factory.mktemp("busy")
    shards = place_in(folder).cache.shards("small")
    process = multiprocessing.get_context("spawn").Process(
        target=_measure_until_killed, args=(folder,)
    )
    process.start()
    try:
        _wait_for(lambda: list(shards.glob("*.nc")))
        os.kill(process.pid, signal.SIGSTOP)
        yield folder, process
    finally:
        process.kill()
        process.join()


def test_a_second_measurement_of_one_dataset_is_refused_while_the_first_runs(
    another_measuring,
) -> None:
    folder, _ = another_measuring
    with pytest.raises(BusyError, match="small"):
        measure_in(folder)


def test_a_second_measurement_into_another_file_is_refused_while_the_first_runs(
    another_measuring,
) -> None:
    folder, process = another_measuring
    with pytest.raises(BusyError, match=f"small is being measured by process {process.pid}"):
        measure_in(folder, seeds=(0,), out=folder / "other.nc")


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
    dataset, folder, tmp_path, differing
) -> None:
    out = place_in(folder).cache.dataset("small")
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
def test_another_grid_is_refused(dataset, folder, dimension, changed) -> None:
    with pytest.raises(ExperimentError, match=f"another grid of {dimension}"):
        measure_in(folder, planning(**changed))


def test_a_quantity_planned_later_joins_the_dataset(dataset, tmp_path) -> None:
    first = measure_in(tmp_path, planning(hessian=None, curvature=None, controls=None))
    assert not {"hessian_trace", "direction", "perturbed_loss"} & set(first.variables)
    assert first["weights"].values.tolist() == ["trained"]
    assert_same_values(measure_in(tmp_path), dataset)


def test_a_quantity_planned_no_longer_stays(dataset, folder) -> None:
    assert_same_values(measure_in(folder, planning(hessian=None)), dataset)


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
    dataset, tmp_path, monkeypatch
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
    xr.testing.assert_equal(found["n_correct"].sel(one), dataset["n_correct"].sel(one))
    monkeypatch.undo()
    assert_same_values(measure_in(tmp_path), dataset)


def test_a_task_that_fails_is_recorded_and_the_others_go_on(dataset, tmp_path, monkeypatch) -> None:
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
        xr.testing.assert_equal(found[name].sel(here), dataset[name].sel(here))
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
