"""Accuracy of layers truncated for their outputs and for their weights, against parameters."""

from typing import Any, Final

from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.comparing import PARAMETERS, PRIMARY_CUT, mean_curve
from analyses.decompositions import FOR_OUTPUTS, kept_by
from analyses.figures.panels import grid, key, line, panel_title, shorten
from analyses.figures.plot import Answers, Plot
from analyses.figures.style import INK, QUIET
from analyses.figures.tables import averaged, by, few, joined, means, selection
from compressibility.store.curves import Curve
from compressibility.store.reading import LayerData

_CUTS: Final = (PRIMARY_CUT, "OUT,KW")
_COLOURS: Final = dict(zip(_CUTS, ("#0a7cc4", "#d55e00"), strict=True))
_STYLES: Final[dict[str, dict[str, Any]]] = {
    **{cut: {"color": _COLOURS[cut], "lw": 1.5, "ls": (0, (5, 1.5))} for cut in _CUTS},
    **{FOR_OUTPUTS[cut]: {"color": _COLOURS[cut], "lw": 2.0} for cut in _CUTS},
}
_LIMITS: Final = (-0.5, 6.0)
_POINTS: Final = 20


def _table(data: LayerData, _: Answers) -> DataFrame:
    parts = []
    for name in _STYLES:
        found = kept_by(data, name, axis=PARAMETERS)
        for layer in few(data.measured_layers):
            own = [found[layer, seed] for seed in data.seeds]
            curve = mean_curve(own, *_LIMITS, points=_POINTS)
            kept = None if curve is None else Curve(curve.x, 100 * (1 + curve.y))
            at = {"layer": layer, "series": name}
            parts.append(means(kept, "log2_compression_ratio", "kept", at))
    return joined(parts)


def _draw(table: DataFrame, narrow: bool) -> Figure:
    layers = table["layer"].unique()
    panels = grid(len(layers), narrow=narrow, columns=(min(len(layers), 4), 2), height=1.7,
                  legend_rows=2 if narrow else 1)  # fmt: skip
    for axes, layer in zip(panels.axes, layers, strict=True):
        axes.set_label(layer)
        panel_title(axes, shorten(layer, 16 if narrow else 22))
        axes.set(xlim=_LIMITS, ylim=(-4.0, 108.0), xlabel="compression ratio")
        axes.axhline(100, color=QUIET, ls=":", lw=1)
        axes.axvline(0, color=INK, lw=0.8, alpha=0.3)
        axes.set_yticks([0, 50, 100])
        axes.set_xticks(range(0, 7, 2), [f"{2**t}" for t in range(0, 7, 2)])
        axes.set_ylabel("kept (%)")
        for name, rows in by(table[table["layer"] == layer], "series"):
            line(axes, rows, "log2_compression_ratio", "kept", _STYLES[name], label=name)
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
