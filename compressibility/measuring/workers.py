"""Processes that run jobs beside each other, on one machine or on many."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def engaged(
    count: int, scheduler: str | None, device: str
) -> Iterator[tuple[Executor | None, int]]:
    """Who runs the jobs, and how many at a time: a scheduler's workers, processes, or nobody else.

    Raises:
        SchedulerError: As for :func:`cluster`.
    """
    if scheduler is not None:
        with cluster(scheduler, device) as (executor, threads):
            yield executor, threads
    elif count > 1:
        with processes(count) as pool:
            yield pool, count
    else:
        yield None, 1


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


class SchedulerError(ValueError):
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
    import torch

    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
