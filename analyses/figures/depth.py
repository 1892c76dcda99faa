"""Loss of accuracy, and critical norm loss, against depth."""

from typing import Any, Final

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.claims.depth import mean_changes
from analyses.comparing import LARGEST_NORM_LOSS, PRIMARY_CUT
from analyses.figures.panels import grid, line, panel_title
from analyses.figures.plot import Answers, Plot
from analyses.figures.style import CUT_COLOURS, NOISE, QUIET
from analyses.figures.tables import averaged, by, joined, means
from compressibility.store.curves import Curve
from compressibility.store.reading import LayerData, NotMeasuredError

_CHANGE: Final = "accuracy above chance (change, %)"
_TRUNCATION: Final = "truncation"


def _points(data: LayerData) -> str:
    percent = 100 * data.allowance
    return f"{percent:g} point{'' if percent == 1 else 's'}"


def _critical(data: LayerData) -> str:
    return f"where {_points(data)} of accuracy {'is' if data.allowance == 0.01 else 'are'} lost"


def _table(data: LayerData, _: Answers) -> DataFrame:
    parts = []
    for series in (NOISE, _TRUNCATION):
        try:
            changes = mean_changes(data, perturbed=series == NOISE)
        except NotMeasuredError:
            continue
        parts.append(_rows(data, 100 * changes, "mean loss of accuracy", series))
    critical = data.critical_norm_loss(100 * data.allowance).sel(mode=PRIMARY_CUT)
    rows = _rows(data, critical["critical_norm_loss"], _critical(data), _TRUNCATION)
    censored = critical["censored"]
    rows["censored"] = [
        network != "mean" and bool(censored.sel(layer=layer, seed=int(network)))
        for network, layer in zip(rows["network"], rows["layer"], strict=True)
    ]
    return joined([*parts, rows])


def _rows(data: LayerData, values: xr.DataArray, panel: str, series: str) -> DataFrame:
    """Every network's values, then the mean over the networks that have all of them."""
    values = values.transpose("seed", "layer").dropna("layer", how="all")
    layers = values["layer"].values.tolist()
    x = data["relative_depth"].sel(layer=layers).values
    networks = [
        DataFrame(
            {
                "panel": panel,
                "series": series,
                "network": str(seed),
                "layer": layers,
                "relative_depth": x,
                "value": values.sel(seed=seed).values,
                "low": np.nan,
                "high": np.nan,
            }
        )
        for seed in data.seeds
    ]
    complete = values.dropna("seed").values
    labels = {"panel": panel, "series": series, "network": "mean"}
    curve = Curve(x, complete) if len(complete) and len(layers) else None
    mean = means(curve, "relative_depth", "value", labels)
    if len(mean):
        mean.insert(3, "layer", layers)
    return joined([*networks, mean]) if layers else DataFrame(columns=["network", "layer"])


def _draw(table: DataFrame, narrow: bool) -> Figure:
    panels = grid(2, narrow=narrow, columns=(2, 1), height=2.2, share=False)
    drawn = dict(by(table, "panel"))
    left, right = panels.axes
    for axes, (panel, rows) in zip(panels.axes, drawn.items(), strict=False):
        axes.set_label(panel)
        panel_title(axes, panel)
        for series, of_series in by(rows, "series"):
            _draw_series(axes, series, of_series)
    for series, colour, height in (
        (NOISE, QUIET, 0.03),
        (_TRUNCATION, CUT_COLOURS[PRIMARY_CUT], 0.12),
    ):
        left.text(
            0.98,
            height,
            series,
            transform=left.transAxes,
            ha="right",
            va="bottom",
            color=colour,
            fontweight="bold",
        )
    left.set_ylabel(_CHANGE)
    right.set_ylim(0, None)
    right.set_ylabel("critical norm loss")
    for axes in panels.axes:
        axes.set_xlabel("relative depth (0: first layer)")
    return panels.figure


def _draw_series(axes: Axes, series: str, rows: DataFrame) -> None:
    colour = QUIET if series == NOISE else CUT_COLOURS[PRIMARY_CUT]
    x, y = "relative_depth", "value"
    for network, of_network in by(rows, "network"):
        if network != "mean":
            style: dict[str, Any] = {"color": colour, "lw": 0.6, "alpha": 0.35}
            axes.plot(of_network[x], of_network[y], label=f"{series}, {network}", **style)
    thick = {"color": colour, "lw": 2.2, "marker": "o", "ms": 3.5}
    mean = rows[rows["network"] == "mean"]
    if len(mean):
        line(axes, mean, x, y, thick, label=series)
    if "censored" in rows and rows["censored"].eq(True).any():
        ended = rows[rows["censored"].eq(True)]
        axes.plot(ended[x], ended[y], "^", color=colour, ms=4, label=f"{series}, censored")


def _caption(data: LayerData) -> str:
    what = (
        f"Thick: {averaged(data)}, with its 95 % t-interval; thin: single networks"
        if len(data.seeds) > 1
        else "One network"
    )
    return (
        "Left (first): change of the accuracy above chance, in % of the untouched network's, "
        f"averaged over norm losses up to {LARGEST_NORM_LOSS}; 0 is no loss. Blue: truncation "
        "along OUT; grey: the random perturbation of equal norm and overlap. Right (second): "
        f"critical norm loss along OUT, where accuracy first falls more than {_points(data)}; "
        "triangles mark networks whose curve ended before that, so the true value lies above, "
        f"and the line is then a lower bound. {what}."
    )


DEPTH: Final = Plot(
    name="depth",
    title="Accuracy lost against depth",
    caption=_caption,
    table=_table,
    draw=_draw,
    illustrates="depth-control",
)
