"""Accuracy of truncations, CP, Tucker-2 and tensor trains against parameters and against error."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.comparing import PARAMETERS, RELATIVE_ERROR, Axis, CurveByCell, mean_curve
from analyses.decompositions import CP, kept_by
from analyses.figures.panels import grid, kept, kept_against_ratio, key, line, panel_title, shorten
from analyses.figures.plot import Answers, Plot
from analyses.figures.style import INK
from analyses.figures.tables import averaged, by, few, in_percent, joined, means, selection
from compressibility.store.curves import Curve
from compressibility.store.reading import LayerData
from compressibility.tensors.formats import TT, TUCKER

BEST_CUT: Final = "best cut"
_STYLES: Final[dict[str, dict[str, Any]]] = {
    BEST_CUT: {"color": "#0a7cc4", "lw": 2.1, "zorder": 3},
    CP: {"color": INK, "lw": 1.5, "ls": (0, (1, 1.2)), "zorder": 4},
    TUCKER: {"color": "#d55e00", "lw": 1.7, "ls": (0, (7, 1.5)), "zorder": 5},
    TT: {"color": "#009e73", "lw": 1.7, "ls": (0, (6, 1.5, 1, 1.5)), "zorder": 5},
}
_AXES: Final[dict[str, tuple[Axis, str, tuple[float, float]]]] = {
    "compression ratio": (PARAMETERS, "log2_compression_ratio", (-0.5, 8.0)),
    "relative error": (RELATIVE_ERROR, "relative_error", (0.0, 1.0)),
}
_COLUMNS: Final = ("panel", "layer", "against", "series", *(x for _, x, _ in _AXES.values()))
_HEIGHTS: Final = (-4.0, 108.0)
_POINTS: Final = 20


def _table(data: LayerData, _: Answers) -> DataFrame:
    return joined(_parts(data)).reindex(columns=[*_COLUMNS, "kept", "low", "high"])


def _parts(data: LayerData) -> Iterator[DataFrame]:
    layers = few(data.measured_layers)
    for against, (axis, x, limits) in _AXES.items():
        cuts = {mode: kept_by(data, mode, axis=axis) for mode in data.modes}
        shown = (*((CP,) if data.has_table("cp") else ()), TUCKER, TT)
        series = {name: kept_by(data, name, axis=axis) for name in shown}
        for layer in layers:
            panel = {"panel": f"{layer}, {against}", "layer": layer, "against": against}
            yield means(_best(data, cuts, layer, limits), x, "kept", panel | {"series": BEST_CUT})
            for name, found in series.items():
                own = [found[layer, seed] for seed in data.seeds]
                curve = mean_curve(own, *limits, points=_POINTS)
                yield means(in_percent(curve), x, "kept", panel | {"series": name})


def _best(
    data: LayerData, cuts: dict[str, CurveByCell], layer: str, limits: tuple[float, float]
) -> Curve | None:
    """At each point the mean over networks of the cut that keeps most there, y (1, points)."""
    grids = [
        mean_curve([found[layer, seed] for seed in data.seeds], *limits) for found in cuts.values()
    ]
    present = [curve for curve in grids if curve is not None]
    if not present:
        return None
    low, high = min(c.x[0] for c in present), max(c.x[-1] for c in present)
    x = np.linspace(low, high, _POINTS)
    kept = [Curve(c.x, c.y.mean(axis=0)).at(x) for c in present]
    return in_percent(Curve(x, np.fmax.reduce(kept)[None]))


def _draw(table: DataFrame, narrow: bool) -> Figure:
    layers = table["layer"].unique()
    columns = min(2 * len(layers), 4)
    panels = grid(2 * len(layers), narrow=narrow, columns=(columns, 2), height=1.7,
                  legend_rows=2 if narrow else 1, share=False)  # fmt: skip
    pairs = [(layer, against) for layer in layers for against in _AXES]
    for axes, (layer, against) in zip(panels.axes, pairs, strict=True):
        _, x, limits = _AXES[against]
        axes.set_label(f"{layer}, {against}")
        axes.set(xlim=limits, ylim=_HEIGHTS, xlabel=against)
        if against == "relative error":
            kept(axes)
            axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
        else:
            kept_against_ratio(axes, 8)
            panel_title(axes, shorten(layer, 16 if narrow else 22))
            axes.set_ylabel("kept (%)")
        here = table[table["panel"] == f"{layer}, {against}"]
        for name, rows in by(here, "series"):
            line(axes, rows, x, "kept", _STYLES[name], label=name)
    drawn = set(table["series"])
    key(panels, [(n, s) for n, s in _STYLES.items() if n in drawn], columns=2 if narrow else 4)
    return panels.figure


def _caption(data: LayerData) -> str:
    several = len(data.seeds) > 1
    what = f"{averaged(data)}, bands: 95 % t-interval" if several else "one network"
    return (
        "Accuracy above chance in % of the untouched network's, one kernel replaced, against the "
        f"compression ratio and against the relative error, layer by layer ({what}): the "
        "truncation along the cut that keeps most at each point, chosen on these test images, "
        "which flatters it; the best CP fit of the starts, where CP is measured; Tucker-2 and "
        "tensor trains (TT) of ranks that share the allowed squared error equally. Right of the "
        f"grey line all compress.{selection(data)}"
    )


FORMATS_FIGURE: Final = Plot(
    name="formats",
    title="Cuts, CP, Tucker-2 and tensor trains against compression and error",
    caption=_caption,
    table=_table,
    draw=_draw,
    illustrates="formats",
)
