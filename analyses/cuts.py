"""Is OUT the cut along which a kernel can be truncated at the least cost?

Primary statistic, at equal norm loss: for each network the mean over layers of the difference in
log-odds of a correct answer, OUT minus the other cut, taken at the norm losses which the coarser of
the two cuts achieves, within 0 to 0.5, and averaged over norm loss. At equal parameters: the same
against the logarithm of the compression ratio, where both cuts compress (ratio of 1 or more).
Six comparisons in each family, Holm over them. The claim is that OUT beats every other cut: it is
supported where all comparisons are, contradicted where one is.

Robustness, by another method: only the order of two events is used, of the truncations that first
lose more than the allowance delta, as far as the achieved grid and censoring leave it certain.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analyses.curves import (
    LARGEST_NORM_LOSS,
    Curve,
    Floats,
    NotMeasuredError,
    Sample,
    Sweep,
    crossing,
    later,
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
    cut_style,
    few,
    forest,
    grid,
    key,
    mean_curve,
    panel_title,
    shorten,
)
from analyses.findings import (
    Answer,
    Claim,
    Finding,
    Robustness,
    Verdict,
    decided,
    findings,
    not_measured,
    odds,
    sureness,
    undetectable,
)
from analyses.statistics import MINIMUM_SEEDS, sign_flip_test

TITLE: Final = "Which cut?"
REFERENCE: Final = "OUT"
AT_EQUAL_NORM_LOSS: Final = Claim(
    key="cuts-norm",
    title="Cuts at equal norm loss",
    question="At equal norm loss, does truncating along OUT cost less accuracy than along any "
    "other cut?",
    claim="Truncating a layer along OUT loses less accuracy than along any other cut, at equal "
    "norm loss.",
    null="The difference between OUT and the other cut is symmetric about zero over networks.",
    statistic="difference in log-odds of a correct answer, OUT minus the other cut, averaged over "
    "norm losses up to 0.5 and over layers",
    unit="logit",
)
AT_EQUAL_PARAMETERS: Final = Claim(
    key="cuts-parameters",
    title="Cuts at equal parameters",
    question="At equal parameters, does truncating along OUT cost less accuracy than along any "
    "other cut?",
    claim="Truncating a layer along OUT loses less accuracy than along any other cut, at an equal "
    "compression ratio.",
    null="The difference between OUT and the other cut is symmetric about zero over networks.",
    statistic="difference in log-odds of a correct answer, OUT minus the other cut, averaged over "
    "the logarithm of the compression ratio, from 1, and over layers",
    unit="logit",
)

_HIGHEST_LOG2_RATIO: Final = 64.0


def analyse(dataset: xr.Dataset) -> tuple[Answer, ...]:
    """The two answers: at equal norm loss, at equal parameters."""
    sweep = Sweep(dataset)
    return (
        _answer(AT_EQUAL_NORM_LOSS, sweep),
        _answer(AT_EQUAL_PARAMETERS, sweep),
    )


def compared(
    sweep: Sweep, other: str, against: Claim, score: Callable[[Curve, Curve], float], y: Floats
) -> Floats:
    """One score of OUT against another cut for each network and layer, (seed, layer).

    Missing where either cut does not exist in the layer, or equals another one.
    """
    x = sweep.norm_loss if against is AT_EQUAL_NORM_LOSS else sweep.log2_ratio
    i, j = sweep.mode_index(REFERENCE), sweep.mode_index(other)

    def cell(layer: int, seed: int) -> float:
        if not (sweep.distinct[layer, i] and sweep.distinct[layer, j]):
            return float("nan")
        return score(sweep.curve(x, y, layer, i, seed), sweep.curve(x, y, layer, j, seed))

    return tabulate(sweep, cell)


def _difference(against: Claim) -> Callable[[Curve, Curve], float]:
    high = LARGEST_NORM_LOSS if against is AT_EQUAL_NORM_LOSS else _HIGHEST_LOG2_RATIO
    return lambda curve, other: mean_difference(curve, other, 0.0, high)


def _order(sweep: Sweep) -> Callable[[Curve, Curve], float]:
    return lambda curve, other: later(
        crossing(curve, sweep.allowance), crossing(other, sweep.allowance)
    )


def _answer(claim: Claim, sweep: Sweep) -> Answer:
    try:
        samples, checks, caveats = _compare(claim, sweep)
    except NotMeasuredError as reason:
        return not_measured(claim, reason)
    found = findings(claim, samples, checks, caveats)
    return Answer(
        claim=claim,
        verdict=overall(found),
        found=_summary(claim, found),
        sure=sureness(found),
        unseen=(
            undetectable(found),
            *_blind_spots(claim),
            *_gaps(found, samples, sweep),
        ),
        findings=found,
    )


def _gaps(found: tuple[Finding, ...], samples: dict[str, Sample], sweep: Sweep) -> tuple[str, ...]:
    fewest = min(len(s.layers) for s in samples.values())
    most = max(len(s.layers) for s in samples.values())
    if fewest == len(sweep.layers):
        return tuple(dict.fromkeys(text for f in found for text in f.caveats))
    between = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    left_out = dict.fromkeys(text for s in samples.values() for text in s.left_out)
    return (
        f"Each comparison rests on {between} of {len(sweep.layers)} layers: those where both cuts "
        "exist, differ and are measured.",
        *left_out,
    )


def _compare(
    claim: Claim, sweep: Sweep
) -> tuple[dict[str, Sample], dict[str, Robustness], dict[str, tuple[str, ...]]]:
    samples: dict[str, Sample] = {}
    checks: dict[str, Robustness] = {}
    caveats: dict[str, tuple[str, ...]] = {}
    percent = 100 * sweep.allowance
    for other in sweep.modes:
        if other == REFERENCE:
            continue
        table = compared(sweep, other, claim, _difference(claim), sweep.logit_change)
        if not np.isfinite(table).any():
            continue
        label = f"{REFERENCE} − {other}"
        samples[label] = sample(sweep, table)
        order = compared(sweep, other, claim, _order(sweep), sweep.accuracy_change)
        scores = sample(sweep, np.where(np.isfinite(table), order, np.nan))
        checks[label] = Robustness(
            method=f"which cut first loses more than {percent:g} % of the images (share of "
            "layers where that is surely the other cut, minus share where it is surely OUT)",
            estimate=float(scores.values.mean()),
            unit="share of layers",
            p=sign_flip_test(scores.values, rng=np.random.default_rng(0)),
            note=f"{np.mean(scores.table == 0):.0%} of the pairs are left open by the grid or by "
            "curves that end before they cross",
        )
        if len(samples[label].layers) < len(sweep.layers):
            absent = len(sweep.layers) - len(samples[label].layers)
            caveats[label] = (
                f"Against {other}: compared in {len(samples[label].layers)} of "
                f"{len(sweep.layers)} layers; in the other {absent} one of the two does not exist, "
                "is another cut, or is not measured",
            )
    if not samples:
        raise NotMeasuredError("no layer has both the OUT cut and another one, measured")
    return samples, checks, caveats


def overall(found: tuple[Finding, ...]) -> Verdict:
    """A claim about every comparison: all must support it, one contradicts it."""
    verdicts = [f.verdict for f in found]
    if Verdict.CONTRADICTED in verdicts:
        return Verdict.CONTRADICTED
    if all(v is Verdict.SUPPORTED for v in verdicts):
        return Verdict.SUPPORTED
    return Verdict.UNDECIDED


def _names(labels: list[str]) -> str:
    """A list in words; labels contain commas, so semicolons part them."""
    return labels[0] if len(labels) == 1 else f"{'; '.join(labels[:-1])} and {labels[-1]}"


def _summary(claim: Claim, found: tuple[Finding, ...]) -> str:
    n = min(f.n_seeds for f in found)
    few_networks = n < MINIMUM_SEEDS

    def listed(kind: Verdict) -> list[str]:
        return [
            f.comparison.split(" − ")[1]
            for f in found
            if (decided(f.estimate, 0.0, MINIMUM_SEEDS) if few_networks else f.verdict) is kind
        ]

    at = "norm loss" if claim is AT_EQUAL_NORM_LOSS else "number of parameters"
    parts = []
    if better := listed(Verdict.SUPPORTED):
        parts.append(f"kept more accuracy than cutting along {_names(better)}")
    if worse := listed(Verdict.CONTRADICTED):
        parts.append(f"kept less than cutting along {_names(worse)}")
    if alike := listed(Verdict.UNDECIDED):
        parts.append(f"could not be told from {_names(alike)}")
    start = (
        f"By the estimates from {'one network' if n == 1 else f'{n} networks'} alone, at"
        if few_networks
        else "At"
    )
    sizes = sorted(found, key=lambda f: f.estimate)
    low, high = sizes[0], sizes[-1]
    return (
        f"{start} an equal {at}, cutting along OUT {'; it '.join(parts)}. The odds of a correct "
        f"answer, OUT over the other cut, range from {odds(low.estimate)} (against "
        f"{low.comparison.split(' − ')[1]}) to {odds(high.estimate)} (against "
        f"{high.comparison.split(' − ')[1]})."
    )


def _blind_spots(claim: Claim) -> tuple[str, ...]:
    if claim is AT_EQUAL_NORM_LOSS:
        return (
            "Norm losses above 0.5, and above a cut's ceiling (0.42 for KH and KW of a 3×3 "
            "kernel); truncations of several layers at once; what re-training would heal.",
        )
    return (
        "Compression beyond what both cuts of a pair reach; speed on real hardware, which is not "
        "the number of parameters; what re-training would heal.",
    )


def plots(dataset: xr.Dataset, answers: tuple[Answer, ...]) -> tuple[Plot, ...]:
    """Accuracy against norm loss and against compression, and the differences."""
    sweep = Sweep(dataset)
    several = [i for i in sweep.measured_layers if sweep.distinct[i].sum() > 1]
    candidates = several or sweep.measured_layers
    shown = few(candidates)
    some = ""
    if len(shown) < len(candidates):
        some = (
            f" Shown are {len(shown)} of the {len(candidates)} layers with more than one cut, "
            "evenly spaced in depth; the tests use all."
        )
    elif len(shown) < len(sweep.layers):
        some = f" Shown: the {len(shown)} measured layers with more than one cut."
    n = len(sweep.seeds)
    what = (
        f"Lines: {averaged(sweep)}; bands: 95 % t-interval over networks"
        if n > 1
        else "One network, no bands"
    )
    return (
        Plot(
            "cuts-norm-loss",
            "Accuracy against norm loss, by layer and cut",
            f"Test accuracy ({sweep.n_images:,} images) after truncating this one layer along one "
            f"cut, against the norm loss achieved. {what}; dotted: the untouched network; dots: "
            "truncations of cuts that have at most nine. A line ends where its cut has no further "
            f"truncation. The comparison uses norm losses up to 0.5 (left of the grey line).{some}",
            lambda narrow: _draw_curves(sweep, shown, narrow, AT_EQUAL_NORM_LOSS),
            "cuts-norm",
        ),
        Plot(
            "cuts-parameters",
            "Accuracy against compression, by layer and cut",
            f"The same accuracies against the compression ratio of this layer (parameters of the "
            f"kernel over parameters stored). {what}. Left of 1 a truncation stores more than the "
            f"kernel itself, and is not compared.{some}",
            lambda narrow: _draw_curves(sweep, shown, narrow, AT_EQUAL_PARAMETERS),
            "cuts-parameters",
        ),
        Plot(
            "cuts-differences",
            "OUT against each other cut",
            "The tested differences in log-odds of a correct answer, OUT minus the other cut: "
            "right of zero OUT keeps more accuracy. Small dots: single networks; large dots and "
            "bars: mean and 95 % interval (by inverting the sign-flip test with six networks or "
            "more, else Student's). Filled: adjusted p at most 0.05.",
            lambda narrow: _draw_differences(answers, narrow),
            "cuts-parameters",
        ),
    )


def _draw_curves(sweep: Sweep, shown: list[int], narrow: bool, against: Claim) -> Figure:
    norm = against is AT_EQUAL_NORM_LOSS
    x = sweep.norm_loss if norm else sweep.log2_ratio
    y = sweep.accuracy_change + sweep.baseline_accuracy
    panels = grid(len(shown), narrow=narrow, legend_rows=2 if narrow else 1)
    for axes, layer in zip(panels.axes, shown, strict=True):
        panel_title(axes, shorten(sweep.layers[layer], 16 if narrow else 22))
        axes.axhline(100 * float(np.nanmean(sweep.baseline_accuracy)), color=QUIET, ls=":", lw=1)
        axes.axvline(LARGEST_NORM_LOSS if norm else 0.0, color=QUIET, lw=0.8, alpha=0.7)
        for j, mode in enumerate(sweep.modes):
            if not sweep.distinct[layer, j]:
                continue
            curves = [sweep.curve(x, y, layer, j, s) for s in range(len(sweep.seeds))]
            curves = [c for c in curves if len(c)]
            low, high = (0.0, 1.0) if norm else (-3.0, 12.0)
            mean = mean_curve(curves, low, high)
            band(axes, mean, scale=100, **cut_style(mode))
            if mean is not None and min(sweep.matrix_shape(layer, mode)) <= 9:
                _mark_ranks(sweep, axes, x, y, layer, j, (mean.x[0], mean.x[-1]))
    panels.label("norm loss" if norm else "compression ratio", "accuracy (%)")
    if norm:
        panels.axes[0].set_xlim(0, 0.92)
        panels.axes[0].set_xticks([0, 0.25, 0.5, 0.75])
        for axes in panels.axes:
            axes.set_xticks([0, 0.25, 0.5, 0.75], ["0", ".25", ".5", ".75"])
    else:
        low, high = panels.axes[0].get_xlim()
        ticks = [t for t in (-2, 0, 2, 4, 6, 8) if low - 0.5 <= t <= high + 0.5]
        panels.axes[0].set_xticks(ticks, [f"{2.0**t:g}" for t in ticks])
    entries = [(mode, cut_style(mode)) for mode in sweep.modes]
    key(panels, entries, columns=4 if narrow else 7)
    return panels.figure


def _mark_ranks(
    sweep: Sweep,
    axes: Axes,
    x: Floats,
    y: Floats,
    layer: int,
    j: int,
    drawn: tuple[float, float],
) -> None:
    """A dot at the mean of each rank that most networks have, where the line is drawn."""
    rank = sweep.values("rank", "layer", "mode", "threshold", "seed")[layer, j]
    here = [
        chosen
        for value in np.unique(rank[rank > 0])
        if (chosen := rank == value).any(axis=0).sum() * 2 >= len(sweep.seeds)
        and drawn[0] <= np.nanmean(x[layer, j][chosen]) <= drawn[1]
    ]
    axes.plot(
        [np.nanmean(x[layer, j][chosen]) for chosen in here],
        [100 * np.nanmean(y[layer, j][chosen]) for chosen in here],
        "o",
        color=CUT_COLOURS[sweep.modes[j]],
        markersize=2.6,
        zorder=5,
    )


def _draw_differences(answers: tuple[Answer, ...], narrow: bool) -> Figure:
    panels = grid(len(answers), narrow=narrow, columns=(2, 1), height=1.9, left=0.75, share=False)
    for axes, answer, title in zip(
        panels.axes, answers, ("at equal norm loss", "at equal parameters"), strict=True
    ):
        panel_title(axes, title)
        axes.axvline(0, color=QUIET, lw=1)
        forest(axes, answer.findings, lambda f: f.comparison.split(" − ")[1])
        axes.set_xlabel("log-odds, OUT minus the other cut")
        axes.xaxis.set_major_locator(MaxNLocator(5))
    return panels.figure
