"""Accuracy of layers truncated for their outputs and for their weights, against parameters."""

from typing import Any, Final

from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.comparing import PRIMARY_CUT, mean_curve
from analyses.decompositions import FOR_OUTPUTS, kept_by
from analyses.figures.panels import (
    grid,
    kept_against_ratio,
    key,
    layer_title,
    line,
)
from analyses.figures.plot import Answers, Plot
from analyses.figures.tables import averaged, by, few, in_percent, joined, means, selection
from compressibility.store.reading import LayerData

_CUTS: Final = (PRIMARY_CUT, "OUT,KW")
_COLOURS: Final = dict(zip(_CUTS, ("#0a7cc4", "#d55e00"), strict=True))
_STYLES: Final[dict[str, dict[str, Any]]] = {
    **{cut: {"color": _COLOURS[cut], "lw": 1.5, "ls": (0, (5, 1.5))} for cut in _CUTS},
    **{FOR_OUTPUTS[cut]: {"color": _COLOURS[cut], "lw": 2.0} for cut in _CUTS},
}
_LIMITS: Final = (-0.5, 6.0)
_POINTS: Final = 20
_X: Final = "log2_compression_ratio"


def _table(data: LayerData, _: Answers) -> DataFrame:
    parts = []
    for name in _STYLES:
        found = kept_by(data, name)
        for layer in few(data.measured_layers):
            curve = mean_curve(
                [found[layer, seed] for seed in data.seeds], *_LIMITS, points=_POINTS
            )
            parts.append(means(in_percent(curve), _X, "kept", {"layer": layer, "series": name}))
    return joined(parts)


def _draw(table: DataFrame, narrow: bool) -> Figure:
    layers = table["layer"].unique()
    panels = grid(len(layers), narrow=narrow, legend_rows=2 if narrow else 1,
                  limits=(_LIMITS, (-4.0, 108.0)))  # fmt: skip
    for axes, (layer, rows) in zip(panels.axes, by(table, "layer"), strict=True):
        layer_title(axes, layer, narrow=narrow)
        kept_against_ratio(axes, 6)
        for name, here in by(rows, "series"):
            line(axes, here, _X, "kept", _STYLES[name], label=name)
    panels.label("compression ratio", "kept (%)")
    drawn = set(table["series"])
    key(panels, [(n, s) for n, s in _STYLES.items() if n in drawn], columns=2 if narrow else 4)
    return panels.figure


def _caption(data: LayerData) -> str:
    several = len(data.seeds) > 1
    what = f"{averaged(data)}, bands: 95 % t-interval" if several else "one network"
    return (
        "Accuracy above chance in % of the untouched network's, one layer truncated along OUT or "
        f"OUT,KW, against the compression ratio ({what}): for its weights, the plain truncation "
        "(dashed), and for its outputs, in the metric of what it sees of training images (solid). "
        f"Right of the grey line all compress.{selection(data)}"
    )


WHITENED_FIGURE: Final = Plot(
    name="whitened",
    title="Layers truncated for their outputs and for their weights",
    caption=_caption,
    table=_table,
    draw=_draw,
    illustrates="whitened",
)
