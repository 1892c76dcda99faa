"""Files that are whole at every moment."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from compressibility.errors import UserError


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A path aside, in the same folder; what the block writes there then stands under ``path``.

    It is flushed to the disk and renamed; missing folders are made. Under the name stands, at
    every moment, what stood there before or all that is new. On any exception nothing is left
    beside it.

    Raises:
        OSError: As the operating system says it: unwritable folder, full disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield aside
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException as error:
        with suppress(OSError):
            aside.unlink()
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        raise


class WriteError(UserError):
    """A file that cannot be written; the message says why and what to do."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file as `replaced` does.

    Raises:
        WriteError: The folder cannot be written, or the disk is full.
    """
    try:
        with replaced(path) as aside:
            aside.write_bytes(content)
    except OSError as error:
        raise WriteError(
            f"cannot write {path}: {error.strerror}; free space, or choose another place "
            "(COMPRESSIBILITY_CACHE names the cache)"
        ) from error
