"""The first experiments of arXiv 2403.14379, redrawn: ResNet-50's conv1, and its conv4 kernels.

For datasets of a ResNet: conv1 truncated along OUT, and the 3×3 kernels of the stage conv4
(``layer3.*.conv2``) along OUT,KW beside OUT. All kernels of the stage are drawn, none chosen.
"""

import re
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from pandas import DataFrame

from analyses.comparing import NORM_LOSS, PRIMARY_CUT, curves_along, perturbed_curves
from analyses.entropies import normalised_spectra
from analyses.figures.panels import grid, key, line, norm_loss_axis, panel_title
from analyses.figures.plot import Answers, Plot
from analyses.figures.style import CUT_COLOURS, NOISE, QUIET, UNTOUCHED, cut_style
from analyses.figures.tables import accuracies, averaged, by, few, joined, means, percent
from compressibility.store.curves import Curve
from compressibility.store.reading import LayerData

FIRST: Final = "conv1"
STAGE: Final = re.compile(r"layer3\.\d+\.conv2")
CUTS: Final = (PRIMARY_CUT, "OUT,KW")
_SPECTRUM: Final = "Schmidt values"
_TRUNCATION: Final = "truncation"


def _stage(data: LayerData) -> list[str]:
    return [layer for layer in data.measured_layers if STAGE.fullmatch(layer)]


def _is_resnet(data: LayerData) -> bool:
    return any(STAGE.fullmatch(layer) for layer in data.layers)


def _over_what(data: LayerData) -> str:
    several = len(data.seeds) > 1
    return f"{averaged(data)}, bands: 95 % t-interval" if several else "one network, no bands"


def _conv1_table(data: LayerData, _: Answers) -> DataFrame:
    spectra = data.of_cut(normalised_spectra(data, "trained"), PRIMARY_CUT).sel(layer=FIRST)
    here = spectra.transpose("seed", "schmidt_index").dropna("seed", how="all")
    values = here.dropna("schmidt_index").values
    index = np.arange(1.0, values.shape[1] + 1)
    accuracy = data.accuracy_change + data.baseline_accuracy
    truncated = curves_along(data, NORM_LOSS, accuracy, PRIMARY_CUT)
    perturbed = perturbed_curves(data.perturbed_accuracy_change + data.baseline_accuracy)
    parts = [
        means(
            Curve(index, values) if values.size else None,
            "index",
            "schmidt_value",
            {"panel": _SPECTRUM, "series": PRIMARY_CUT},
        ),
        DataFrame({"panel": [_TRUNCATION], "series": UNTOUCHED, "accuracy": percent(data)}),
        *(
            accuracies(
                [curves[FIRST, seed] for seed in data.seeds],
                "norm_loss",
                {"panel": _TRUNCATION, "series": series},
            )
            for series, curves in ((PRIMARY_CUT, truncated), (NOISE, perturbed))
        ),
    ]
    numbers = ["index", "schmidt_value", "norm_loss", "accuracy", "low", "high"]
    return joined(parts).reindex(columns=["panel", "series", *numbers])


def _draw_conv1(table: DataFrame, narrow: bool) -> Figure:
    panels = grid(2, narrow=narrow, columns=(2, 1), height=2.2, share=False)
    left, right = panels.axes
    for axes, panel in zip(panels.axes, (_SPECTRUM, _TRUNCATION), strict=True):
        axes.set_label(panel)
        panel_title(axes, panel)
    spectrum = table[table["panel"] == _SPECTRUM]
    if len(spectrum):
        style = {"color": CUT_COLOURS[PRIMARY_CUT], "marker": "o", "ms": 3}
        line(left, spectrum, "index", "schmidt_value", style, label=PRIMARY_CUT)
    left.set_xlabel("index")
    left.set_ylabel("Schmidt value / norm")
    left.set_ylim(0, None)
    for series, rows in by(table[table["panel"] == _TRUNCATION], "series"):
        if series == UNTOUCHED:
            right.axhline(rows["accuracy"].iloc[0], color=QUIET, ls=":", lw=1)
            continue
        style = {"color": QUIET} if series == NOISE else cut_style(series)
        line(right, rows, "norm_loss", "accuracy", style, label=series)
    right.set_xlabel("norm loss")
    right.set_ylabel("accuracy (%)")
    return panels.figure


def _conv4_table(data: LayerData, _: Answers) -> DataFrame:
    accuracy = data.accuracy_change + data.baseline_accuracy
    curves = {cut: curves_along(data, NORM_LOSS, accuracy, cut) for cut in CUTS}
    parts = []
    for layer in few(_stage(data)):
        parts.append(DataFrame({"layer": [layer], "cut": UNTOUCHED, "accuracy": percent(data)}))
        for cut, of_cut in curves.items():
            here = [of_cut[layer, seed] for seed in data.seeds]
            parts.append(accuracies(here, "norm_loss", {"layer": layer, "cut": cut}))
    columns = ["layer", "cut", "norm_loss", "accuracy", "low", "high"]
    return joined(parts).reindex(columns=columns)


def _draw_conv4(table: DataFrame, narrow: bool) -> Figure:
    n = table["layer"].nunique()
    panels = grid(n, narrow=narrow, columns=(3, 2), legend_rows=1)
    for axes, (layer, rows) in zip(panels.axes, by(table, "layer"), strict=True):
        axes.set_label(layer)
        panel_title(axes, layer)
        for cut, here in by(rows, "cut"):
            if cut == UNTOUCHED:
                axes.axhline(here["accuracy"].iloc[0], color=QUIET, ls=":", lw=1)
            else:
                line(axes, here, "norm_loss", "accuracy", cut_style(cut), label=cut)
    norm_loss_axis(panels)
    panels.label("norm loss", "accuracy (%)")
    key(panels, [(cut, cut_style(cut)) for cut in CUTS], columns=2)
    return panels.figure


CONV1: Final = Plot(
    name="first-conv1-out",
    title="conv1 cut along OUT",
    caption=lambda data: (
        "First: Schmidt values of conv1 along OUT, in units of the kernel's norm. Second: test "
        f"accuracy against the norm loss of the truncation ({_over_what(data)}; grey: the random "
        "perturbation of equal norm and overlap; dotted: the untouched network)."
    ),
    table=_conv1_table,
    draw=_draw_conv1,
    applies=lambda data: _is_resnet(data) and FIRST in data.measured_layers,
)
CONV4: Final = Plot(
    name="first-conv4-out-kw",
    title="conv4 kernels cut along OUT,KW against OUT",
    caption=lambda data: (
        "Test accuracy against norm loss for each measured 3×3 kernel of the stage conv4 "
        f"({_over_what(data)}; dotted: the untouched network)."
    ),
    table=_conv4_table,
    draw=_draw_conv4,
    applies=lambda data: bool(_stage(data)),
)
