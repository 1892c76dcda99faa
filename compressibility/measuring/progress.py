"""Progress of a measurement in the terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from compressibility.networks.training import Progress as Epochs


@dataclass(frozen=True)
class Step:
    """How far a measurement is: jobs done of all, what is in hand, and how far a training is.

    A ``note`` is a line to be told as it is.
    """

    done: int
    total: int
    in_hand: tuple[str, ...]
    training: Epochs | None = None
    note: str = ""


Report = Callable[[Step], None]


@contextmanager
def shown(title: str, console: Console | None = None) -> Iterator[Report]:
    """Progress on ``console``, stderr by default, while the block runs, told by the report given.

    In a terminal, one bar counts the jobs; while a training runs in this process, a second counts
    its epochs. Elsewhere, such as in a log, every job and every epoch is a line.
    """
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _lines(title, console)
        return
    columns = (
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("gone,"),
        TimeRemainingColumn(),
        TextColumn("left"),
        TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis")),
    )
    bars = Progress(*columns, console=console)
    jobs = bars.add_task(title, total=None)
    epochs = bars.add_task("epochs", visible=False)

    def report(step: Step) -> None:
        if step.note:
            _note(step.note, console)
            return
        bars.start()
        hand = f" · {step.in_hand[0]}" if step.in_hand else ""
        bars.update(jobs, description=f"{title}{hand}", completed=step.done, total=step.total)
        if step.training is None:
            bars.update(epochs, visible=False)
        else:
            if step.training.epoch == 1:
                bars.reset(epochs)
            bars.update(
                epochs,
                description=_epoch(step.training),
                completed=step.training.epoch,
                total=step.training.epochs,
                visible=True,
            )
        bars.refresh()

    try:
        yield report
    finally:
        bars.stop()


def reading(report: Report, what: str, seconds: float = 2.0) -> Callable[[int, int], None]:
    """Tells ``report`` how many files are read of how many, at most once in ``seconds``."""
    told = time.monotonic()

    def read(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= seconds:
            told = time.monotonic()
            report(Step(done, total, (what,)))

    return read


def _note(text: str, console: Console) -> None:
    console.print(text, soft_wrap=True, highlight=False, markup=False)


def _epoch(training: Epochs) -> str:
    return f"epochs · training loss {training.loss:.3f}"


def _lines(title: str, console: Console) -> Report:
    """A report that prints a line, with the time since it was made, for all that is begun."""
    start = time.monotonic()
    told: Step | None = None

    def report(step: Step) -> None:
        nonlocal told
        if step.note:
            _note(step.note, console)
            return
        idle = not step.in_hand and step.done < step.total
        if step == told or idle:
            return
        told, training = step, step.training
        elapsed = timedelta(seconds=round(time.monotonic() - start))
        hand = f" · {', '.join(step.in_hand)}" if step.in_hand else ""
        epoch = f" · {training.epoch}/{training.epochs} {_epoch(training)}" if training else ""
        _note(f"{elapsed} {title}{hand} · {step.done}/{step.total} done{epoch}", console)

    return report
