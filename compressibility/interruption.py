"""Ctrl-C and SIGTERM as the end of a long command."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

INTERRUPTED = 130


@contextmanager
def interruptible(
    stopping: str = "what is measured is being saved",
    after: str = "what is measured is kept, and the same command goes on from here",
) -> Iterator[None]:
    """Ctrl-C, and SIGTERM as batch systems send it, end the block in one line.

    So does whatever an interruption breaks on its way: libraries turn it into errors of their own,
    and it kills the worker processes too.
    """
    asked = False

    def interrupt(*_: object) -> None:
        nonlocal asked
        if not asked:
            os.write(2, f"\nstopping: {stopping}\n".encode())
        asked = True
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield
    except (KeyboardInterrupt, Exception):
        if not asked:
            raise
        print(f"interrupted: {after}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
