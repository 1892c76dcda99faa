"""Are deeper layers more compressible, and is that special to truncation?

Primary statistic: for each network the least-squares slope, over layers, of the mean change of the
log-odds of a correct answer when the layer is truncated along OUT (averaged over norm losses up to
0.5, or as far as all layers of the network reach), against relative depth. Positive: deeper layers
lose less. Second claim, with the random perturbation of equal norm and overlap as the control: that
slope minus the same slope for the perturbation.

Robustness, by another method: for the first, a mixed model in which layers and networks are crossed
random effects, so that the chance of having met these layers counts too; for the second, the rank
correlation with depth in place of the slope.
"""

from typing import Final

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.curves import (
    LARGEST_NORM_LOSS,
    Curve,
    Floats,
    NotMeasuredError,
    Sample,
    Sweep,
    common_support,
    crossing,
    mean_over,
    sample,
    tabulate,
)
from analyses.figures import CUT_COLOURS, QUIET, Plot, averaged, grid, panel_title, spread
from analyses.findings import (
    Answer,
    Claim,
    Robustness,
    findings,
    in_words,
    not_measured,
    number,
    plain,
    sureness,
    undetectable,
)
from analyses.statistics import crossed_slope, rank_correlation, sign_flip_test, slope

TITLE: Final = "Which layers?"
CUT: Final = "OUT"
FEWEST_LAYERS: Final = 3

DEEPER: Final = Claim(
    key="depth",
    title="Depth",
    question="Are deeper layers more compressible?",
    claim="Truncating a deeper layer along OUT loses less accuracy, at equal norm loss.",
    null="The slope against depth is symmetric about zero over networks.",
    statistic="slope over layers of the change in log-odds of a correct answer (truncation along "
    "OUT, averaged over norm losses up to 0.5) against relative depth",
    unit="logit from first to last layer",
)
SPECIAL: Final = Claim(
    key="depth-control",
    title="Depth, against random noise",
    question="Is the effect of depth special to truncation?",
    claim="Accuracy gains more from depth under truncation than under a random perturbation of "
    "the same norm and overlap.",
    null="The difference of the two slopes is symmetric about zero over networks.",
    statistic="slope against relative depth under truncation along OUT minus the slope under the "
    "matched random perturbation",
    unit="logit from first to last layer",
)


def analyse(dataset: xr.Dataset) -> tuple[Answer, ...]:
    """The two answers: deeper layers, and against the random perturbation."""
    sweep = Sweep(dataset)
    return _deeper(sweep), _special(sweep)


def mean_changes(sweep: Sweep, *, perturbed: bool = False) -> Floats:
    """Mean change of the log-odds of each network and layer over norm loss, (seed, layer).

    Every layer of a network is averaged over the same norm losses: from 0 to 0.5, or to where the
    first of its curves ends (the truncations' curves, also for the perturbation), at the points of
    the coarsest of them.
    """
    cut = sweep.mode_index(CUT)

    def truncated(layer: int, seed: int) -> Curve:
        return sweep.curve(sweep.norm_loss, sweep.logit_change, layer, cut, seed)

    table = np.full((len(sweep.seeds), len(sweep.layers)), np.nan)
    for seed in range(len(sweep.seeds)):
        curves = {i: truncated(i, seed) for i in np.flatnonzero(sweep.distinct[:, cut]).tolist()}
        curves = {i: curve for i, curve in curves.items() if len(curve) > 1}
        support = common_support(curves.values(), 0.0, LARGEST_NORM_LOSS)
        if support is None or not curves:
            continue
        inside = [c.x[(c.x >= support[0]) & (c.x <= support[1])] for c in curves.values()]
        knots = np.unique([*min(inside, key=len), support[1]])
        for i, curve in curves.items():
            source = (
                sweep.perturbed_curve(sweep.perturbed_logit_change, i, seed) if perturbed else curve
            )
            table[seed, i] = mean_over(knots, source.at(knots))
    return table


def _complete(sweep: Sweep, *, perturbed: bool = False) -> Sample:
    found = sample(sweep, mean_changes(sweep, perturbed=perturbed))
    if len(found.layers) < FEWEST_LAYERS:
        raise NotMeasuredError(
            f"a trend with depth needs {FEWEST_LAYERS} layers, and {len(found.layers)} are measured"
        )
    return found


def _depths(sweep: Sweep, found: Sample) -> Floats:
    return sweep.relative_depth[[sweep.layers.index(layer) for layer in found.layers]]


