"""Accuracy lost against correlation loss and against norm loss, a dot for each truncation."""

from typing import Final

from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.figures.panels import grid, key, panel_title
from analyses.figures.plot import Answers, Plot
from analyses.figures.style import CUT_COLOURS, QUIET
from analyses.figures.tables import averaged, by, joined
from compressibility.store.reading import LayerData

_AGAINST: Final = {"correlation loss": "correlation_loss", "norm loss": "norm_loss"}


def _table(data: LayerData, _: Answers) -> DataFrame:
    """Means over the networks that have both, for each layer, cut and threshold."""
    parts = []
    for against, name in _AGAINST.items():
        present = data[name].notnull() & data.accuracy_change.notnull()
        loss = data[name].where(present).mean("seed")
        change = 100 * data.accuracy_change.where(present).mean("seed")
        for mode in data.modes:
            x, y = (
                values.sel(mode=mode).transpose("layer", "threshold") for values in (loss, change)
            )
            rows = x.to_series().rename("loss").to_frame()
            rows["change_of_accuracy"] = y.to_series()
            rows = rows[rows["loss"] > 0].reset_index()
            rows.insert(0, "against", against)
            rows.insert(1, "cut", mode)
            parts.append(rows)
    return joined(parts)


def _draw(table: DataFrame, narrow: bool) -> Figure:
    rows = 2 if narrow else 1
    panels = grid(2, narrow=narrow, columns=(2, 1), height=2.3, legend_rows=rows, share=False)
    for axes, against in zip(panels.axes, _AGAINST, strict=True):
        axes.set_label(against)
        panel_title(axes, f"against {against}")
        axes.axhline(0, color=QUIET, lw=0.8, ls=":")
        for cut, here in by(table[table["against"] == against], "cut"):
            axes.plot(
                here["loss"],
                here["change_of_accuracy"],
                "o",
                ms=3.2,
                alpha=0.75,
                mew=0,
                color=CUT_COLOURS[cut],
                clip_on=False,
                label=cut,
            )
        axes.set_xlabel(against)
        axes.set_xlim(0, 1)
        axes.set_ylabel("change of accuracy (points)")
    drawn = set(table["cut"])
    entries = [
        (cut, {"color": colour, "marker": "o", "ls": "", "ms": 4, "mew": 0})
        for cut, colour in CUT_COLOURS.items()
        if cut in drawn
    ]
    key(panels, entries, columns=4 if narrow else 7)
    return panels.figure


def _caption(data: LayerData) -> str:
    return (
        f"Each dot is one layer, cut and threshold ({averaged(data)}), in the colour of its cut: "
        "change of test accuracy in points, against the share of entanglement entropy lost "
        "(first) and against the share of norm lost (second)."
    )


CORRELATION_LOSS: Final = Plot(
    name="correlation-loss",
    title="Accuracy lost against correlation loss and against norm loss",
    caption=_caption,
    table=_table,
    draw=_draw,
    illustrates="correlation",
)
