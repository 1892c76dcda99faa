"""Does a truncation cost less accuracy than random noise of the same size?

Primary statistic: for each network the mean over layers of the difference in log-odds of a correct
answer, truncation along OUT minus random perturbation of the same norm and overlap, over norm
losses up to 0.5. Robustness: the same for the test loss in place of accuracy.
"""

from typing import Final

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from analyses.curves import (
    LARGEST_NORM_LOSS,
    Floats,
    NotMeasuredError,
    Sweep,
    mean_difference,
    sample,
    tabulate,
)
from analyses.figures import (
    CUT_COLOURS,
    QUIET,
    Plot,
    averaged,
    band,
    few,
    grid,
    key,
    mean_curve,
    panel_title,
    selection,
    shorten,
)
from analyses.findings import (
    Answer,
    Claim,
    Robustness,
    findings,
    in_words,
    not_measured,
    odds,
    sureness,
    undetectable,
)
from analyses.statistics import sign_flip_test

TITLE: Final = "Is a truncation gentler than noise?"
CUT: Final = "OUT"

GENTLER: Final = Claim(
    key="noise",
    title="Truncation against noise",
    question="Does a truncation cost less accuracy than random noise of the same size?",
    claim="Truncating along OUT loses less accuracy than a random perturbation of the same norm "
    "and overlap.",
    null="The difference in log-odds is symmetric about zero over networks.",
    statistic="difference in log-odds of a correct answer, truncation along OUT minus matched "
    "random perturbation, averaged over norm losses up to 0.5 and over layers",
    unit="logit",
)


def analyse(dataset: xr.Dataset) -> tuple[Answer, ...]:
    """The one answer: gentler than noise."""
    try:
        return (_gentle(Sweep(dataset)),)
    except NotMeasuredError as reason:
        return (not_measured(GENTLER, reason),)


def truncation_minus_noise(
    sweep: Sweep, truncated: Floats, perturbed: Floats, mode: str = CUT
) -> Floats:
    """Mean difference over norm losses up to 0.5 for each network and layer, (seed, layer)."""
    j = sweep.mode_index(mode)

    def cell(layer: int, seed: int) -> float:
        if not sweep.distinct[layer, j]:
            return float("nan")
        return mean_difference(
            sweep.curve(sweep.norm_loss, truncated, layer, j, seed),
            sweep.perturbed_curve(perturbed, layer, seed),
        )

    return tabulate(sweep, cell)


def _gentle(sweep: Sweep) -> Answer:
    table = truncation_minus_noise(sweep, sweep.logit_change, sweep.perturbed_logit_change)
    if not np.isfinite(table).any():
        raise NotMeasuredError(
            "truncations along OUT and random perturbations are not both measured"
        )
    chosen = sample(sweep, table)
    losses = -truncation_minus_noise(sweep, sweep.loss_change, sweep.perturbed_loss_change)
    losses = np.where(np.isfinite(table), losses, np.nan)
    check = None
    if np.isfinite(losses).any():
        other = sample(sweep, losses)
        check = Robustness(
            "test loss (cross-entropy) in place of accuracy, perturbation minus truncation",
            float(other.values.mean()),
            "nat",
            sign_flip_test(other.values, rng=np.random.default_rng(0)),
        )
    label = "truncation − perturbation"
    found = findings(GENTLER, {label: chosen}, {label: check} if check else {})
    result = in_words(
        found[0],
        "A truncation costs less accuracy than random noise of the same norm and overlap",
        "A truncation costs more accuracy than random noise of the same norm and overlap",
        "Truncation and random noise of the same norm and overlap could not be told apart",
    )
    return Answer(
        claim=GENTLER,
        verdict=found[0].verdict,
        found=f"{result}: the odds of a correct answer are {odds(found[0].estimate)} "
        "under truncation along OUT, averaged over norm losses up to 0.5 and over layers.",
        sure=sureness(found),
        unseen=(
            undetectable(found),
            "One random perturbation per network, layer and norm loss. Other cuts are drawn in the "
            "figure, and not tested.",
            *found[0].caveats,
        ),
        findings=found,
    )


def plots(dataset: xr.Dataset, answers: tuple[Answer, ...]) -> tuple[Plot, ...]:
    """Accuracy against norm loss, under truncation and under noise."""
    sweep = Sweep(dataset)
    shown = few(sweep.measured_layers)
    several = len(sweep.seeds) > 1
    what = f"{averaged(sweep)}, band: 95 % t-interval over networks" if several else "one network"
    return (
        Plot(
            "noise",
            "Truncation against random noise of the same size, by layer",
            f"Test accuracy against norm loss under truncation along OUT (blue) and under the "
            f"random perturbation of equal norm and overlap (grey); {what}. Thin: the other cuts, "
            f"in their colours.{selection(shown, sweep)}",
            lambda narrow: _draw_noise(sweep, shown, narrow),
            "noise",
        ),
    )


def _draw_noise(sweep: Sweep, shown: list[int], narrow: bool) -> Figure:
    panels = grid(len(shown), narrow=narrow, legend_rows=2 if narrow else 1)
    truncated = sweep.accuracy_change + sweep.baseline_accuracy
    seeds = range(len(sweep.seeds))
    try:
        perturbed = sweep.perturbed_accuracy_change + sweep.baseline_accuracy
    except NotMeasuredError:
        perturbed = None
    for axes, layer in zip(panels.axes, shown, strict=True):
        panel_title(axes, shorten(sweep.layers[layer], 16 if narrow else 22))
        for j in np.flatnonzero(sweep.distinct[layer]).tolist():
            mode = sweep.modes[j]
            curves = [sweep.curve(sweep.norm_loss, truncated, layer, j, s) for s in seeds]
            mean = mean_curve(curves, 0.0, 1.0)
            if mode == CUT:
                band(axes, mean, scale=100, color=CUT_COLOURS[CUT], lw=2.1, zorder=4)
            elif mean is not None:
                axes.plot(
                    mean.x, 100 * mean.y.mean(axis=0), color=CUT_COLOURS[mode], lw=0.7, alpha=0.7
                )
        if perturbed is not None:
            curves = [sweep.perturbed_curve(perturbed, layer, s) for s in seeds]
            band(axes, mean_curve(curves, 0.0, 1.0), scale=100, color=QUIET, lw=2.1, zorder=4)
        axes.axvline(LARGEST_NORM_LOSS, color=QUIET, lw=0.8, alpha=0.7)
        axes.set_xticks([0, 0.25, 0.5, 0.75], ["0", ".25", ".5", ".75"])
    panels.axes[0].set_xlim(0, 0.92)
    panels.label("norm loss", "accuracy (%)")
    entries = [
        ("truncation (OUT)", {"color": CUT_COLOURS[CUT], "lw": 2.1}),
        ("random noise", {"color": QUIET, "lw": 2.1}),
        ("other cuts (thin, colours as above)", {"color": CUT_COLOURS["IN"], "lw": 0.7}),
    ]
    key(panels, entries, columns=2 if narrow else 3)
    return panels.figure
