"""From files to chapters, several at once."""

import gc
import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from analyses.report.chapters import Chapter, chapter
from compressibility.store.netcdf import open_dataset


def read(name: str, path: Path) -> tuple[Chapter, float]:
    """The chapter of a file, and the seconds that it took.

    Raises:
        UserError: The file is no valid dataset.
    """
    begun = time.monotonic()
    dataset, checksum = open_dataset(path), hashlib.sha256(path.read_bytes()).hexdigest()
    place = Path(os.path.relpath(path)).as_posix()
    found = chapter(name, dataset, path=place, file_checksum=checksum)
    return found, time.monotonic() - begun


def read_all(files: Mapping[Path, str], *, processes: int) -> Iterator[tuple[Chapter, float]]:
    """The chapters of files by their names, as they come.

    Raises:
        UserError: A file is no valid dataset; what is not yet begun is left.
    """
    if min(len(files), processes) == 1:
        yield from (read(name, path) for path, name in files.items())
        return
    workers = min(len(files), processes)
    with ProcessPoolExecutor(workers, get_context("spawn"), _seldom_collect) as pool:
        futures = [pool.submit(read, name, path) for path, name in files.items()]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _seldom_collect() -> None:
    """Figures are many small objects: to look for garbage among them took a quarter of the time."""
    gc.set_threshold(200_000, 50, 50)
