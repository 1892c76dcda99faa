"""Accuracy of CP decompositions, fitted and corrected, beside that of truncations."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.comparing import mean_curve
from analyses.decompositions import CP, CP_CORRECTED, FITTED, kept_by
from analyses.figures.panels import grid, kept_against_ratio, key, layer_title, line
from analyses.figures.plot import Answers, Plot
from analyses.figures.style import CUT_COLOURS, INK, cut_style
from analyses.figures.tables import averaged, by, few, in_percent, joined, means, selection
from compressibility.store.curves import Curve
from compressibility.store.reading import LayerData

_FITTED: Final = f"CP, {FITTED}"
_FORMS: Final[dict[str, dict[str, Any]]] = {
    _FITTED: {"color": INK, "lw": 2.1, "marker": "o", "ms": 3.5, "zorder": 6},
    CP_CORRECTED: {"color": INK, "lw": 1.4, "ls": (0, (3, 2)), "marker": "x", "zorder": 7},
}
_LIMITS: Final = ((-0.5, 8.0), (-4.0, 108.0))
_X: Final = "log2_compression_ratio"


def _table(data: LayerData, _: Answers) -> DataFrame:
    return joined(_parts(data))


def _parts(data: LayerData) -> Iterator[DataFrame]:
    names = {_FITTED: CP, CP_CORRECTED: CP_CORRECTED} | {mode: mode for mode in data.modes}
    series = {shown: kept_by(data, name) for shown, name in names.items()}
    for layer in few(data.measured_layers):
        for name, found in series.items():
            present = [c for seed in data.seeds if len(c := found[layer, seed])]
            joint = _at_ranks(present) if name in _FORMS else mean_curve(present, *_LIMITS[0])
            yield means(in_percent(joint), _X, "kept", {"layer": layer, "series": name})


def _at_ranks(curves: list[Curve]) -> Curve | None:
    """The ranks that all networks have: their compression ratios are equal."""
    if not curves:
        return None
    shared = [x for x in curves[0].x if all(x in c.x for c in curves)]
    return Curve(np.array(shared), np.stack([c.y[np.isin(c.x, shared)] for c in curves]))


def _draw(table: DataFrame, narrow: bool) -> Figure:
    layers = table["layer"].unique()
    panels = grid(len(layers), narrow=narrow, legend_rows=3 if narrow else 2, limits=_LIMITS)
    for axes, (layer, rows) in zip(panels.axes, by(table, "layer"), strict=True):
        layer_title(axes, layer, narrow=narrow)
        kept_against_ratio(axes, 8)
        for name, here in by(rows, "series"):
            style = _FORMS.get(name) or {**cut_style(name), "linewidth": 1.1}
            line(axes, here, _X, "kept", style, label=name, band=name in _FORMS)
    panels.label("compression ratio", "kept (%)")
    drawn = set(table["series"])
    entries = [(name, style) for name, style in _FORMS.items() if name in drawn]
    entries += [(mode, cut_style(mode)) for mode in CUT_COLOURS if mode in drawn]
    key(panels, entries, columns=3 if narrow else 5)
    return panels.figure


def _caption(data: LayerData) -> str:
    what = (
        f"{averaged(data)}, bands of CP: 95 % t-interval" if len(data.seeds) > 1 else "one network"
    )
    return (
        "Accuracy above chance in % of the untouched network's, one kernel replaced by its CP "
        "decomposition (black: the best of the starts, and its error-preserving correction; a mark "
        f"for each rank) or truncated along a cut, against the compression ratio ({what}). Right "
        f"of the grey line both compress.{selection(data)}"
    )


CP_FIGURE: Final = Plot(
    name="cp",
    title="CP decompositions and truncations against compression",
    caption=_caption,
    table=_table,
    draw=_draw,
    illustrates="cp",
)
