import os
import signal
import socket
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from distributed import LocalCluster

from compressibility.measuring.progress import Step
from compressibility.measuring.workers import Beside, SchedulerError, cluster
from tests.small_experiment import SMALL, assert_same_values, measure_in, place_in

pytestmark = pytest.mark.filterwarnings("ignore")  # dask's own, of a worker that was killed


@pytest.fixture
def one_thread():
    """As a dask worker has it: sums in another order differ in the last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def three_workers():
    with (
        mock.patch.dict(os.environ),  # dask leaves OMP_NUM_THREADS=1 behind, for all that follows
        LocalCluster(
            n_workers=3,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=50,
        ) as started,
    ):
        yield started


def test_three_workers_one_killed_end_with_the_single_processs_dataset(
    three_workers, one_thread, tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill_one(step: Step) -> None:
        if step.done >= 4 and step.done < step.total - 4 and not killed:
            worker = next(iter(three_workers.workers.values()))
            killed.append(worker.process.pid)
            os.kill(worker.process.pid, signal.SIGKILL)

    single = measure_in(tmp_path / "single")
    with cluster(three_workers.scheduler_address, "cpu") as (executor, in_flight):
        assert in_flight == 3
        spread = measure_in(
            tmp_path / "spread",
            hands=Beside(executor, place_in(tmp_path / "spread"), in_flight),
            report=kill_one,
        )
    assert len(killed) == 1
    np.testing.assert_array_equal(spread["rank"], single["rank"])
    assert_same_values(spread, single)
    assert not list(place_in(tmp_path / "spread").cache.shards(SMALL.name).glob("*.nc"))


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with (
        pytest.raises(SchedulerError, match=f"no dask scheduler answers at {address}"),
        cluster(address, "cpu"),
    ):
        pass
