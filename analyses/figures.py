"""How the figures look: one palette, one way to lay out panels, and SVG that never varies.

Every figure is drawn twice, wide and narrow, with the same type size: the report shows the one
that fits the screen, so that nothing has to be read at half size on a phone.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import scipy.stats
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from analyses.curves import Curve, Floats, Sweep
from analyses.findings import Finding, Verdict

INK: Final = "#1f2328"
"""Text and axes; in the report it takes the colour of the page's text."""
QUIET: Final = "#7d8590"
"""Controls, nulls and references: legible on white and on near-black."""

CUT_COLOURS: Final[Mapping[str, str]] = {
    "OUT": "#0a7cc4",
    "IN": "#d55e00",
    "KH": "#009e73",
    "KW": "#4fbf9f",
    "OUT,IN": "#c964a0",
    "OUT,KH": "#d99100",
    "OUT,KW": "#a3791f",
}
"""One colour per cut in every figure, after Okabe and Ito; mirrored cuts share a hue."""
CUT_DASHES: Final[Mapping[str, str]] = {"KW": "--", "OUT,KW": "--"}

WEIGHT_COLOURS: Final[Mapping[str, str]] = {
    "trained": "#0a7cc4",
    "initial": "#d99100",
    "shuffled": "#c964a0",
}
NULL_NAME: Final = "random matrix"

_RC: Final[Mapping[str, Any]] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.titley": 1.0,  # placed by hand, which is much faster than looking for room
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "axes.grid": True,
    "grid.color": QUIET,
    "grid.alpha": 0.22,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
}


@dataclass(frozen=True)
class Plot:
    """A figure of the report: what it is called, what it shows, and how it is drawn."""

    name: str
    title: str
    caption: str
    draw: Callable[[bool], Figure]
    """Draws it; True for the narrow layout."""
    belongs_to: str = ""
    """Key of the answer it illustrates."""


def svg(plot: Plot, *, narrow: bool, prefix: str = "") -> str:
    """The figure as one SVG element: text as text, no date, the same bytes at every run."""
    name = f"{prefix}{plot.name}-{'narrow' if narrow else 'wide'}"
    settings: dict[Any, Any] = {**_RC, "svg.hashsalt": name}
    with mpl.rc_context(settings):
        figure = plot.draw(narrow)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    return re.sub(r"<[^>]+>", _with_short_coordinates, text)


def _with_short_coordinates(tag: re.Match[str]) -> str:
    """A tag with two decimals in its numbers; what is written between tags stays as it is."""
    return re.sub(r"(\d\.\d{2})\d+", r"\1", tag[0])


def inlined(text: str, label: str) -> str:
    """An SVG element to stand in a page: as wide as its box, in the page's text colour."""
    head, rest = text.split(">", 1)
    head = re.sub(r' (width|height)="[^"]*pt"', "", head)
    head += f' role="img" aria-label="{label}"'
    return f"{head}>{rest}".replace(INK, "currentColor")


def standalone(text: str) -> str:
    """An SVG element to stand in a file of its own, on white."""
    head, rest = text.split(">", 1)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'{head}><rect width="100%" height="100%" fill="white"/>{rest}'
    )


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
    """
    width = 3.75 if narrow else 7.8
    across = min(n, columns[1] if narrow else columns[0])
    down = -(-n // across)
    top, bottom, right = 0.24 + 0.2 * legend_rows, 0.45, 0.08
    gap_x, gap_y = (gap, 0.3) if share else (left + 0.12, 0.72)
    total = top + bottom + down * height + (down - 1) * gap_y
    figure = Figure(figsize=(width, total))
    panel = (width - left - right - (across - 1) * gap_x) / across
    axes: list[Axes] = []
    for i in range(n):
        row, column = divmod(i, across)
        x = left + column * (panel + gap_x)
        y = total - top - height - row * (height + gap_y)
        shared: dict[str, Any] = {"sharex": axes[0], "sharey": axes[0]} if share and axes else {}
        box = (x / width, y / total, panel / width, height / total)
        panel_axes = figure.add_axes(box, **shared)
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


def averaged(sweep: Sweep) -> str:
    """What the lines of a figure average, for its caption."""
    n = len(sweep.seeds)
    if n == 1:
        return "one network"
    whole = np.isfinite(sweep.n_correct[sweep.distinct]).all()
    return f"mean over {n} networks" if whole else f"mean over those measured of {n} networks"


def cut_style(mode: str) -> dict[str, Any]:
    """Line of a cut, the same in every figure."""
    return {
        "color": CUT_COLOURS.get(mode, QUIET),
        "linestyle": CUT_DASHES.get(mode, "-"),
        "linewidth": 2.1 if mode == "OUT" else 1.4,
        "zorder": 4 if mode == "OUT" else 3,
    }


def panel_title(axes: Axes, text: str) -> None:
    """A short title, at the left."""
    axes.set_title(text, loc="left", pad=4, fontweight="bold")


def shorten(layer: str, length: int = 22) -> str:
    """A layer's path, its middle left out where it is long."""
    return (
        layer
        if len(layer) <= length
        else f"{layer[: length // 2]}…{layer[-(length - length // 2 - 1) :]}"
    )