def _slopes(sweep: Sweep, found: Sample) -> Sample:
    x = _depths(sweep, found)
    values = np.array([slope(x, row) for row in found.table])
    return Sample(values, found.seeds, found.layers, found.table, found.left_out)


def _deeper(sweep: Sweep) -> Answer:
    try:
        changes = _complete(sweep)
    except NotMeasuredError as reason:
        return not_measured(DEEPER, reason)
    mixed = crossed_slope(_depths(sweep, changes), changes.table)
    note = mixed.reason or (
        f"variance between layers {plain(mixed.layer_variance)}, between networks "
        f"{plain(mixed.seed_variance)}"
    )
    check = Robustness(
        "slope of a mixed model with crossed random effects of network and layer (t-test with the "
        "degrees of freedom of the layers)",
        mixed.estimate,
        DEEPER.unit,
        mixed.p,
        note,
    )
    found = findings(DEEPER, {CUT: _slopes(sweep, changes)}, {CUT: check})
    by_layer = changes.table.mean(axis=0)
    trend = in_words(
        found[0],
        "Deeper layers lose less accuracy to truncation",
        "Deeper layers lose more accuracy to truncation, not less",
        "Whether deeper layers lose less accuracy to truncation stays open",
    )
    width = rank_correlation(sweep.relative_depth, np.log(sweep.values("parameters", "layer")))
    confounded = (
        f"Here depth goes with the size of the kernel (rank correlation {number(width)} with its "
        "number of parameters), so this is not yet an effect of depth alone."
        if abs(width) > 0.3
        else "Layers of one architecture differ in more than depth."
    )
    return Answer(
        claim=DEEPER,
        verdict=found[0].verdict,
        found=f"{trend}, along OUT and at the same norm loss: the log-odds of a correct "
        f"answer change by {number(by_layer[0])} in {changes.layers[0]} and by "
        f"{number(by_layer[-1])} in {changes.layers[-1]}, on average over norm losses up to "
        f"{LARGEST_NORM_LOSS}; the slope is {number(found[0].estimate)} from the first to the last "
        f"layer.",
        sure=f"{sureness(found)} {_mixed_text(check, len(changes.layers))}",
        unseen=(
            undetectable(found),
            confounded,
            f"These are {len(changes.layers)} layers of one architecture: the networks can repeat, "
            "the layers cannot, so nothing here speaks for other architectures.",
            *_span(sweep, changes),
            *found[0].caveats,
        ),
        findings=found,
    )


def _span(sweep: Sweep, found: Sample) -> tuple[str, ...]:
    """What to say of a slope from layers that are far from the first or the last."""
    x = _depths(sweep, found)
    if x[-1] - x[0] > 0.9:
        return ()
    return (
        f"The layers that it rests on have relative depths {plain(x[0])} to {plain(x[-1])} only; "
        "from the first layer to the last the slope is extrapolated.",
    )


def _mixed_text(check: Robustness, n_layers: int) -> str:
    if np.isnan(check.p):
        return f"The mixed model could not be used ({check.note})."
    return (
        f"Counting also the chance of having met these {n_layers} layers (mixed model), the slope "
        f"is {number(check.estimate)} with p = {check.p:.2g}."
    )


def _special(sweep: Sweep) -> Answer:
    try:
        changes, noise = mean_changes(sweep), mean_changes(sweep, perturbed=True)
        paired = np.isfinite(changes) & np.isfinite(noise)
        truncated, perturbed = (
            sample(sweep, np.where(paired, table, np.nan)) for table in (changes, noise)
        )
        if len(truncated.layers) < FEWEST_LAYERS:
            raise NotMeasuredError(
                f"a trend with depth needs {FEWEST_LAYERS} layers, and {len(truncated.layers)} "
                "have both truncations and random perturbations"
            )
    except NotMeasuredError as reason:
        return not_measured(SPECIAL, reason)
    x = _depths(sweep, truncated)
    first, second = _slopes(sweep, truncated), _slopes(sweep, perturbed)
    difference = Sample(
        first.values - second.values,
        truncated.seeds,
        truncated.layers,
        truncated.table - perturbed.table,
        truncated.left_out,
    )
    ranks = np.nan_to_num(
        [
            rank_correlation(x, a) - rank_correlation(x, b)
            for a, b in zip(truncated.table, perturbed.table, strict=True)
        ]
    )
    check = Robustness(
        "rank correlation with depth in place of the slope, truncation minus perturbation",
        float(ranks.mean()),
        "1",
        sign_flip_test(ranks, rng=np.random.default_rng(0)),
    )
    label = "truncation − perturbation"
    found = findings(SPECIAL, {label: difference}, {label: check})
    verdict = in_words(
        found[0],
        "Depth helps truncations more than it helps random noise of the same size",
        "Depth helps truncations less than it helps random noise of the same size",
        "Whether depth helps truncations more than random noise of the same size stays open",
    )
    return Answer(
        claim=SPECIAL,
        verdict=found[0].verdict,
        found=f"{verdict}: the slope with depth is {number(first.values.mean())} under truncation "
        f"and {number(second.values.mean())} under the random perturbation.",
        sure=sureness(found),
        unseen=(
            undetectable(found),
            "One random perturbation per network, layer and norm loss: its own luck is part of the "
            "spread between networks.",
            *_span(sweep, truncated),
            *found[0].caveats,
        ),
        findings=found,
    )


