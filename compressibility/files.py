"""Files that are whole at every moment."""

import os
import secrets
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write aside in the same folder, flush to the disk, and rename; missing folders are made.

    Under the name stands, at every moment, what stood there before or all of ``content``. On any
    exception nothing is left beside it.

    Raises:
        OSError: As the operating system says it: unwritable folder, full disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with aside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException as error:
        with suppress(OSError):
            aside.unlink()
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        raise
