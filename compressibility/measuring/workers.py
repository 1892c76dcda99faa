"""Processes that run jobs beside each other, on one machine or on many."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Final, Protocol

import torch

from compressibility.errors import UserError
from compressibility.experiments.experiment import Experiment
from compressibility.experiments.networks import Place
from compressibility.measuring.tasks import Bench, Task, Training, perform
from compressibility.networks.training import Progress

SMALL_NETWORK: Final = 100_000
"""Parameters below which a network's convolutions do not fill two cores."""


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def well_used(experiment: Experiment, device: str) -> int:
    """How many tasks at a time use this machine well, each with its share of the cores.

    As many as there are cores for a network so small that one core has enough of it; else one.
    """
    if device != "cpu":
        return 1
    with torch.random.fork_rng(devices=[]):
        network = experiment.architecture.build(1, 2)
    small = sum(parameter.numel() for parameter in network.parameters()) < SMALL_NETWORK
    return cores() if small else 1


class Hands(Protocol):
    """Who does the jobs of a measurement."""

    @property
    def at_once(self) -> int:
        """How many jobs they are given at a time."""

    def submit(
        self, job: Training | Task, key: str, report: Callable[[Progress], None]
    ) -> "Future[str]":
        """Begin a job, as `compressibility.measuring.tasks.Bench.perform` does it."""


@dataclass(frozen=True)
class InThisProcess:
    """This process, which has done a job when `submit` returns, and tells of its epochs."""

    bench: Bench
    at_once: int = 1

    def submit(
        self, job: Training | Task, key: str, report: Callable[[Progress], None]
    ) -> "Future[str]":
        """Do a job."""
        done: Future[str] = Future()
        done.set_result(self.bench.perform(job, key, report))
        return done


@dataclass(frozen=True)
class Beside:
    """Processes that see the same files."""

    executor: Executor
    place: Place
    at_once: int

    def submit(
        self, job: Training | Task, key: str, report: Callable[[Progress], None]
    ) -> "Future[str]":
        """Hand a job on; how far it is, is not told."""
        return self.executor.submit(perform, job, self.place, key)


@contextmanager
def engaged(count: int, scheduler: str | None, place: Place) -> Iterator[Hands]:
    """A scheduler's workers, ``count`` processes of this machine, or this process alone.

    Raises:
        SchedulerError: As for :func:`cluster`.
    """
    if scheduler is not None:
        with cluster(scheduler, place.device) as (executor, threads):
            yield Beside(executor, place, threads)
    elif count > 1:
        with processes(count) as pool:
            yield Beside(pool, place, count)
    else:
        yield InThisProcess(Bench(place))


@contextmanager
def processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of ``count`` processes that share the cores evenly.

    They end with this process, however it ends; on an exception, at once.
    """
    with _undisturbed():
        pool = ProcessPoolExecutor(
            count,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_prepare,
            initargs=(max(1, cores() // count),),
        )
        for _ in range(count):
            pool.submit(os.getpid)  # each starts a process
    try:
        yield pool
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Processes started inside never see Ctrl-C, which is for this one to act on.

    Nor does Python's resource tracker tell of what processes that are killed leave for it to
    clean up.
    """
    before = os.environ.get("PYTHONWARNINGS")
    quiet = "ignore:resource_tracker"
    os.environ["PYTHONWARNINGS"] = f"{before},{quiet}" if before else quiet
    resource_tracker.ensure_running()  # its start would unblock the signal
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


class SchedulerError(UserError):
    """A scheduler that cannot be used; the message says what to do."""


@contextmanager
def cluster(address: str, device: str) -> Iterator[tuple[Executor, int]]:
    """The workers of a running dask scheduler, and how many jobs they can do at a time.

    A job whose worker dies is done again by another. On a GPU, each job asks for one unit of the
    worker resource ``GPU``.

    Raises:
        SchedulerError: dask.distributed is not installed, no scheduler answers at ``address``,
            or it has no workers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise SchedulerError(
            "a scheduler needs dask.distributed: install compressibility[distributed]"
        ) from error
    try:
        client = Client(address, timeout="5s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise SchedulerError(
            f"no dask scheduler answers at {address}: start one with `dask scheduler` and give "
            "its address, such as tcp://127.0.0.1:8786"
        ) from error
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise SchedulerError(
                f"the scheduler at {address} has no workers: start some with "
                f"`dask worker {address} --nthreads 1`"
            )
        resources = {} if device == "cpu" else {"resources": {"GPU": 1}}
        yield client.get_executor(pure=False, **resources), threads


def _prepare(threads: int) -> None:
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