def spread(values: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean over networks and 95 % t-interval; (networks, points) -> three of (points,).

    With one network the interval is missing.
    """
    mean = values.mean(axis=0)
    n = len(values)
    if n < 2:
        missing = np.full(mean.shape, np.nan)
        return mean, missing, missing
    half = scipy.stats.t.ppf(0.975, n - 1) * values.std(axis=0, ddof=1) / np.sqrt(n)
    return mean, mean - half, mean + half


def mean_curve(curves: Sequence[Curve], low: float, high: float, points: int = 60) -> Curve | None:
    """All networks' curves on one grid over their common support: y is (networks, points)."""
    present = [c for c in curves if len(c)]
    if not present:
        return None
    low = max(low, *(c.x[0] for c in present)) if present else low
    high = min(high, *(c.x[-1] for c in present))
    if low > high:
        return None
    x = np.linspace(low, high, points)
    return Curve(x, np.stack([c.at(x) for c in present]))


def band(axes: Axes, curve: Curve | None, *, scale: float = 1.0, **style: Any) -> None:
    """Draw a mean over networks with its 95 % t-interval; percentages stay within 0 and 100."""
    if curve is None:
        return
    mean, low, high = spread(curve.y * scale)
    if scale == 100:
        low, high = np.clip(low, 0, 100), np.clip(high, 0, 100)
    axes.plot(curve.x, mean, **style)
    if np.isfinite(low).all():
        axes.fill_between(
            curve.x, low, high, color=style["color"], alpha=0.16, linewidth=0, zorder=1
        )


def few(layers: Sequence[int], most: int = 8) -> list[int]:
    """At most this many of the layers, evenly spaced and with both ends."""
    places = np.linspace(0, len(layers) - 1, min(len(layers), most)).round().astype(int)
    return [layers[place] for place in places]


def selection(shown: Sequence[int], sweep: Sweep) -> str:
    """For a caption: which layers are drawn, where not all are; begins with a space."""
    n = len(sweep.measured_layers)
    if len(shown) == len(sweep.layers):
        return ""
    if len(shown) == n:
        return f" Shown: the measured layers, {n} of {len(sweep.layers)}."
    return f" Shown are {len(shown)} of the {n} measured layers, evenly spaced in depth."


def forest(axes: Axes, found: tuple[Finding, ...], name: Callable[[Finding], str]) -> None:
    """Estimates with their intervals, one row each, from the top."""
    for row, f in enumerate(found):
        colour = CUT_COLOURS.get(name(f), CUT_COLOURS["OUT"])
        style: dict[str, Any] = {"color": colour, "zorder": 3}
        axes.plot(f.per_seed, [row + 0.24] * f.n_seeds, ".", ms=3, alpha=0.6, **style)
        if np.isfinite([f.interval.low, f.interval.high]).all():
            axes.plot([f.interval.low, f.interval.high], [row, row], lw=1.6, **style)
        filled = colour if f.verdict is not Verdict.UNDECIDED else "none"
        axes.plot(f.estimate, row, "o", ms=6, mfc=filled, mec=colour, mew=1.4, zorder=4)
    axes.set_yticks(range(len(found)), [name(f) for f in found])
    axes.set_ylim(len(found) - 0.5, -0.6)


def plain_ticks(axis: Axis) -> None:
    """Powers of ten written out: exponents would be too small to read."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    axis.set_minor_formatter(NullFormatter())
