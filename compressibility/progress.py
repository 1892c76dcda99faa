"""Progress of a measurement in the terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from compressibility.networks.training import Progress as Epochs


@dataclass(frozen=True)
class Step:
    """How far a measurement is: jobs done of all, what is in hand, and how far a training is."""

    done: int
    total: int
    in_hand: tuple[str, ...]
    training: Epochs | None = None


Report = Callable[[Step], None]


@contextmanager
def shown(title: str) -> Iterator[Report]:
    """Bars on stderr while the block runs, moved by the report that is handed out.

    One bar counts the jobs; while a training runs in this process, a second counts its epochs.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
    )
    bars = Progress(*columns, console=Console(stderr=True))
    jobs = bars.add_task(title, total=None)
    epochs = bars.add_task("epochs", visible=False)

    def report(step: Step) -> None:
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
                description=f"epochs · training loss {step.training.loss:.3f}",
                completed=step.training.epoch,
                total=step.training.epochs,
                visible=True,
            )

    try:
        yield report
    finally:
        bars.stop()
