"""Every cut, averaged over the layers that have all of them."""

from typing import Any, Final

from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.choices import PRIMARY
from analyses.claims.two_mode_cuts import DOUBLE
from analyses.comparing import NORM_LOSS, PARAMETERS, Axis, mean_curve, scaled_curves
from analyses.figures.panels import grid, key, line, panel_title
from analyses.figures.plot import Answers, Plot
from analyses.figures.style import CUT_COLOURS, QUIET, cut_style
from analyses.figures.tables import averaged, by, joined, means
from compressibility.store.curves import Curve
from compressibility.store.reading import LayerData

_PANELS: Final = {
    "at equal norm loss": (NORM_LOSS, "norm_loss", "norm loss", NORM_LOSS.highest),
    "at equal parameters": (PARAMETERS, "log2_compression_ratio", "compression ratio", 8.0),
}


def _table(data: LayerData, _: Answers) -> DataFrame:
    labels = [
        "compared",
        "cut",
        "norm_loss",
        "log2_compression_ratio",
        "change_of_accuracy_above_chance",
    ]
    rows = joined(
        means(
            _over_layers(data, axis, mode, highest),
            x,
            "change_of_accuracy_above_chance",
            {"compared": compared, "cut": mode},
        )
        for compared, (axis, x, _, highest) in _PANELS.items()
        for mode in data.modes
    )
    return rows.reindex(columns=[*labels, "low", "high"])


def _over_layers(data: LayerData, axis: Axis, mode: str, highest: float) -> Curve | None:
    """Mean over layers of each network's curve on one grid, y (networks, points)."""
    layers = [name for name in data.measured_layers if data.distinct.sel(layer=name).all()]
    curves = scaled_curves(data, axis, PRIMARY, mode)
    networks = [[curves[layer, seed] for layer in layers] for seed in data.seeds]
    complete = [of_network for of_network in networks if all(map(len, of_network))]
    if not complete or not layers:
        return None
    joint = mean_curve([curve for of_network in complete for curve in of_network], 0.0, highest)
    if joint is None:
        return None
    return Curve(joint.x, 100 * joint.y.reshape(len(complete), len(layers), -1).mean(axis=1))


def _style(mode: str) -> dict[str, Any]:
    return {**cut_style(mode), "linewidth": 2.4 if mode in DOUBLE else 1.1}


def _draw(table: DataFrame, narrow: bool) -> Figure:
    rows = 2 if narrow else 1
    panels = grid(2, narrow=narrow, columns=(2, 1), height=2.3, legend_rows=rows, share=False)
    for axes, (compared, (_, x, name, _)) in zip(panels.axes, _PANELS.items(), strict=True):
        axes.set_label(compared)
        panel_title(axes, compared)
        axes.axhline(0, color=QUIET, lw=0.8, ls=":")
        for cut, here in by(table[table["compared"] == compared], "cut"):
            line(axes, here, x, "change_of_accuracy_above_chance", _style(cut), label=cut)
        axes.set_xlabel(name)
        axes.set_ylabel("accuracy above chance (change, %)")
    ticks = [t for t in range(9) if t <= panels.axes[1].get_xlim()[1]]
    panels.axes[1].set_xticks(ticks, [f"{2**t}" for t in ticks])
    drawn = set(table["cut"])
    entries = [(mode, _style(mode)) for mode in CUT_COLOURS if mode in drawn]
    key(panels, entries, columns=4 if narrow else 7)
    return panels.figure


def _caption(data: LayerData) -> str:
    what = (
        f"Lines: {averaged(data)}; bands: 95 % t-interval" if len(data.seeds) > 1 else "One network"
    )
    return (
        "Change of the accuracy above chance, in % of the untouched network's, averaged over the "
        "layers that have all seven cuts, against norm loss (first) and compression ratio "
        f"(second). {what}. Thin: single-mode cuts; thick: two-mode cuts. A line ends where the "
        "first of its layers has no further truncation."
    )


TWO_MODE_CUTS: Final = Plot(
    name="two-mode-cuts",
    title="Single-mode and two-mode cuts, over the layers that have all cuts",
    caption=_caption,
    table=_table,
    draw=_draw,
    illustrates="two-mode",
)
