"""Accuracy above chance that is kept against norm loss: every layer, every cut, every network."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.choices import PRIMARY
from analyses.comparing import (
    LARGEST_NORM_LOSS,
    NORM_LOSS,
    curves_along,
    mean_curve,
    perturbed_curves,
)
from analyses.figures.panels import MANY, NORM_LOSSES, grid, key, layer_title, line, norm_loss_axis
from analyses.figures.plot import Answers, Plot
from analyses.figures.style import CUT_COLOURS, NOISE, QUIET, cut_style
from analyses.figures.tables import averaged, by, joined, means
from compressibility.store.curves import Curve
from compressibility.store.reading import LayerData, NotMeasuredError

MEAN: Final = "mean"
_POINTS: Final = 31


def _curves(data: LayerData) -> dict[str, dict[tuple[str, int], Curve]]:
    """By series, the perturbation first, so that it lies behind."""
    kept = 100 * (1 + PRIMARY.truncated(data))
    found: dict[str, dict[tuple[str, int], Curve]] = {}
    with suppress(NotMeasuredError):
        found[NOISE] = perturbed_curves(100 * (1 + PRIMARY.perturbed(data)))
    return found | {mode: curves_along(data, NORM_LOSS, kept, mode) for mode in data.modes}


def _table(data: LayerData, _: Answers) -> DataFrame:
    found = _curves(data)
    return joined(
        part
        for layer in data.measured_layers
        for series, curves in found.items()
        for part in _of_series(
            {seed: curve for (at, seed), curve in curves.items() if at == layer and len(curve)},
            {"layer": layer, "series": series},
        )
    )


def _of_series(curves: dict[int, Curve], labels: dict[str, str]) -> Sequence[DataFrame]:
    joint = mean_curve(list(curves.values()), 0.0, 1.0, _POINTS)
    mean = means(joint, "norm_loss", "accuracy_kept", {**labels, "network": MEAN})
    each = [
        DataFrame({**labels, "network": str(seed), "norm_loss": c.x, "accuracy_kept": c.y})
        for seed, c in curves.items()
    ]
    return [*(each if len(curves) > 1 else ()), mean]


def _draw(table: DataFrame, narrow: bool) -> Figure:
    layers = table["layer"].unique()
    many = len(layers) > MANY
    panels = grid(
        len(layers),
        narrow=narrow,
        columns=(5, 2) if many else (4, 2),
        height=1.3 if many else 1.75,
        legend_rows=3 if narrow else 2,
        limits=(NORM_LOSSES, (-4, 108)),
    )
    for axes, (layer, rows) in zip(panels.axes, by(table, "layer"), strict=True):
        layer_title(axes, layer, narrow=narrow or many)
        axes.axhline(100, color=QUIET, ls=":", lw=1)
        axes.axvline(LARGEST_NORM_LOSS, color=QUIET, lw=0.8, alpha=0.7)
        for series, of_series in by(rows, "series"):
            style = _style(series)
            for network, here in by(of_series, "network"):
                if network == MEAN:
                    line(axes, here, "norm_loss", "accuracy_kept", style, label=series)
                else:
                    label = f"{series}, {network}"
                    faint = {**style, "linewidth": 0.5, "alpha": 0.35, "zorder": 2}
                    line(axes, here, "norm_loss", "accuracy_kept", faint, label=label, band=False)
    norm_loss_axis(panels)
    for axes in panels.axes:
        axes.set_yticks([0, 50, 100])
    panels.label("norm loss", "kept (%)")
    drawn = set(table["series"])
    entries = [(name, _style(name)) for name in (*CUT_COLOURS, NOISE) if name in drawn]
    key(panels, entries, columns=4 if narrow else 7)
    return panels.figure


def _style(series: str) -> dict[str, Any]:
    if series == NOISE:
        return {"color": QUIET, "linewidth": 3.2, "alpha": 0.55, "zorder": 1}
    return cut_style(series)


def _caption(data: LayerData) -> str:
    several = (
        f"thick lines: {averaged(data)}; bands: 95 % t-interval; faint: every network"
        if len(data.seeds) > 1
        else "one network, no bands"
    )
    return (
        "Accuracy above chance of the truncated network in % of the untouched network's, against "
        f"the norm loss achieved, one layer truncated along one cut ({several}). Grey, behind: "
        "the random perturbation of the same norm and overlap. Dotted: nothing lost. The tests "
        "compare left of the grey upright line."
    )


KEPT: Final = Plot(
    name="accuracy-kept",
    title="Accuracy above chance that is kept against norm loss, every layer",
    caption=_caption,
    table=_table,
    draw=_draw,
    tall=True,
)
