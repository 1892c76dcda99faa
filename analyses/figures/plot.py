"""A figure of the report: the table that it shows, and how it is drawn from that table alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.findings import Answer
from compressibility.store.reading import LayerData

Answers: TypeAlias = Mapping[str, Answer]
"""The answers of a dataset, by the claims' keys."""


@dataclass(frozen=True, eq=False)
class Plot:
    """What a figure is called, what it shows, and how it is drawn.

    Attributes:
        name: Its name in links and files.
        title: Its title.
        caption: What is to be seen.
        table: Every number that is drawn, with its labels; also written as a CSV file. Raises
            NotMeasuredError where a dataset lacks them.
        draw: The figure of such a table; True for the narrow layout.
        illustrates: Key of the claim it belongs to; empty where it belongs to none.
        applies: Whether there is such a figure for this kind of network.
        tall: Of all layers: drawn once, and scrolled sideways on a narrow page.
    """

    name: str
    title: str
    caption: Callable[[LayerData], str]
    table: Callable[[LayerData, Answers], DataFrame]
    draw: Callable[[DataFrame, bool], Figure]
    illustrates: str = ""
    applies: Callable[[LayerData], bool] = lambda _: True
    tall: bool = False
