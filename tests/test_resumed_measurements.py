"""Oracle: the dataset of a measurement that nothing stopped."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from compressibility.experiments import networks
from compressibility.experiments.experiment import Experiment, ExperimentError
from compressibility.measuring.lock import BusyError
from compressibility.measuring.progress import Step
from compressibility.measuring.tasks import Bench
from compressibility.measuring.workers import Beside, processes
from compressibility.networks.image_sets import digits
from compressibility.store import netcdf
from compressibility.store.schema import present
from compressibility.store.summary import summarise
from tests.small_experiment import (
    N_TASKS,
    PLANS,
    SMALL,
    assert_same_values,
    measure_in,
    place_in,
    planning,
)


def only(*tables: str) -> Experiment:
    return planning(**{table: None for table in PLANS if table not in tables})


def test_measuring_again_does_nothing(small_dataset, small_home) -> None:
    steps: list[Step] = []
    again = measure_in(small_home, report=steps.append)
    assert_same_values(again, small_dataset)
    assert all(step.done == step.total for step in steps)


def test_a_dataset_counts_as_done_without_checkpoints_shards_or_images(
    small_dataset, small_home, tmp_path, monkeypatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("images are read")

    place = place_in(tmp_path)
    netcdf.save(small_dataset, place.cache.dataset("small"))
    monkeypatch.setattr(Bench, "images", refuse)
    assert_same_values(measure_in(tmp_path), small_dataset)


def test_a_whole_dataset_needs_no_lock(small_dataset, small_home, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the small_dataset is locked")

    monkeypatch.setattr("compressibility.measuring.sweep.exclusive", refuse)
    assert_same_values(measure_in(small_home), small_dataset)


def test_a_missing_network_of_a_partial_measurement_is_asked_for(tmp_path) -> None:
    measure_in(tmp_path, only("truncation"), seeds=(0,), layers=("stage1.conv",))
    place_in(tmp_path).cache.checkpoint("small", 0).unlink()
    with pytest.raises(ExperimentError, match="put it there"):
        measure_in(tmp_path, only("truncation"), seeds=(0,))


def test_another_network_of_a_partly_measured_seed_is_refused(small_home, tmp_path) -> None:
    measure_in(tmp_path, only("truncation"), seeds=(0,), layers=("stage1.conv",))
    path = place_in(tmp_path).cache.checkpoint("small", 0)
    tensors = load_file(path)
    tensors["head.bias"] += 1
    origin = networks.training_json(SMALL, 0, digits().checksum)
    save_file(tensors, path, {"training": origin})
    with pytest.raises(ExperimentError, match="is not the network of seed 0"):
        measure_in(tmp_path, only("truncation"), seeds=(0,))


def test_an_interrupted_measurement_is_saved_and_resumes_to_the_same_values(
    small_dataset, tmp_path
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
    assert_same_values(resumed, small_dataset)


def test_seeds_measured_one_after_the_other_make_the_same_dataset(small_dataset, tmp_path) -> None:
    measure_in(tmp_path, seeds=(1,))
    assert_same_values(measure_in(tmp_path, seeds=(0,)), small_dataset)


def test_layers_measured_one_after_the_other_make_the_same_dataset(small_dataset, tmp_path) -> None:
    measure_in(tmp_path, layers=("stage2.conv",))
    assert_same_values(measure_in(tmp_path), small_dataset)


def test_tables_measured_one_after_the_other_make_the_same_dataset(small_dataset, tmp_path) -> None:
    partial = measure_in(tmp_path, seeds=(0,), tables=("held_out", "truncation"))
    assert {table.name for table in present(partial)} == {"network", "held_out", "truncation"}
    assert set(summarise(partial).absent_tables) == {*PLANS} - {"held_out", "truncation"}
    measure_in(tmp_path, tables=("joint",))
    assert_same_values(measure_in(tmp_path), small_dataset)


def test_a_table_that_is_not_planned_is_refused(tmp_path) -> None:
    with pytest.raises(ExperimentError, match="plans no table 'jont': did you mean joint"):
        measure_in(tmp_path, tables=("jont",))


def test_processes_measure_what_one_process_measures(small_dataset, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(
        "compressibility.measuring.workers.cores", lambda: 2 * torch.get_num_threads()
    )
    with processes(2) as pool:  # as many threads each as this one has, for the same last bits
        hands = Beside(pool, place_in(tmp_path), at_once=2)
        beside = measure_in(tmp_path, hands=hands)
    assert_same_values(beside, small_dataset)


def _measure_until_killed(folder: Path) -> None:
    measure_in(folder)


def _wait_for(condition, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def test_a_killed_measurement_resumes_to_the_same_values(small_dataset, tmp_path) -> None:
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
    assert_same_values(resumed, small_dataset)


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


def test_a_quantity_planned_later_joins_the_dataset(small_dataset, tmp_path) -> None:
    first = measure_in(tmp_path, planning(hessian=None, curvature=None, controls=None))
    assert not {"hessian_trace", "direction", "perturbed_loss"} & set(first.variables)
    assert first["weights"].values.tolist() == ["trained"]
    assert_same_values(measure_in(tmp_path), small_dataset)


def test_a_quantity_planned_no_longer_stays(small_dataset, small_home) -> None:
    assert_same_values(measure_in(small_home, planning(hessian=None)), small_dataset)
