"""Curvature along truncations against norm loss, beside the average and the top eigenvalue."""

from typing import Final

import numpy as np
from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.claims.curvature import truncation_curvatures
from analyses.comparing import LARGEST_NORM_LOSS, PRIMARY_CUT, mean_curve
from analyses.figures.panels import grid, layer_title, line, norm_loss_axis, plain_ticks
from analyses.figures.plot import Answers, Plot
from analyses.figures.style import CUT_COLOURS, QUIET
from analyses.figures.tables import averaged, by, few, joined, means, selection
from analyses.samples import Floats
from compressibility.store.curves import Curve
from compressibility.store.reading import LayerData

_TRUNCATION: Final = "truncation"
_RANDOM: Final = "random directions"
_TOP: Final = "top eigenvalue"
_TYPICAL: Final = "median size along random directions, all layers"


def _table(data: LayerData, _: Answers) -> DataFrame:
    """In relative coordinates, times the squared norm of the kernel."""
    squared = data.of_weights("kernel_norm", "trained") ** 2
    random = data["random_directional_curvature"] * squared
    top = data["hessian_layer_eigenvalue"] * squared
    along = truncation_curvatures(data)
    parts = []
    for layer in few(data.measured_layers):
        if (here := _known(random.sel(layer=layer).values)).size:
            low, high = np.percentile(here, [5, 95])
            parts.append(_level(layer, _RANDOM, float(here.mean()), float(low), float(high)))
        if (here := _known(top.sel(layer=layer).values)).size:
            parts.append(_level(layer, _TOP, float(here.mean())))
        curves = [
            Curve(c.x, c.y * float(squared.sel(layer=layer, seed=seed)))
            for seed in data.seeds
            if len(c := along[layer, seed])
        ]
        labels = {"layer": layer, "series": _TRUNCATION}
        parts.append(means(mean_curve(curves, 0.0, 1.0), "norm_loss", "curvature", labels))
    if (here := _known(random.values)).size:
        parts.append(_level("", _TYPICAL, float(np.median(np.abs(here)))))
    columns = ["layer", "series", "norm_loss", "curvature", "low", "high"]
    return joined(parts).reindex(columns=columns)


def _known(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _level(
    layer: str, series: str, value: float, low: float = np.nan, high: float = np.nan
) -> DataFrame:
    labels = {"layer": [layer], "series": series, "norm_loss": np.nan}
    return DataFrame({**labels, "curvature": value, "low": low, "high": high})


def _draw(table: DataFrame, narrow: bool) -> Figure:
    typical = table["curvature"][table["series"] == _TYPICAL]
    drawn = table[table["layer"] != ""]
    panels = grid(drawn["layer"].nunique(), narrow=narrow, left=0.68)
    for axes, (layer, rows) in zip(panels.axes, by(drawn, "layer"), strict=True):
        layer_title(axes, layer, narrow=narrow)
        for _, level in rows[rows["series"] == _RANDOM].iterrows():
            axes.axhspan(level["low"], level["high"], color=QUIET, alpha=0.22, lw=0, label=_RANDOM)
            axes.axhline(level["curvature"], color=QUIET, lw=1.4, label=_RANDOM)
        for value in rows["curvature"][rows["series"] == _TOP]:
            axes.axhline(value, color=QUIET, lw=1.2, ls="--", label=_TOP)
        truncation = rows[rows["series"] == _TRUNCATION]
        if len(truncation):
            style = {"color": CUT_COLOURS[PRIMARY_CUT], "lw": 2.1}
            line(axes, truncation, "norm_loss", "curvature", style, label=_TRUNCATION)
        axes.axvline(LARGEST_NORM_LOSS, color=QUIET, lw=0.8, alpha=0.7)
    axes = panels.axes[0]
    if (drawn["curvature"] <= 0).any():
        axes.set_yscale("symlog", linthresh=max(*typical, 1e-12) if len(typical) else 1.0)
    else:
        axes.set_yscale("log")
    plain_ticks(axes.yaxis)
    norm_loss_axis(panels)
    panels.label("norm loss", "relative curvature (nat)")
    return panels.figure


def _caption(data: LayerData) -> str:
    several = len(data.seeds) > 1
    what = f"{averaged(data)}, band: 95 % t-interval" if several else "one network"
    return (
        "Curvature of the training loss in relative coordinates (times the squared norm of the "
        f"kernel). Blue: along the truncation along OUT, against its norm loss ({what}). Grey line "
        "and band: along random directions, the layer's average (mean over networks; from the 5th "
        "to the 95th percentile of all directions). Dashed: the layer's top Hessian eigenvalue. "
        "The vertical axis is logarithmic, and linear close to zero where a curvature is "
        f"negative.{selection(data)}"
    )


CURVATURE: Final = Plot(
    name="curvature",
    title="Curvature along truncations, by layer",
    caption=_caption,
    table=_table,
    draw=_draw,
    illustrates="curvature",
)
