"""One measurement of one experiment, and one writer of one file, at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from compressibility.store.netcdf import DatasetError

_GRACE: Final = 0.5
"""Seconds: a process that was just being started when its parent was killed holds the lock on."""


class BusyError(DatasetError):
    """Another process holds the path."""


@contextmanager
def exclusive(path: str | os.PathLike[str], experiment: str) -> Iterator[None]:
    """Hold a path for this process alone while the context lasts.

    The operating system's lock on a hidden file beside the path dies with its process, however
    that ends; the file itself stays.

    Args:
        path: A dataset, or the folder of an experiment's shards; it need not exist yet.
        experiment: Name of the experiment, for the message.

    Raises:
        BusyError: Another process holds it; the message has its process id where that is known.
        DatasetError: The lock file cannot be made, as in an unwritable folder.
    """
    held = Path(path)
    file = held.with_name(f".{held.name}.lock")
    lock = FileLock(file, timeout=_GRACE)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        if not file.exists():  # a place without files, such as /proc
            raise DatasetError(f"cannot lock {held}; choose a place that can be written") from error
        raise BusyError(
            f"experiment {experiment} is being measured{_holder(file)}, into {held}: wait for "
            "it, or stop it"
        ) from error
    except OSError as error:
        raise DatasetError(
            f"cannot lock {held}: {error.strerror}; choose a place that can be written"
        ) from error
    try:
        with suppress(OSError):
            file.write_text(f"{os.getpid()}\n")
        yield
    finally:
        with suppress(OSError):
            file.write_text("")
        lock.release()


def _holder(file: Path) -> str:
    try:
        return f" by process {int(file.read_text())}"
    except (OSError, ValueError):
        return " by another process"
