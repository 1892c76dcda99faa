"""Accuracy by epoch of re-training, arm by arm, and what returns of the discarded norm."""

from collections.abc import Iterator
from typing import Any, Final

import xarray as xr
from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.claims.recovery import CUTS, MARGIN, accuracy, of_arm
from analyses.figures.panels import grid, key, line, panel_title
from analyses.figures.plot import Answers, Plot
from analyses.figures.style import QUIET
from analyses.figures.tables import averaged, by, joined, means, whole
from compressibility.store.arms import (
    ARMS,
    FRESH,
    PERTURBED,
    RANK_KEPT,
    RESET,
    TRAINED_ON,
    TRUNCATED,
)
from compressibility.store.reading import LayerData, NotMeasuredError

_LINES: Final[dict[str, dict[str, Any]]] = {
    TRUNCATED: {"color": "#0a7cc4", "lw": 2.1},
    RANK_KEPT: {"color": "#0a7cc4", "lw": 1.4, "ls": (0, (1, 1.2))},
    PERTURBED: {"color": "#d55e00", "lw": 1.6, "ls": (0, (7, 1.5))},
    TRAINED_ON: {"color": "#333333", "lw": 1.4},
    RESET: {"color": "#009e73", "lw": 1.6, "ls": (0, (5, 1.5, 1, 1.5))},
    FRESH: {"color": "#c964a0", "lw": 1.6, "ls": (0, (3, 1))},
}
RE_ESTIMATED: Final = "statistics alone"
_RE_ESTIMATED_STYLE: Final = {"color": "#0a7cc4", "marker": "D", "ms": 4.5, "ls": ""}
_RETURNED: Final = "norm beyond the kept rank"


def _table(data: LayerData, _: Answers) -> DataFrame:
    return joined((*_accuracies(data), *_norms(data)))


def _accuracies(data: LayerData) -> Iterator[DataFrame]:
    for mode in CUTS:
        panel = {"panel": f"along {mode}"}
        for arm in ARMS:
            try:
                values = 100 * accuracy(data, arm, mode)
            except NotMeasuredError:
                continue
            yield _rows(values, "accuracy", panel | {"arm": arm}, highest=100)
        try:
            counts = of_arm(data, "recovery_re_estimated_n_correct", TRUNCATED, mode)
        except NotMeasuredError:
            continue
        again = 100 * counts.sel(epoch=[0]) / data.n_images
        yield _rows(again, "accuracy", panel | {"arm": RE_ESTIMATED}, highest=100)


def _norms(data: LayerData) -> Iterator[DataFrame]:
    for arm in (TRUNCATED, RANK_KEPT, PERTURBED, TRAINED_ON):
        try:
            values = of_arm(data, "recovery_norm_loss", arm, CUTS[0]).mean("layer", skipna=False)
        except NotMeasuredError:
            continue
        yield _rows(values, "norm_loss", {"panel": _RETURNED, "arm": arm}, highest=1)


def _rows(values: xr.DataArray, name: str, labels: dict[str, str], highest: float) -> DataFrame:
    """The means over the networks that have all epochs, with their bands."""
    rows = means(whole(values, "epoch"), "epoch", name, labels)
    if len(rows):
        rows[["low", "high"]] = rows[["low", "high"]].clip(0, highest)
    return rows


def _draw(table: DataFrame, narrow: bool) -> Figure:
    shown = list(table["panel"].unique())
    legend = 4 if narrow else 2
    panels = grid(
        len(shown), narrow=narrow, columns=(3, 1), height=2.0, legend_rows=legend, share=False
    )
    for axes, panel in zip(panels.axes, shown, strict=True):
        axes.set_label(panel)
        panel_title(axes, panel)
        y = "norm_loss" if panel == _RETURNED else "accuracy"
        for arm, rows in by(table[table["panel"] == panel], "arm"):
            line(axes, rows, "epoch", y, _LINES.get(arm, _RE_ESTIMATED_STYLE), label=arm)
        axes.set_xlabel("epochs of re-training")
        axes.set_ylabel("norm loss" if y == "norm_loss" else "accuracy (%)")
        axes.axhline(0, color=QUIET, lw=0.8, alpha=0.7)
    key(
        panels,
        [*_LINES.items(), (RE_ESTIMATED, _RE_ESTIMATED_STYLE)],
        columns=2 if narrow else 4,
    )
    return panels.figure


def _caption(data: LayerData) -> str:
    several = len(data.seeds) > 1
    what = f"{averaged(data)}, bands: 95 % t-intervals" if several else "one network"
    threshold = float(data["recovery_accuracy"]["recovery_threshold"].max())
    return (
        f"Every layer truncated at once to norm loss {threshold:g}, and the network trained again "
        f"({what}). First: test accuracy after each epoch, beside the network trained on, the "
        "truncated one whose ranks are kept, one perturbed by noise of the same norm loss, one "
        "with its kernels reset and one drawn anew, all by one recipe on the same images; "
        "what diverged counts as chance. Diamond: batch-norm statistics estimated anew, without a "
        "step of training. The test asks whether the truncated network comes within "
        f"{100 * MARGIN:g} point of the one trained on. Last: the norm loss of truncating the "
        f"layers along {CUTS[0]} to the same ranks again, averaged "
        "over layers: what has returned of the discarded Schmidt values."
    )


RECOVERY_FIGURE: Final = Plot(
    name="recovery",
    title="Truncated networks trained again",
    caption=_caption,
    table=_table,
    draw=_draw,
    illustrates="recovery",
)
