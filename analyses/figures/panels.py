"""Panels: how they are laid out, named and labelled, in inches, so that type keeps its size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter
from pandas import DataFrame

from analyses.figures.style import QUIET

_BAND: Final = 0.16
"""Opacity of a band."""
NORM_LOSSES: Final = (0.0, 0.92)
"""From none to beyond the largest that a truncation reaches."""
MANY: Final = 12
"""Beyond as many layers the rows of a map are low, and type is small."""


@dataclass(frozen=True)
class Grid:
    """Panels of one figure, read row by row, and what is needed to finish them."""

    figure: Figure
    axes: tuple[Axes, ...]
    columns: int

    def label(self, x: str, y: str) -> None:
        """Name the axes at the outer panels only."""
        n = len(self.axes)
        for i, axes in enumerate(self.axes):
            if i % self.columns == 0:
                axes.set_ylabel(y)
            if i + self.columns >= n:
                axes.set_xlabel(x)
            else:
                axes.tick_params(labelbottom=False)
            if i % self.columns:
                axes.tick_params(labelleft=False)


def grid(
    n: int,
    *,
    narrow: bool,
    columns: tuple[int, int] = (4, 2),
    height: float = 1.75,
    legend_rows: int = 0,
    left: float = 0.62,
    share: bool = True,
    gap: float = 0.14,
    limits: tuple[tuple[float, float], tuple[float, float]] | None = None,
) -> Grid:
    """Lay out n equal panels: sizes in inches, so that type keeps its size.

    Args:
        n: Panels.
        narrow: 3.75 inches wide instead of 7.8.
        columns: Most panels side by side, wide and narrow.
        height: Of one panel.
        legend_rows: Rows of a key above the panels.
        left: Margin for the labels of the vertical axis.
        share: Whether all panels have the same axes.
        gap: Between panels, where they share axes.
        limits: Of both axes, where they are known beforehand: faster than to share them.
    """
    width = 3.75 if narrow else 7.8
    across = min(n, columns[1] if narrow else columns[0])
    down = -(-n // across)
    top, bottom, right = 0.24 + 0.2 * legend_rows, 0.45, 0.12
    gap_x, gap_y = (gap, 0.3) if share else (left + 0.12, 0.72)
    total = top + bottom + down * height + (down - 1) * gap_y
    figure = Figure(figsize=(width, total))
    panel = (width - left - right - (across - 1) * gap_x) / across
    axes: list[Axes] = []
    for i in range(n):
        row, column = divmod(i, across)
        x = left + column * (panel + gap_x)
        y = total - top - height - row * (height + gap_y)
        linked = share and axes and limits is None
        shared: dict[str, Any] = {"sharex": axes[0], "sharey": axes[0]} if linked else {}
        box = (x / width, y / total, panel / width, height / total)
        panel_axes = figure.add_axes(box, **shared)
        if limits is not None:
            panel_axes.set(xlim=limits[0], ylim=limits[1])
        panel_axes.yaxis.set_label_coords(-(left - 0.12) / panel, 0.5)
        panel_axes.xaxis.set_label_coords(0.5, -0.32 / height)
        axes.append(panel_axes)
    return Grid(figure, tuple(axes), across)


def key(grid: Grid, entries: Sequence[tuple[str, Mapping[str, Any]]], *, columns: int) -> None:
    """A key above the panels, in reading order."""
    rows = -(-len(entries) // columns)
    order = [r * columns + c for c in range(columns) for r in range(rows)]
    chosen = [entries[i] for i in order if i < len(entries)]
    grid.figure.legend(
        [Line2D([], [], **style) for _, style in chosen],
        [name for name, _ in chosen],
        loc="upper left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=columns,
        frameon=False,
        handlelength=1.7,
        columnspacing=1.1,
        handletextpad=0.5,
        borderaxespad=0.1,
        labelspacing=0.3,
    )


def panel_title(axes: Axes, text: str) -> None:
    """A short title, at the left."""
    axes.set_title(text, loc="left", pad=4, fontweight="bold")


def layer_title(axes: Axes, layer: str, *, narrow: bool) -> None:
    """A layer's path as a panel's title, shortened to its width."""
    axes.set_label(layer)
    panel_title(axes, shorten(layer, 16 if narrow else 22))


def shorten(layer: str, length: int = 22) -> str:
    """A layer's path, its middle left out where it is long."""
    return (
        layer
        if len(layer) <= length
        else f"{layer[: length // 2]}…{layer[-(length - length // 2 - 1) :]}"
    )


def line(
    axes: Axes,
    rows: DataFrame,
    x: str,
    y: str,
    style: Mapping[str, Any],
    *,
    label: str,
    band: bool = True,
) -> None:
    """Draw the rows of one series, and the band from ``low`` to ``high`` where they have one."""
    axes.plot(rows[x], rows[y], label=label, **style)
    if band and rows[["low", "high"]].notna().all(axis=None):
        shade(axes, rows, x, label=label, color=style["color"], alpha=_BAND, zorder=1)


def shade(axes: Axes, rows: DataFrame, x: str, *, label: str, **style: Any) -> None:
    """Draw a band alone, from ``low`` to ``high``."""
    axes.fill_between(rows[x], rows["low"], rows["high"], label=label, linewidth=0, **style)


def kept_against_ratio(axes: Axes, octaves: int) -> None:
    """Accuracy kept, in %, against log2 of the compression ratio, up to so many octaves."""
    kept(axes)
    axes.axvline(0, color=QUIET, lw=0.8, alpha=0.7)
    axes.set_xticks(range(0, octaves + 1, 2), [f"{2**t}" for t in range(0, octaves + 1, 2)])


def kept(axes: Axes) -> None:
    """Accuracy kept, in %; dotted, the untouched network's."""
    axes.axhline(100, color=QUIET, ls=":", lw=1)
    axes.set_yticks([0, 50, 100])


def norm_loss_axis(panels: Grid) -> None:
    """From 0 to beyond the largest norm loss a truncation reaches, with four ticks."""
    first = panels.axes[0]
    first.set_xlim(NORM_LOSSES)
    for axes in panels.axes:
        if (
            axes is first or axes.xaxis.major is not first.xaxis.major
        ):  # those that share it have it
            axes.set_xticks([0, 0.25, 0.5, 0.75], ["0", ".25", ".5", ".75"])


def plain_ticks(axis: Axis) -> None:
    """Powers of ten written out: exponents would be too small to read."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    axis.set_minor_formatter(NullFormatter())


def layer_rows(axes: Axes, layers: Sequence[str], columns: Sequence[str]) -> None:
    """The axes of a map: a row for each layer, from above, and named columns."""
    axes.grid(False)
    axes.set_xlim(0, len(columns))
    axes.set_ylim(len(layers), 0)
    names = [shorten(layer, 16) for layer in layers]
    small = len(layers) > MANY
    axes.set_yticks(np.arange(len(layers)) + 0.5, names, fontsize=7 if small else 8)
    axes.set_xticks(np.arange(len(columns)) + 0.5, columns)
    axes.tick_params(length=0)
