"""How far each layer can be truncated along each cut before it loses accuracy: a map."""

from typing import Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from pandas import DataFrame

from analyses.figures.panels import MANY, grid, layer_rows
from analyses.figures.plot import Answers, Plot
from analyses.figures.tables import joined
from compressibility.store.reading import LayerData


def _table(data: LayerData, _: Answers) -> DataFrame:
    found = data.critical_norm_loss(100 * data.allowance)
    dims = ("layer", "mode", "seed")
    value = found["critical_norm_loss"].transpose(*dims).values
    there = np.isfinite(value)
    censored = found["censored"].transpose(*dims).values & there
    networks = there.sum(axis=-1)
    layer, cut = np.nonzero(networks)
    mean = np.where(there, value, 0.0).sum(axis=-1) / np.maximum(networks, 1)
    table = DataFrame(
        {
            "layer": np.array(data.layers)[layer],
            "cut": np.array(data.modes)[cut],
            "critical_norm_loss": mean[layer, cut],
            "networks": networks[layer, cut],
            "censored": censored.sum(axis=-1)[layer, cut],
        }
    )
    return joined([table])


def _draw(table: DataFrame, narrow: bool) -> Figure:
    layers, cuts = list(table["layer"].unique()), list(table["cut"].unique())
    large = len(layers) <= MANY
    values = np.full((len(layers), len(cuts)), np.nan)
    panels = grid(1, narrow=narrow, height=(0.3 if large else 0.17) * len(layers), left=1.25)
    (axes,) = panels.axes
    places = [
        (layers.index(layer), cuts.index(cut), value, censored > 0)
        for layer, cut, value, _, censored in table.to_numpy().tolist()
    ]
    for row, column, value, _ in places:
        values[row, column] = value
    axes.pcolormesh(np.ma.masked_invalid(values), cmap="cividis", vmin=0, vmax=1, edgecolors="none")
    for row, column, value, censored in places:
        ink = "#ffffff" if value < 0.5 else "#202020"
        if censored:
            box = Rectangle((column, row), 1, 1, fill=False, hatch="////", lw=0, ec=ink, alpha=0.3)
            box.set_label("_censored")
            axes.add_patch(box)
        axes.text(
            column + 0.5,
            row + 0.5,
            f"{'≥' if censored else ''}{value:.2f}",
            ha="center",
            va="center",
            fontsize=7.5 if large else 7,
            color=ink,
        )
    layer_rows(axes, layers, [cut.replace(",", ",\n") if narrow else cut for cut in cuts])
    return panels.figure


def _caption(data: LayerData) -> str:
    n = len(data.seeds)
    return (
        "Norm loss at which the accuracy first falls more than "
        f"{100 * data.allowance:.0f} point{'s' if data.allowance > 0.01 else ''} below the "
        f"untouched network's (mean over {n} network{'s' if n > 1 else ''}); light: can be "
        "truncated far. Hatched, with ≥: in one network at least the cut ended before the accuracy "
        "fell, so the number is a lower bound. Empty: no such cut, or not measured."
    )


CRITICAL_MAP: Final = Plot(
    name="critical-map",
    title="Critical norm loss, by layer and cut",
    caption=_caption,
    table=_table,
    draw=_draw,
    tall=True,
)
