"""Curvature along truncations against norm loss, beside the average and the top eigenvalue."""

from typing import Final

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.comparing import mean_curve
from analyses.curvatures import SMALL, average_curvature, truncation_curvatures
from analyses.figures.panels import grid, key, layer_title, line, norm_loss_axis, plain_ticks
from analyses.figures.plot import Answers, Plot
from analyses.figures.style import CUT_COLOURS, QUIET, cut_style
from analyses.figures.tables import averaged, by, few, joined, means, selection
from analyses.samples import Floats
from compressibility.store.curves import Curve
from compressibility.store.reading import LayerData

_RANDOM: Final = "random directions"
_TOP: Final = "top eigenvalue"
_Y: Final = "over_average"


def _table(data: LayerData, _: Answers) -> DataFrame:
    """In units of each layer's average curvature, and beside it of its top eigenvalue."""
    average = average_curvature(data)
    random = data["random_directional_curvature"] / average
    top = data["hessian_layer_eigenvalue"] / average
    along = {mode: truncation_curvatures(data, mode) for mode in CUT_COLOURS if mode in data.modes}
    parts = []
    for layer in few(data.measured_layers):
        if (here := _known(random.sel(layer=layer))).size:
            low, high = np.percentile(here, [5, 95])
            parts.append(_level(layer, _RANDOM, float(here.mean()), float(low), float(high)))
        if (here := _known(top.sel(layer=layer))).size:
            parts.append(_level(layer, _TOP, float(here.mean())))
        for mode, of_cut in along.items():
            curves = [
                Curve(c.x, c.y / float(average.sel(layer=layer, seed=seed)))
                for seed in data.seeds
                if len(c := of_cut[layer, seed])
            ]
            labels = {"layer": layer, "series": mode}
            parts.append(means(mean_curve(curves, 0.0, 1.0), "norm_loss", _Y, labels))
    table = joined(parts)
    heights = table[table["series"] == _TOP].set_index("layer")[_Y]
    table["over_top_eigenvalue"] = table[_Y] / table["layer"].map(heights)
    return table[["layer", "series", "norm_loss", _Y, "low", "high", "over_top_eigenvalue"]]


def _known(values: xr.DataArray) -> Floats:
    found: Floats = values.values[np.isfinite(values.values)]
    return found


def _level(
    layer: str, series: str, value: float, low: float = np.nan, high: float = np.nan
) -> DataFrame:
    labels = {"layer": [layer], "series": series, "norm_loss": np.nan}
    return DataFrame({**labels, _Y: value, "low": low, "high": high})


def _draw(table: DataFrame, narrow: bool) -> Figure:
    panels = grid(
        table["layer"].nunique(), narrow=narrow, left=0.68, legend_rows=2 if narrow else 1
    )
    for axes, (layer, rows) in zip(panels.axes, by(table, "layer"), strict=True):
        layer_title(axes, layer, narrow=narrow)
        for _, level in rows[rows["series"] == _RANDOM].iterrows():
            axes.axhspan(level["low"], level["high"], color=QUIET, alpha=0.22, lw=0, label=_RANDOM)
            axes.axhline(level[_Y], color=QUIET, lw=1.4, label=_RANDOM)
        for value in rows[_Y][rows["series"] == _TOP]:
            axes.axhline(value, color=QUIET, lw=1.2, ls="--", label=_TOP)
        for mode, of_cut in by(rows[rows["series"].isin(CUT_COLOURS)], "series"):
            line(axes, of_cut, "norm_loss", _Y, cut_style(mode), label=mode)
        axes.axvline(SMALL, color=QUIET, lw=0.8, alpha=0.7)
    axes = panels.axes[0]
    if (table[_Y] <= 0).any():
        axes.set_yscale("symlog", linthresh=1.0)
    else:
        axes.set_yscale("log")
    plain_ticks(axes.yaxis)
    norm_loss_axis(panels)
    panels.label("norm loss", "curvature / average")
    drawn = set(table["series"])
    entries = [(mode, cut_style(mode)) for mode in CUT_COLOURS if mode in drawn]
    key(panels, entries, columns=4 if narrow else 7)
    return panels.figure


def _caption(data: LayerData) -> str:
    several = len(data.seeds) > 1
    what = f"{averaged(data)}, bands: 95 % t-intervals" if several else "one network"
    return (
        "Curvature of the training loss along truncations, in units of the layer's average over "
        f"all directions, against norm loss ({what}). Grey line and band: along random "
        "directions (their mean, 1 by definition, and from the 5th to the 95th percentile). "
        "Dashed: the layer's top Hessian eigenvalue. The claim is about truncations left of the "
        f"thin grey line, at a norm loss of {SMALL}. The vertical axis is logarithmic, and linear "
        f"between −1 and 1 where a curvature is negative.{selection(data)}"
    )


CURVATURE: Final = Plot(
    name="curvature",
    title="Curvature along truncations, by layer",
    caption=_caption,
    table=_table,
    draw=_draw,
    illustrates="curvature",
)
