"""Schmidt spectra along OUT, by layer, of trained, initial, shuffled and random weights."""

from typing import Any, Final

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.comparing import PRIMARY_CUT
from analyses.entropies import WEIGHTS, normalised_spectra
from analyses.figures.panels import grid, key, layer_title, line, plain_ticks, shade
from analyses.figures.plot import Answers, Plot
from analyses.figures.style import QUIET, RANDOM_MATRIX, WEIGHT_COLOURS
from analyses.figures.tables import averaged, by, few, joined, means, selection
from compressibility.store.curves import Curve
from compressibility.store.reading import LayerData, NotMeasuredError
from compressibility.tensors.nulls import gaussian_schmidt_values

NULL_DRAWS: Final = 20


def _table(data: LayerData, _: Answers) -> DataFrame:
    spectra = {weights: _spectra(data, weights) for weights in WEIGHTS}
    rng = np.random.default_rng(0)
    parts = []
    for layer in few(data.measured_layers):
        rows, columns = data.matrix_shape(layer, PRIMARY_CUT)
        count = min(rows, columns)
        x = np.arange(1, count + 1) / count
        draws = np.stack([gaussian_schmidt_values(rows, columns, rng) for _ in range(NULL_DRAWS)])
        draws /= np.linalg.norm(draws, axis=1, keepdims=True)
        low, high = np.percentile(draws, [5, 95], axis=0)
        labels = {"layer": layer, "weights": RANDOM_MATRIX}
        null = {"index_over_number": x, "schmidt_value": np.nan, "low": low, "high": high}
        parts.append(DataFrame({**labels, **null}))
        for weights, values in spectra.items():
            if values is None:
                continue
            here = values.sel(layer=layer).isel(schmidt_index=slice(count)).dropna("seed").values
            curve = Curve(x, here) if len(here) else None
            labels = {"layer": layer, "weights": weights}
            parts.append(means(curve, "index_over_number", "schmidt_value", labels))
    return joined(parts)


def _spectra(data: LayerData, weights: str) -> xr.DataArray | None:
    try:
        values = data.of_cut(normalised_spectra(data, weights), PRIMARY_CUT)
    except NotMeasuredError:
        return None
    return values.transpose("layer", "seed", "schmidt_index")


def _draw(table: DataFrame, narrow: bool) -> Figure:
    x, y = "index_over_number", "schmidt_value"
    layers = table["layer"].unique()
    panels = grid(len(layers), narrow=narrow, legend_rows=2 if narrow else 1)
    lowest = 1.0
    for axes, (layer, rows) in zip(panels.axes, by(table, "layer"), strict=True):
        layer_title(axes, layer, narrow=narrow)
        for weights, here in by(rows, "weights"):
            if weights == RANDOM_MATRIX:
                shade(axes, here, x, label=weights, color=QUIET, alpha=0.45, zorder=5)
                continue
            lowest = min(lowest, here[y].iloc[: max(1, int(0.98 * len(here)))].min())
            style = {"color": WEIGHT_COLOURS[weights], "zorder": 4 if weights == "trained" else 3}
            line(axes, here, x, y, style, label=weights)
    first = panels.axes[0]
    first.set_yscale("log")
    plain_ticks(first.yaxis)
    first.minorticks_off()
    first.set_ylim(max(lowest * 0.7, 1e-4), 1)
    first.set_xlim(0, 1.02)
    first.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    panels.label("index / number", "Schmidt value / norm")
    entries: list[tuple[str, dict[str, Any]]] = [
        (name, {"color": colour}) for name, colour in WEIGHT_COLOURS.items()
    ]
    entries.append((RANDOM_MATRIX, {"color": QUIET, "lw": 6, "alpha": 0.45}))
    key(panels, entries, columns=2 if narrow else 4)
    return panels.figure


def _caption(data: LayerData) -> str:
    several = len(data.seeds) > 1
    what = f"{averaged(data)}, band: 95 % t-interval over networks" if several else "one network"
    return (
        "Schmidt values in units of the kernel's norm, against their index over their number "
        f"({what}). Grey band: Gaussian random matrices of the same size, 5th to 95th percentile "
        f"of {NULL_DRAWS} draws.{selection(data)}"
    )


SPECTRA: Final = Plot(
    name="spectra",
    title="Schmidt spectra along OUT, by layer",
    caption=_caption,
    table=_table,
    draw=_draw,
    illustrates="controls",
)
