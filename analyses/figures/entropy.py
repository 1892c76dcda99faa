"""Entanglement entropy against depth, by cut, of trained, initial, shuffled and random weights."""

from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.entropies import WEIGHTS, entropies, null_entropies
from analyses.figures.panels import grid, key, line, panel_title
from analyses.figures.plot import Answers, Plot
from analyses.figures.style import QUIET, RANDOM_MATRIX, WEIGHT_COLOURS
from analyses.figures.tables import averaged, by, joined, means
from compressibility.store.curves import Curve
from compressibility.store.reading import LayerData, NotMeasuredError

MANY: Final = 20
"""Beyond as many layers a line gets no dots."""


def _table(data: LayerData, _: Answers) -> DataFrame:
    null = null_entropies(data)
    place = null["layer"].copy(data=np.arange(1.0, len(data.layers) + 1))
    parts = []
    for mode in data.modes:
        here = null.sel(mode=mode).dropna("layer")
        parts.append(
            DataFrame(
                {
                    "cut": mode,
                    "weights": RANDOM_MATRIX,
                    "layer": here["layer"].values,
                    "place": place.sel(layer=here["layer"]).values,
                    "entropy": here.values,
                    "low": np.nan,
                    "high": np.nan,
                }
            )
        )
    for weights in WEIGHTS:
        try:
            entropy = entropies(data, weights)
        except NotMeasuredError:
            continue
        for mode in data.modes:
            values = entropy.sel(mode=mode).transpose("seed", "layer").dropna("layer", how="all")
            complete = values.dropna("seed")
            if not complete.size:
                continue
            x = place.sel(layer=complete["layer"]).values
            labels = {"cut": mode, "weights": weights}
            rows = means(Curve(x, complete.values), "place", "entropy", labels)
            rows["high"] = rows["high"].clip(upper=1)
            rows.insert(2, "layer", complete["layer"].values)
            parts.append(rows)
    return joined(parts)


def _draw(table: DataFrame, narrow: bool) -> Figure:
    cuts = table["cut"].unique()
    panels = grid(len(cuts), narrow=narrow, legend_rows=2 if narrow else 1, height=1.45)
    for axes, cut in zip(panels.axes, cuts, strict=True):
        axes.set_label(cut)
        panel_title(axes, f"cut {cut}")
        for weights, rows in by(table[table["cut"] == cut], "weights"):
            style: dict[str, Any] = {"color": QUIET, "ls": ":", "lw": 2, "zorder": 5}
            if weights != RANDOM_MATRIX:
                style = {
                    "color": WEIGHT_COLOURS[weights],
                    "zorder": 4 if weights == "trained" else 3,
                }
                style |= {"marker": "o", "ms": 3} if len(rows) <= MANY else {}
            line(axes, rows, "place", "entropy", style, label=weights)
    last = int(table["place"].max())
    if last <= 12:
        panels.axes[0].set_xticks(range(1, last + 1))
    panels.label("layer", "entropy / maximum")
    entries: list[tuple[str, dict[str, Any]]] = [
        (name, {"color": colour}) for name, colour in WEIGHT_COLOURS.items()
    ]
    entries.append((RANDOM_MATRIX, {"color": QUIET, "ls": ":", "lw": 2}))
    key(panels, entries, columns=2 if narrow else 4)
    return panels.figure


def _caption(data: LayerData) -> str:
    several = len(data.seeds) > 1
    what = f"{averaged(data)}, band: 95 % t-interval over networks" if several else "one network"
    return (
        f"Entanglement entropy over its maximum ({what}), for trained, initial and shuffled "
        "weights. Dotted grey: the mean for Gaussian random matrices of the same size. "
        "Layers in which the cut does not exist, or is another cut, are passed over."
    )


ENTROPY: Final = Plot(
    name="entropy",
    title="Entanglement entropy against depth, by cut",
    caption=_caption,
    table=_table,
    draw=_draw,
    illustrates="controls",
)
