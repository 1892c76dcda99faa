"""Accuracy against norm loss, under truncation and under random noise of the same size."""

from typing import Any, Final

from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.comparing import (
    LARGEST_NORM_LOSS,
    NORM_LOSS,
    PRIMARY_CUT,
    curves_along,
    perturbed_curves,
)
from analyses.figures.panels import grid, key, layer_title, line, norm_loss_axis
from analyses.figures.plot import Answers, Plot
from analyses.figures.style import CUT_COLOURS, NOISE, QUIET
from analyses.figures.tables import accuracies, averaged, by, few, joined, selection
from compressibility.store.curves import Curve
from compressibility.store.reading import LayerData, NotMeasuredError


def _table(data: LayerData, _: Answers) -> DataFrame:
    accuracy = data.accuracy_change + data.baseline_accuracy
    curves = {mode: curves_along(data, NORM_LOSS, accuracy, mode) for mode in data.modes}
    curves[NOISE] = _perturbed(data)
    return joined(
        accuracies(
            [curve for seed in data.seeds if (curve := of_series.get((layer, seed)))],
            "norm_loss",
            {"layer": layer, "series": series},
        )
        for layer in few(data.measured_layers)
        for series, of_series in curves.items()
    )


def _perturbed(data: LayerData) -> dict[tuple[str, int], Curve]:
    try:
        return perturbed_curves(data.perturbed_accuracy_change + data.baseline_accuracy)
    except NotMeasuredError:
        return {}


def _draw(table: DataFrame, narrow: bool) -> Figure:
    layers = table["layer"].unique()
    panels = grid(len(layers), narrow=narrow, legend_rows=2 if narrow else 1)
    thick = {PRIMARY_CUT: CUT_COLOURS[PRIMARY_CUT], NOISE: QUIET}
    for axes, (layer, rows) in zip(panels.axes, by(table, "layer"), strict=True):
        layer_title(axes, layer, narrow=narrow)
        for series, of_series in by(rows, "series"):
            main = series in thick
            style: dict[str, Any] = {"lw": 2.1, "zorder": 4} if main else {"lw": 0.7, "alpha": 0.7}
            colour = thick.get(series) or CUT_COLOURS[series]
            style |= {"color": colour}
            line(axes, of_series, "norm_loss", "accuracy", style, label=series, band=main)
        axes.axvline(LARGEST_NORM_LOSS, color=QUIET, lw=0.8, alpha=0.7)
    norm_loss_axis(panels)
    panels.label("norm loss", "accuracy (%)")
    entries = [
        (f"truncation ({PRIMARY_CUT})", {"color": CUT_COLOURS[PRIMARY_CUT], "lw": 2.1}),
        ("random noise", {"color": QUIET, "lw": 2.1}),
        ("other cuts (thin, colours as above)", {"color": CUT_COLOURS["IN"], "lw": 0.7}),
    ]
    key(panels, entries, columns=2 if narrow else 3)
    return panels.figure


def _caption(data: LayerData) -> str:
    several = len(data.seeds) > 1
    what = f"{averaged(data)}, band: 95 % t-interval over networks" if several else "one network"
    return (
        "Test accuracy against norm loss under truncation along OUT (blue) and under the random "
        f"perturbation of equal norm and overlap (grey); {what}. Thin: the other cuts, in their "
        f"colours.{selection(data)}"
    )


AGAINST_NOISE: Final = Plot(
    name="noise",
    title="Truncation against random noise of the same size, by layer",
    caption=_caption,
    table=_table,
    draw=_draw,
    illustrates="noise",
)
