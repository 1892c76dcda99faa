"""Accuracy against parameters stored: what no other cut and rank betters."""

from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.figures.panels import grid, key, layer_title
from analyses.figures.plot import Answers, Plot
from analyses.figures.style import CUT_COLOURS, CUT_MARKERS, INK, QUIET, UNTOUCHED
from analyses.figures.tables import averaged, by, few, joined, percent, selection
from analyses.truncations import truncations
from compressibility.store.reading import LayerData

_DRAWN: Final = (0.4, 250.0)
_FRONT: Final = "front"


def front(parameters: "np.ndarray[Any, Any]", accuracy: "np.ndarray[Any, Any]") -> list[bool]:
    """Which points are bettered by none: none has more accuracy for as few or fewer parameters.

    Of equal points the first alone is on the front.
    """
    order = np.lexsort((-accuracy, parameters))
    best = np.maximum.accumulate(np.concatenate([[-np.inf], accuracy[order][:-1]]))
    on = np.zeros(len(order), dtype=bool)
    on[order] = accuracy[order] > best
    return [bool(each) for each in on]


def _table(data: LayerData, _: Answers) -> DataFrame:
    found = truncations(data)
    parts = []
    for layer in few(data.measured_layers):
        here = found[found["layer"] == layer]
        rows = DataFrame(
            {
                "layer": layer,
                "cut": here["cut"],
                "threshold": here["threshold"],
                "parameters": here["parameters"],
                "accuracy": here["accuracy"],
            }
        )
        whole = {"layer": layer, "cut": UNTOUCHED, "parameters": 100.0, "accuracy": percent(data)}
        rows = joined([rows, DataFrame([whole])]) if len(rows) else rows
        if len(rows):
            rows["on_front"] = front(rows["parameters"].to_numpy(), rows["accuracy"].to_numpy())
        parts.append(rows)
    return joined(parts)


def _draw(table: DataFrame, narrow: bool) -> Figure:
    layers = table["layer"].unique()
    panels = grid(len(layers), narrow=narrow, legend_rows=3 if narrow else 2)
    for axes, (layer, rows) in zip(panels.axes, by(table, "layer"), strict=True):
        layer_title(axes, layer, narrow=narrow)
        best = rows[rows["on_front"]].sort_values("parameters")
        axes.plot(best["parameters"], best["accuracy"], label=_FRONT, **_STEPS)
        for cut, here in by(rows[rows["parameters"].between(*_DRAWN)], "cut"):
            axes.plot(here["parameters"], here["accuracy"], label=cut, **_dots(cut))
    first = panels.axes[0]
    first.set_xscale("log")
    first.set_xlim(*_DRAWN)
    first.minorticks_off()
    for axes in panels.axes:
        axes.set_xticks([1, 10, 100], ["1", "10", "100"])
    panels.label("parameters stored (% of the kernel's)", "accuracy (%)")
    drawn = set(table["cut"])
    entries = [(cut, _dots(cut)) for cut in (*CUT_COLOURS, UNTOUCHED) if cut in drawn]
    key(panels, [*entries, ("Pareto front", _STEPS)], columns=4 if narrow else 7)
    return panels.figure


_STEPS: Final[dict[str, Any]] = {
    "color": INK,
    "linewidth": 1.1,
    "drawstyle": "steps-post",
    "zorder": 2,
}


def _dots(cut: str) -> dict[str, Any]:
    return {
        "color": CUT_COLOURS.get(cut, QUIET),
        "marker": CUT_MARKERS.get(cut, "*"),
        "linestyle": "none",
        "markersize": 3.4 if cut in CUT_COLOURS else 6,
        "markeredgewidth": 0.8,
        "zorder": 3,
    }


def _caption(data: LayerData) -> str:
    return (
        f"One layer truncated along one cut ({averaged(data)}): test accuracy against the "
        "parameters that the truncation stores, in % of the kernel's own. Line: the Pareto front, "
        "truncations that no other one betters in both; read off these test images, so that what "
        f"lies on it by a hair may not do so on others.{selection(data)}"
    )


PARETO: Final = Plot(
    name="pareto",
    title="What accuracy for how many parameters, over all cuts",
    caption=_caption,
    table=_table,
    draw=_draw,
    illustrates="cuts-parameters",
)