def plots(dataset: xr.Dataset, answers: tuple[Answer, ...]) -> tuple[Plot, ...]:
    """Loss of accuracy and critical norm loss against depth."""
    sweep = Sweep(dataset)
    n = len(sweep.seeds)
    what = (
        f"Thick: {averaged(sweep)}, with its 95 % t-interval; thin: single networks"
        if n > 1
        else "One network"
    )
    return (
        Plot(
            "depth",
            "Accuracy lost against depth",
            "Left (first): change in log-odds of a correct answer, averaged over norm losses up to "
            f"{LARGEST_NORM_LOSS}; 0 is no loss. Blue: truncation along OUT; grey: the random "
            "perturbation of equal norm and overlap. Right (second): critical norm loss along OUT, "
            f"where accuracy first falls more than {_points(sweep)}; triangles mark networks "
            "whose curve ended before that, so the true value lies above, and the line is then a "
            f"lower bound. {what}.",
            lambda narrow: _draw(sweep, narrow),
            "depth-control",
        ),
    )


def _points(sweep: Sweep) -> str:
    percent = 100 * sweep.allowance
    return f"{percent:g} point{'' if percent == 1 else 's'}"


def _draw(sweep: Sweep, narrow: bool) -> Figure:
    panels = grid(2, narrow=narrow, columns=(2, 1), height=2.2, share=False)
    left, right = panels.axes
    x = sweep.relative_depth
    for perturbed, colour, name in (
        (True, QUIET, "random perturbation"),
        (False, CUT_COLOURS[CUT], "truncation"),
    ):
        try:
            table = mean_changes(sweep, perturbed=perturbed)
        except NotMeasuredError:
            continue
        _draw_table(left, x, table, colour)
        left.text(
            0.98,
            0.03 if perturbed else 0.12,
            name,
            transform=left.transAxes,
            ha="right",
            va="bottom",
            color=colour,
            fontweight="bold",
        )
    left.set_ylabel("change in log-odds")
    panel_title(left, "mean loss of accuracy")
    cut = sweep.mode_index(CUT)

    def critical(layer: int, seed: int) -> float:
        curve = sweep.curve(sweep.norm_loss, sweep.accuracy_change, layer, cut, seed)
        return crossing(curve, sweep.allowance).value

    def censored(layer: int, seed: int) -> float:
        curve = sweep.curve(sweep.norm_loss, sweep.accuracy_change, layer, cut, seed)
        return float(crossing(curve, sweep.allowance).censored)

    values, ended = tabulate(sweep, critical), tabulate(sweep, censored) > 0
    _draw_table(right, x, values, CUT_COLOURS[CUT])
    depth = np.broadcast_to(x, values.shape)
    right.plot(depth[ended], values[ended], "^", color=CUT_COLOURS[CUT], ms=4)
    right.set_ylim(0, None)
    right.set_ylabel("critical norm loss")
    panel_title(
        right,
        f"where {_points(sweep)} of accuracy {'is' if sweep.allowance == 0.01 else 'are'} lost",
    )
    for axes in panels.axes:
        axes.set_xlabel("relative depth (0: first layer)")
    return panels.figure


def _draw_table(axes: Axes, x: Floats, table: Floats, colour: str) -> None:
    chosen = np.isfinite(table).any(axis=0)
    complete = table[np.isfinite(table[:, chosen]).all(axis=1)][:, chosen]
    for row in table:
        axes.plot(x[chosen], row[chosen], color=colour, lw=0.6, alpha=0.35)
    if len(complete):
        mean, low, high = spread(complete)
        axes.plot(x[chosen], mean, color=colour, lw=2.2, marker="o", ms=3.5)
        if np.isfinite(low).all():
            axes.fill_between(x[chosen], low, high, color=colour, alpha=0.18, lw=0)
