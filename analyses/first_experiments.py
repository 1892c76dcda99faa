"""The first experiments of arXiv 2403.14379, redrawn: ResNet-50's conv1, and its conv4 kernels.

Figures only, for datasets of a ResNet: conv1 truncated along OUT, and the 3×3 kernels of the stage
conv4 (``layer3.*.conv2``) along OUT,KW beside OUT. All kernels of the stage are drawn, none chosen.
"""

import re
from typing import Final

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from analyses.curves import Sweep
from analyses.figures import (
    CUT_COLOURS,
    QUIET,
    Plot,
    averaged,
    band,
    cut_style,
    few,
    grid,
    key,
    mean_curve,
    panel_title,
    spread,
)
from analyses.spectra import probabilities, schmidt_values

TITLE: Final = "The paper's first experiments"
FIRST: Final = "conv1"
STAGE: Final = re.compile(r"layer3\.\d+\.conv2")


def plots(dataset: xr.Dataset) -> tuple[Plot, ...]:
    """The figures of those of these kernels that are measured; none for a network without them."""
    sweep = Sweep(dataset)
    measured = [sweep.layers[i] for i in sweep.measured_layers]
    stage = [i for i in sweep.measured_layers if STAGE.fullmatch(sweep.layers[i])]
    several = len(sweep.seeds) > 1
    what = f"{averaged(sweep)}, bands: 95 % t-interval" if several else "one network, no bands"
    conv1 = Plot(
        "first-conv1-out",
        "conv1 cut along OUT",
        f"First: Schmidt values of conv1 along OUT, in units of the kernel's norm. Second: "
        f"test accuracy against the norm loss of the truncation ({what}; grey: the random "
        "perturbation of equal norm and overlap; dotted: the untouched network).",
        lambda narrow: _draw_conv1(sweep, narrow),
    )
    conv4 = Plot(
        "first-conv4-out-kw",
        "conv4 kernels cut along OUT,KW against OUT",
        "Test accuracy against norm loss for each measured 3×3 kernel of the stage conv4 "
        f"({what}; dotted: the untouched network).",
        lambda narrow: _draw_conv4(sweep, stage, narrow),
    )
    is_resnet = any(STAGE.fullmatch(name) for name in sweep.layers)
    return (conv1,) * (is_resnet and FIRST in measured) + (conv4,) * bool(stage)


def _draw_conv1(sweep: Sweep, narrow: bool) -> Figure:
    panels = grid(2, narrow=narrow, columns=(2, 1), height=2.2, share=False)
    layer, cut = sweep.layers.index(FIRST), sweep.mode_index("OUT")
    colour = CUT_COLOURS["OUT"]
    values = np.sqrt(probabilities(schmidt_values(sweep)))[0, layer, cut]
    values = values[np.isfinite(values).any(axis=1)]
    values = values[:, np.isfinite(values).all(axis=0)]
    left, right = panels.axes
    panel_title(left, "Schmidt values")
    if values.size:
        mean, low, high = spread(values)
        x = np.arange(1, values.shape[1] + 1)
        left.plot(x, mean, color=colour, marker="o", ms=3)
        left.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)
    left.set_xlabel("index")
    left.set_ylabel("Schmidt value / norm")
    left.set_ylim(0, None)
    panel_title(right, "truncation")
    y = sweep.accuracy_change + sweep.baseline_accuracy
    seeds = range(len(sweep.seeds))
    right.axhline(100 * float(np.nanmean(sweep.baseline_accuracy)), color=QUIET, ls=":", lw=1)
    curves = [sweep.curve(sweep.norm_loss, y, layer, cut, s) for s in seeds]
    band(right, mean_curve(curves, 0, 1), scale=100, **cut_style("OUT"))
    noise = sweep.perturbed_accuracy_change + sweep.baseline_accuracy
    curves = [sweep.perturbed_curve(noise, layer, s) for s in seeds]
    band(right, mean_curve(curves, 0, 1), scale=100, color=QUIET)
    right.set_xlabel("norm loss")
    right.set_ylabel("accuracy (%)")
    return panels.figure


def _draw_conv4(sweep: Sweep, stage: list[int], narrow: bool) -> Figure:
    layers = few(stage)
    panels = grid(len(layers), narrow=narrow, columns=(3, 2), legend_rows=1)
    y = sweep.accuracy_change + sweep.baseline_accuracy
    for axes, layer in zip(panels.axes, layers, strict=True):
        panel_title(axes, sweep.layers[layer])
        axes.axhline(100 * float(np.nanmean(sweep.baseline_accuracy)), color=QUIET, ls=":", lw=1)
        for mode in ("OUT", "OUT,KW"):
            curves = [
                sweep.curve(sweep.norm_loss, y, layer, sweep.mode_index(mode), s)
                for s in range(len(sweep.seeds))
            ]
            band(axes, mean_curve(curves, 0, 1), scale=100, **cut_style(mode))
    panels.axes[0].set_xlim(0, 0.92)
    for axes in panels.axes:
        axes.set_xticks([0, 0.25, 0.5, 0.75], ["0", ".25", ".5", ".75"])
    panels.label("norm loss", "accuracy (%)")
    key(panels, [(mode, cut_style(mode)) for mode in ("OUT", "OUT,KW")], columns=2)
    return panels.figure
