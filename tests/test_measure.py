import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.context import SpawnProcess
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import load_file, save_file

from compressibility.evaluation import plain_evaluation
from compressibility.experiments import ExperimentError
from compressibility.measuring import tasks
from compressibility.measuring.lock import BusyError
from compressibility.measuring.progress import Step
from compressibility.measuring.workers import processes
from compressibility.store import netcdf
from compressibility.tensors.modes import Cut, matricize
from compressibility.tensors.schmidt import truncate
from tests.small_experiment import N_TASKS, SMALL, assert_same_values, measure_in, place_in


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def dataset(folder: Path) -> xr.Dataset:
    return measure_in(folder)


@pytest.mark.parametrize("layer", ["stage1.conv", "stage2.conv"])
def test_counts_and_losses_are_the_plain_loops(dataset, folder, layer) -> None:
    place, seed = place_in(folder), 1
    network = tasks.trained(SMALL, seed, place)
    images = tasks.load_images(SMALL, place.images)
    test = images.test.first(SMALL.test_images)
    kernel = network.get_submodule(layer).weight.detach().numpy()
    held_modes = dataset["same_as"].sel(layer=layer)
    for mode in set(held_modes.values) - {"trivial"}:
        held = dataset.sel(layer=layer, mode=mode, seed=seed)
        for threshold in SMALL.thresholds:
            here = held.sel(threshold=threshold)
            plain = plain_evaluation(
                network,
                images.normalised(test.images),
                test.labels,
                {layer: truncate(kernel, Cut.parse(mode), int(here["rank"]))},
            )
            assert int(here["n_correct"]) == plain.n_correct
            assert float(here["loss"]) == pytest.approx(plain.loss, rel=1e-5)


def test_lower_precision_gives_the_counts_of_float32_and_no_losses(folder, tmp_path) -> None:
    images = replace(SMALL, seeds=(0,), test_images=None)
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
    kernel = tasks.trained(SMALL, 0, place_in(folder)).stage2.conv.weight.detach().numpy()
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
    monkeypatch.setattr(tasks, "load_images", refuse)
    assert_same_values(measure_in(tmp_path), dataset)


def test_a_whole_dataset_needs_no_lock(dataset, folder, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the dataset is locked")

    monkeypatch.setattr("compressibility.measuring.sweep.exclusive", refuse)
    assert_same_values(measure_in(folder), dataset)


def test_a_missing_network_of_a_partial_measurement_is_asked_for(tmp_path) -> None:
    measure_in(tmp_path, seeds=(0,), layers=("stage1.conv",))
    place_in(tmp_path).cache.checkpoint("small", 0).unlink()
    with pytest.raises(ExperimentError, match="put it there"):
        measure_in(tmp_path, seeds=(0,))


def test_another_network_of_a_partly_measured_seed_is_refused(folder, tmp_path) -> None:
    measure_in(tmp_path, seeds=(0,), layers=("stage1.conv",))
    path = place_in(tmp_path).cache.checkpoint("small", 0)
    tensors = load_file(path)
    tensors["head.bias"] += 1
    images = tasks.load_images(SMALL, tmp_path)
    save_file(tensors, path, {"training": tasks.training_json(SMALL, 0, images.checksum)})
    tasks.trained.cache_clear()
    with pytest.raises(ExperimentError, match="is not the network of seed 0"):
        measure_in(tmp_path, seeds=(0,))


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


def test_processes_measure_what_one_process_measures(dataset, tmp_path) -> None:
    with processes(2) as pool:
        beside = measure_in(tmp_path, executor=pool, in_flight=2)
    torch.testing.assert_close(
        torch.from_numpy(beside["loss"].values),
        torch.from_numpy(dataset["loss"].values),
        rtol=1e-3,
        atol=1e-3,
        equal_nan=True,
    )
    np.testing.assert_array_equal(beside["rank"], dataset["rank"])


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


@contextmanager
def _another_measuring(folder: Path) -> Iterator[SpawnProcess]:
    """A process in the midst of its measurement; killed at the end."""
    shards = place_in(folder).cache.shards("small")
    process = multiprocessing.get_context("spawn").Process(
        target=_measure_until_killed, args=(folder,)
    )
    process.start()
    try:
        _wait_for(lambda: list(shards.glob("*.nc")))
        yield process
    finally:
        process.kill()
        process.join()


def test_a_second_measurement_of_one_dataset_is_refused_while_the_first_runs(tmp_path) -> None:
    with _another_measuring(tmp_path), pytest.raises(BusyError, match="small"):
        measure_in(tmp_path)
    measure_in(tmp_path, seeds=(0,))


def test_a_second_measurement_into_another_file_is_refused_while_the_first_runs(tmp_path) -> None:
    with (
        _another_measuring(tmp_path) as process,
        pytest.raises(BusyError, match=f"small is being measured by process {process.pid}"),
    ):
        measure_in(tmp_path, seeds=(0,), out=tmp_path / "other.nc")


def test_an_unknown_layer_names_the_nearest(tmp_path) -> None:
    with pytest.raises(ExperimentError, match=r"no layer 'stage1\.con': did you mean stage1\.conv"):
        measure_in(tmp_path, layers=("stage1.con",))


def test_another_experiments_dataset_is_left_alone(dataset, folder, tmp_path) -> None:
    other = replace(SMALL, name="other", title="Another")
    out = place_in(folder).cache.dataset("small")
    before = out.read_bytes()
    with pytest.raises(ExperimentError, match="another experiment"):
        measure_in(tmp_path, other, out=out)
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("dimension", "change"),
    [
        ("threshold", {"thresholds": (0.0, 0.1, 0.5)}),
        ("norm_loss_level", {"norm_loss_levels": (0.1,)}),
        ("direction", {"hessian": replace(SMALL.hessian, directions=5)}),
        ("eigenvalue_index", {"hessian": replace(SMALL.hessian, eigenvalues=3)}),
    ],
)
def test_another_grid_is_refused(dataset, folder, dimension, change) -> None:
    with pytest.raises(ExperimentError, match=f"another grid of {dimension}"):
        measure_in(folder, replace(SMALL, **change))
