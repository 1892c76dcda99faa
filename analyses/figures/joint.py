"""Accuracy with growing sets of layers truncated at once, and their loss against the sum."""

from collections.abc import Iterator
from typing import Any, Final

from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.claims.joint import joint_change, of_set, summed_change
from analyses.comparing import LARGEST_NORM_LOSS, PRIMARY_CUT
from analyses.figures.panels import grid, key, line, panel_title, plain_ticks
from analyses.figures.plot import Answers, Plot
from analyses.figures.style import QUIET
from analyses.figures.tables import averaged, by, joined, means, whole
from compressibility.store.layer_sets import ALL, LAYER_SETS
from compressibility.store.reading import LayerData

_GROWING: Final = {
    "from the input": [*(s for s in LAYER_SETS if s.startswith("first")), ALL],
    "from the output": [*(s for s in LAYER_SETS if s.startswith("last")), ALL],
}
_AGAINST: Final = "joint against the sum"
_COLOURS: Final = {"1/4": "#009e73", "2/4": "#d99100", "3/4": "#c964a0", ALL: "#0a7cc4"}
_COLUMNS: Final = ("panel", "layer_set", "threshold", "sum_of_changes", "accuracy", "joint_change")


def _table(data: LayerData, _: Answers) -> DataFrame:
    rows = joined((*_accuracies(data), *_changes(data)))
    return rows.reindex(columns=[*_COLUMNS, "low", "high"])


def _accuracies(data: LayerData) -> Iterator[DataFrame]:
    for panel, layer_sets in _GROWING.items():
        for layer_set in layer_sets:
            accuracy = of_set(data, "joint_accuracy", layer_set, PRIMARY_CUT)
            labels = {"panel": panel, "layer_set": layer_set}
            rows = means(whole(100 * accuracy, "threshold"), "threshold", "accuracy", labels)
            if len(rows):
                rows[["low", "high"]] = rows[["low", "high"]].clip(0, 100)
            yield rows


def _changes(data: LayerData) -> Iterator[DataFrame]:
    for layer_set in LAYER_SETS:
        joint, summed = (
            change(data, layer_set, PRIMARY_CUT) for change in (joint_change, summed_change)
        )
        both = (joint + summed).notnull()
        curves = [whole(values.where(both), "threshold") for values in (joint, summed)]
        labels = {"panel": _AGAINST, "layer_set": layer_set}
        rows = means(curves[0], "threshold", "joint_change", labels)
        if curves[1] is not None:
            rows["sum_of_changes"] = curves[1].y.mean(axis=0)
        yield rows if layer_set == ALL else rows.drop(columns=["low", "high"], errors="ignore")


def _style(layer_set: str) -> dict[str, Any]:
    whole = layer_set == ALL
    return {"color": _COLOURS[layer_set.split()[-1]], "lw": 2.1 if whole else 1.2}


def _draw(table: DataFrame, narrow: bool) -> Figure:
    rows = 2 if narrow else 1
    panels = grid(3, narrow=narrow, columns=(3, 1), height=2.0, legend_rows=rows, share=False)
    for axes, panel in zip(panels.axes, (*_GROWING, _AGAINST), strict=True):
        axes.set_label(panel)
        panel_title(axes, panel)
        against = panel == _AGAINST
        x, y = ("sum_of_changes", "joint_change") if against else ("threshold", "accuracy")
        for layer_set, here in by(table[table["panel"] == panel], "layer_set"):
            dashes = {"ls": "--"} if against and layer_set.startswith("last") else {}
            line(axes, here, x, y, _style(layer_set) | dashes, label=layer_set)
        if against:
            axes.axline((0, 0), slope=1, color=QUIET, lw=0.8, ls=":")
            for scale in (axes.set_xscale, axes.set_yscale):
                scale("symlog", linthresh=0.1)
            for axis in (axes.xaxis, axes.yaxis):
                plain_ticks(axis)
            axes.set_xlabel("sum of loss changes (nat)")
            axes.set_ylabel("joint loss change (nat)")
        else:
            axes.axvline(LARGEST_NORM_LOSS, color=QUIET, lw=0.8, alpha=0.7)
            axes.set_xlabel("threshold")
            axes.set_ylabel("accuracy (%)")
    entries = [
        (name if name == ALL else f"{name} of the layers", {"color": colour, "lw": 2.1})
        for name, colour in _COLOURS.items()
    ]
    key(panels, entries, columns=2 if narrow else 4)
    return panels.figure


def _caption(data: LayerData) -> str:
    several = len(data.seeds) > 1
    what = f"{averaged(data)}, band: 95 % t-interval" if several else "one network"
    return (
        f"Several layers truncated at once along {PRIMARY_CUT} ({what}). First two: test accuracy "
        "against the threshold, for sets of layers that grow from the input and from the output. "
        "Third: the change of test loss against the sum of the changes with each layer of the set "
        "truncated alone, one point a threshold; dashed: the sets from the output; dotted: joint "
        "and sum are equal. Its axes are linear up to 0.1 nat, and logarithmic beyond."
    )


JOINT: Final = Plot(
    name="joint",
    title="Several layers truncated at once",
    caption=_caption,
    table=_table,
    draw=_draw,
    illustrates="joint",
)
