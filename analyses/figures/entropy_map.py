"""What training takes away from the entanglement entropy, by layer and cut."""

from typing import Final

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.entropies import entropies
from analyses.figures.panels import MANY, grid, layer_rows
from analyses.figures.plot import Answers, Plot
from analyses.statistics import ALPHA, benjamini_yekutieli, sign_flip_test
from compressibility.store.reading import LayerData


def entropy_map(data: LayerData) -> tuple[xr.DataArray, xr.DataArray]:
    """Entropy, initial minus trained, and where that is not zero, both (layer, mode).

    Sign-flip tests over networks, Benjamini-Yekutieli over the map.

    Raises:
        NotMeasuredError: Spectra of the initial or the trained weights are missing.
    """
    difference = entropies(data, "initial") - entropies(data, "trained")
    values = difference.transpose("layer", "mode", "seed").values
    mean, p = np.full(values.shape[:2], np.nan), np.full(values.shape[:2], np.nan)
    for cell in np.ndindex(mean.shape):
        here = values[cell][np.isfinite(values[cell])]
        if here.size:
            mean[cell] = here.mean()
            p[cell] = sign_flip_test(here, rng=np.random.default_rng(0))
    blank = difference.isel(seed=0, drop=True).transpose("layer", "mode")
    return blank.copy(data=mean), blank.copy(data=benjamini_yekutieli(p) <= ALPHA)


def _table(data: LayerData, _: Answers) -> DataFrame:
    mean, significant = entropy_map(data)
    return DataFrame(
        [
            {
                "layer": layer,
                "cut": cut,
                "difference_in_percent": 100 * float(mean.sel(layer=layer, mode=cut)),
                "not_zero": bool(significant.sel(layer=layer, mode=cut)),
            }
            for layer in data.measured_layers
            for cut in data.modes
        ]
    )


def _draw(table: DataFrame, narrow: bool) -> Figure:
    layers, cuts = list(table["layer"].unique()), list(table["cut"].unique())
    shape = (len(layers), len(cuts))
    mean = table["difference_in_percent"].to_numpy().reshape(shape)
    marked = table["not_zero"].to_numpy().reshape(shape)
    large = len(layers) <= MANY
    panels = grid(1, narrow=narrow, height=(0.3 if large else 0.17) * len(layers), left=1.25)
    (axes,) = panels.axes
    limit = float(np.nanmax(np.abs(mean))) if np.isfinite(mean).any() else 100.0
    axes.pcolormesh(
        np.ma.masked_invalid(mean), cmap="RdBu", vmin=-limit, vmax=limit, edgecolors="none"
    )
    for row, column in np.argwhere(np.isfinite(mean)):
        value = mean[row, column]
        axes.text(
            column + 0.5,
            row + 0.5,
            f"{value:.1f}{'•' if marked[row, column] else ''}",
            ha="center",
            va="center",
            fontsize=7.5 if large else 7,
            color="#ffffff" if abs(value) > 0.55 * limit else "#202020",
        )
    layer_rows(axes, layers, [cut.replace(",", ",\n") if narrow else cut for cut in cuts])
    return panels.figure


def _caption(data: LayerData) -> str:
    n = len(data.seeds)
    marks = (
        " Dots: not zero, at a false-discovery rate of 5 % over the whole map "
        "(Benjamini-Yekutieli)."
    )
    return (
        "Entanglement entropy over its maximum, initial minus trained weights, in % (mean over "
        f"{n} network{'s' if n > 1 else ''}); dark: more structure after training. Empty: the cut "
        f"does not exist or is another cut, or is not measured.{marks if n > 1 else ''}"
    )


ENTROPY_MAP: Final = Plot(
    name="entropy-map",
    title="What training takes away, by layer and cut",
    caption=_caption,
    table=_table,
    draw=_draw,
    tall=True,
)
