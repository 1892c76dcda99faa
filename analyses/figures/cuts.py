"""Accuracy against norm loss and against compression, by layer and cut."""

from functools import partial
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from pandas import DataFrame, Series

from analyses.comparing import (
    LARGEST_NORM_LOSS,
    NORM_LOSS,
    PARAMETERS,
    Axis,
    curves_along,
)
from analyses.figures.panels import grid, key, layer_title, line, norm_loss_axis
from analyses.figures.plot import Answers, Plot
from analyses.figures.style import CUT_COLOURS, QUIET, UNTOUCHED, cut_style
from analyses.figures.tables import accuracies, averaged, by, few, joined, percent
from compressibility.store.reading import LayerData

FEW_RANKS: Final = 9
"""Cuts with at most as many Schmidt values get a dot for each rank."""
_DRAWN: Final = {NORM_LOSS: (0.0, 1.0), PARAMETERS: (-3.0, 12.0)}
_COLUMN: Final = {NORM_LOSS: "norm_loss", PARAMETERS: "log2_compression_ratio"}


def _candidates(data: LayerData) -> tuple[str, ...]:
    several = data.distinct.sum("mode") > 1
    chosen = tuple(layer for layer in data.measured_layers if several.sel(layer=layer))
    return chosen or data.measured_layers


def _table(axis: Axis, data: LayerData, _: Answers) -> DataFrame:
    accuracy = data.accuracy_change + data.baseline_accuracy
    curves = {mode: curves_along(data, axis, accuracy, mode) for mode in data.modes}
    parts = []
    for layer in few(_candidates(data)):
        parts.append(DataFrame({"layer": [layer], "what": UNTOUCHED, "accuracy": percent(data)}))
        for mode in data.modes:
            here = [curves[mode][layer, seed] for seed in data.seeds]
            labels = {"layer": layer, "cut": mode, "what": "mean"}
            rows = accuracies(here, _COLUMN[axis], labels, within=_DRAWN[axis])
            parts.append(rows)
            if len(rows) and min(data.matrix_shape(layer, mode)) <= FEW_RANKS:
                parts.append(_ranks(axis, data, layer, mode, rows[_COLUMN[axis]]))
    columns = ["layer", "cut", "what", _COLUMN[axis], "accuracy", "low", "high"]
    return joined(parts).reindex(columns=columns)


def _ranks(axis: Axis, data: LayerData, layer: str, mode: str, drawn: Series) -> DataFrame:
    """The mean of each rank that most networks have, where the line is drawn."""
    dims = ("threshold", "seed")
    rank, x, accuracy = (
        values.sel(layer=layer, mode=mode).transpose(*dims).values
        for values in (
            data["rank"],
            axis.of(data),
            100 * (data.accuracy_change + data.baseline_accuracy),
        )
    )
    rows = []
    for value in np.unique(rank[rank > 0]):
        chosen = rank == value
        here = float(np.nanmean(x[chosen]))
        if chosen.any(axis=0).sum() * 2 >= len(data.seeds) and drawn.min() <= here <= drawn.max():
            rows.append(
                {
                    "layer": layer,
                    "cut": mode,
                    "what": f"rank {value:.0f}",
                    _COLUMN[axis]: here,
                    "accuracy": float(np.nanmean(accuracy[chosen])),
                }
            )
    return DataFrame(rows)


def _draw(axis: Axis, table: DataFrame, narrow: bool) -> Figure:
    x = _COLUMN[axis]
    layers = table["layer"].unique()
    panels = grid(len(layers), narrow=narrow, legend_rows=2 if narrow else 1)
    for axes, (layer, rows) in zip(panels.axes, by(table, "layer"), strict=True):
        layer_title(axes, layer, narrow=narrow)
        (untouched,) = rows["accuracy"][rows["what"] == UNTOUCHED]
        axes.axhline(untouched, color=QUIET, ls=":", lw=1)
        end = LARGEST_NORM_LOSS if axis is NORM_LOSS else 0.0
        axes.axvline(end, color=QUIET, lw=0.8, alpha=0.7)
        for mode, of_cut in by(rows, "cut"):
            mean = of_cut[of_cut["what"] == "mean"]
            line(axes, mean, x, "accuracy", cut_style(mode), label=mode)
            ranks = of_cut[of_cut["what"] != "mean"]
            if len(ranks):
                dots: dict[str, Any] = {"color": CUT_COLOURS[mode], "markersize": 2.6, "zorder": 5}
                axes.plot(ranks[x], ranks["accuracy"], "o", label=f"{mode}, ranks", **dots)
    panels.label("norm loss" if axis is NORM_LOSS else "compression ratio", "accuracy (%)")
    if axis is NORM_LOSS:
        norm_loss_axis(panels)
    else:
        low, high = panels.axes[0].get_xlim()
        ticks = [t for t in (-2, 0, 2, 4, 6, 8) if low - 0.5 <= t <= high + 0.5]
        panels.axes[0].set_xticks(ticks, [f"{2.0**t:g}" for t in ticks])
    drawn = set(table["cut"])
    entries = [(mode, cut_style(mode)) for mode in CUT_COLOURS if mode in drawn]
    key(panels, entries, columns=4 if narrow else 7)
    return panels.figure


def _lines(data: LayerData) -> str:
    if len(data.seeds) == 1:
        return "One network, no bands"
    return f"Lines: {averaged(data)}; bands: 95 % t-interval over networks"


def _shown(data: LayerData) -> str:
    candidates = _candidates(data)
    shown = len(few(candidates))
    if shown < len(candidates):
        return (
            f" Shown are {shown} of the {len(candidates)} layers with more than one cut, evenly "
            "spaced in depth; the tests use all."
        )
    if shown < len(data.layers):
        return f" Shown: the {shown} measured layers with more than one cut."
    return ""


AGAINST_NORM_LOSS: Final = Plot(
    name="cuts-norm-loss",
    title="Accuracy against norm loss, by layer and cut",
    caption=lambda data: (
        f"Test accuracy ({data.n_images:,} images) after truncating this one layer along one cut, "
        f"against the norm loss achieved. {_lines(data)}; dotted: the untouched network; dots: "
        f"truncations of cuts that have at most nine. A line ends where its cut has "
        "no further truncation. The comparison uses norm losses up to 0.5 (left of the grey "
        f"line).{_shown(data)}"
    ),
    table=partial(_table, NORM_LOSS),
    draw=partial(_draw, NORM_LOSS),
    illustrates="cuts-norm",
)
AGAINST_PARAMETERS: Final = Plot(
    name="cuts-parameters",
    title="Accuracy against compression, by layer and cut",
    caption=lambda data: (
        "The same accuracies against the compression ratio of this layer (parameters of the "
        f"kernel over parameters stored). {_lines(data)}. Left of 1 a truncation stores more than "
        f"the kernel itself, and is not compared.{_shown(data)}"
    ),
    table=partial(_table, PARAMETERS),
    draw=partial(_draw, PARAMETERS),
    illustrates="cuts-parameters",
)
