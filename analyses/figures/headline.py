"""Share of the layers that can be truncated to a norm loss, by the accuracy allowed to be lost."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.claims.headline import BEST_CUT, HALF, MARGINS, changes_of, within
from analyses.comparing import LARGEST_NORM_LOSS, PRIMARY_CUT
from analyses.figures.panels import grid, key, line, panel_title
from analyses.figures.plot import Answers, Plot
from analyses.figures.style import QUIET
from analyses.figures.tables import averaged, by, joined, means
from compressibility.store.curves import Curve
from compressibility.store.reading import LayerData, NotMeasuredError

_NORM_LOSSES: Final = tuple(np.linspace(0.02, LARGEST_NORM_LOSS, 25).round(2).tolist())
_STYLES: Final[tuple[dict[str, Any], ...]] = (
    {"color": "#0a7cc4", "lw": 2.1},
    {"color": "#d55e00", "lw": 1.6, "ls": (0, (7, 1.5))},
    {"color": "#009e73", "lw": 1.6, "ls": (0, (1, 1.2))},
)
_LINES: Final = {
    f"{margin} point{'s' if margin > 1 else ''}": style
    for margin, style in zip(MARGINS, _STYLES, strict=True)
}
_PANELS: Final = {BEST_CUT: "each along its best cut", PRIMARY_CUT: "along OUT"}


def _table(data: LayerData, _: Answers) -> DataFrame:
    return joined(_parts(data))


def _parts(data: LayerData) -> Iterator[DataFrame]:
    for cut, panel in _PANELS.items():
        try:
            changes = changes_of(cut, data, _NORM_LOSSES, data.accuracy_change)
        except NotMeasuredError:
            continue
        for margin, allowed in zip(MARGINS, _LINES, strict=True):
            shares = 100 * within(changes, margin / 100).mean("layer")
            shares = shares.dropna("norm_loss", how="all").dropna("seed")
            if not shares.size:
                continue
            rows = means(
                Curve(shares["norm_loss"].values, shares.transpose("seed", "norm_loss").values),
                "norm_loss",
                "share_of_layers",
                {"panel": panel, "allowed": allowed},
            )
            rows[["low", "high"]] = rows[["low", "high"]].clip(0, 100)
            yield rows


def _draw(table: DataFrame, narrow: bool) -> Figure:
    shown = list(table["panel"].unique())
    panels = grid(len(shown), narrow=narrow, columns=(2, 1), height=2.2, legend_rows=1, gap=0.3)
    for axes, panel in zip(panels.axes, shown, strict=True):
        axes.set_label(panel)
        panel_title(axes, panel)
        axes.axhline(100 * HALF, color=QUIET, ls=":", lw=1)
        for allowed, rows in by(table[table["panel"] == panel], "allowed"):
            style = _LINES[allowed]
            line(axes, rows, "norm_loss", "share_of_layers", style, label=allowed)
        axes.set(xlim=(0, LARGEST_NORM_LOSS), ylim=(-2, 102), yticks=[0, 25, 50, 75, 100])
    panels.label("norm loss", "layers (%)")
    key(panels, list(_LINES.items()), columns=3)
    return panels.figure


def _caption(data: LayerData) -> str:
    several = len(data.seeds) > 1
    what = f"{averaged(data)}, band: 95 % t-interval" if several else "one network"
    return (
        "Share of the layers whose test accuracy falls by no more than 1, 2 or 5 points when the "
        f"layer alone is truncated to a norm loss ({what}). Along the cut that costs least on "
        "held-out images, where they are counted, and along OUT. Dotted: half of the layers. The "
        f"tests ask at {100 * data.allowance:g} point{'s' if data.allowance > 0.01 else ''}, at "
        "norm losses 0.1 to 0.5. Layers that no cut truncates so far do not count."
    )


HEADLINE: Final = Plot(
    name="headline",
    title="How many layers can be truncated so far",
    caption=_caption,
    table=_table,
    draw=_draw,
    illustrates="headline-out",
)
