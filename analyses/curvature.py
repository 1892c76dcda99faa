"""Is the loss flatter along a truncation than along the layer's average direction?

Primary statistic: the contrast (a - c) / (|a| + |c|) of the curvature c = d'Hd / d'd along the
truncation d = K_r - K with the layer's average curvature a = trace / number of weights. Averaged,
for each network, over the distinct truncations along OUT with norm loss up to 0.5, then over the
layers. It lies in [-1, 1]; positive means flatter than average; where both curvatures are positive
it is -tanh(ln(c / a) / 2), the log-ratio in bounded form. A ratio or its logarithm was not chosen
because curvature can be negative. Both curvatures scale alike with the norm of the layer's kernel,
so the contrast is the same in relative coordinates (kernel in units of its norm).

Robustness, by another method: the rank of the truncation among random directions of the layer
(share of random directions that are more curved, minus one half).
"""

from typing import Final

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from analyses.curves import (
    LARGEST_NORM_LOSS,
    Curve,
    Floats,
    NotMeasuredError,
    Sweep,
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
    mean_curve,
    panel_title,
    plain_ticks,
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
    plain,
    sureness,
    undetectable,
)
from analyses.statistics import sign_flip_test

TITLE: Final = "Along flat directions?"
CUT: Final = "OUT"

FLATTER: Final = Claim(
    key="curvature",
    title="Curvature",
    question="Is the loss flatter along a truncation than along the layer's average direction?",
    claim="The training loss curves less along truncations along OUT than along the layer's "
    "average direction.",
    null="The contrast of the two curvatures is symmetric about zero over networks.",
    statistic="(a − c)/(|a| + |c|), with c the curvature along the truncation and a the layer's "
    "mean curvature, averaged over truncations with norm loss up to 0.5 and over layers",
    unit="1",
)


def analyse(dataset: xr.Dataset) -> tuple[Answer, ...]:
    """The one answer."""
    sweep = Sweep(dataset)
    try:
        return (_flatter(sweep),)
    except NotMeasuredError as reason:
        return (not_measured(FLATTER, reason),)


def average_curvature(sweep: Sweep) -> Floats:
    """Mean curvature of each layer's weights, trace / number of weights, nat, (layer, seed)."""
    trace = sweep.values("hessian_layer_trace", "layer", "seed")
    return trace / sweep.values("parameters", "layer")[:, None]


def truncation_curvatures(sweep: Sweep, layer: int, seed: int) -> Curve:
    """Curvature along the distinct truncations along OUT against norm loss, nat."""
    curvature = sweep.values("directional_curvature", "layer", "mode", "threshold", "seed")
    return sweep.curve(sweep.norm_loss, curvature, layer, sweep.mode_index(CUT), seed)


def _within(curve: Curve) -> Floats:
    return curve.y[(curve.x > 0) & (curve.x <= LARGEST_NORM_LOSS)]


def contrasts(sweep: Sweep) -> Floats:
    """The contrast of each network and layer, (seed, layer); missing where not measured."""
    average = average_curvature(sweep)

    def cell(layer: int, seed: int) -> float:
        c, a = _within(truncation_curvatures(sweep, layer, seed)), average[layer, seed]
        total = np.abs(a) + np.abs(c)
        if c.size == 0 or not np.isfinite(a) or np.any(total == 0):
            return float("nan")
        return float(np.mean((a - c) / total))

    return tabulate(sweep, cell)


def random_ranks(sweep: Sweep) -> Floats:
    """Share of random directions more curved than the truncation, less one half, (seed, layer)."""
    random = sweep.values("random_directional_curvature", "layer", "direction", "seed")

    def cell(layer: int, seed: int) -> float:
        c, others = _within(truncation_curvatures(sweep, layer, seed)), random[layer, :, seed]
        others = others[np.isfinite(others)]
        if c.size == 0 or others.size == 0:
            return float("nan")
        return float(np.mean(others[:, None] > c) - 0.5)

    return tabulate(sweep, cell)


def _ratios(sweep: Sweep) -> Floats:
    average = average_curvature(sweep)

    def cell(layer: int, seed: int) -> float:
        c = _within(truncation_curvatures(sweep, layer, seed))
        return float(np.median(c) / average[layer, seed]) if c.size else float("nan")

    return tabulate(sweep, cell)


def _flatter(sweep: Sweep) -> Answer:
    table = contrasts(sweep)
    if not np.isfinite(table).any():
        raise NotMeasuredError("curvature along truncations has not been measured")
    chosen = sample(sweep, table)
    ranks = sample(sweep, np.where(np.isfinite(table), random_ranks(sweep), np.nan))
    check = Robustness(
        "share of random directions in the layer's weights that are more curved than the "
        "truncation, minus one half",
        float(ranks.values.mean()),
        "share of directions",
        sign_flip_test(ranks.values, rng=np.random.default_rng(0)),
    )
    found = findings(FLATTER, {CUT: chosen}, {CUT: check})
    ratios = _ratios(sweep)
    ratio = float(np.nanmedian(ratios))
    error = sweep.values("hessian_layer_trace_standard_error", "layer", "seed")
    trace = sweep.values("hessian_layer_trace", "layer", "seed")
    measured = np.isfinite(trace)
    unsure = int(np.count_nonzero(np.abs(trace[measured]) < 2 * error[measured]))
    negative = int(np.count_nonzero(ratios < 0))
    steep = in_words(
        found[0],
        "The loss is flatter along truncations than along the layer's average direction",
        "The loss is steeper along truncations than along the layer's "
        "average direction, not flatter",
        "Whether truncations are flatter than the layer's average direction stays open",
    )
    top = sweep.values("hessian_layer_eigenvalue", "layer", "seed")
    largest = float(
        np.nanmedian(ratios * average_curvature(sweep).T / top.T)
        if np.isfinite(top).any()
        else np.nan
    )
    beside = (
        ""
        if np.isnan(largest)
        else (f", and {plain(100 * largest)} % of the layer's top Hessian eigenvalue")
    )
    return Answer(
        claim=FLATTER,
        verdict=found[0].verdict,
        found=f"{steep}: the median curvature along OUT truncations with norm loss up to "
        f"{LARGEST_NORM_LOSS} is {plain(ratio)} times the layer's average{beside}.",
        sure=f"{sureness(found)} {plain(100 * (0.5 + check.estimate))} % of random directions are "
        "more curved than the truncation.",
        unseen=(
            undetectable(found),
            "Curvature is local: it describes small steps from the trained weights, while "
            "truncations are long ones; and it is taken in evaluation mode on a fixed set of "
            "training images.",
            f"The average curvature is estimated from random directions; in {unsure} of "
            f"{int(measured.sum())} layers and networks it is within two standard errors of zero."
            + (
                f" In {negative} the median curvature along truncations has the other sign."
                if negative
                else ""
            ),
            *found[0].caveats,
        ),
        findings=found,
    )


def plots(dataset: xr.Dataset, answers: tuple[Answer, ...]) -> tuple[Plot, ...]:
    """Curvature along truncations against norm loss, beside the average and the top eigenvalue."""
    sweep = Sweep(dataset)
    shown = few(sweep.measured_layers)
    n = len(sweep.seeds)
    what = f"{averaged(sweep)}, band: 95 % t-interval" if n > 1 else "one network"
    return (
        Plot(
            "curvature",
            "Curvature along truncations, by layer",
            "Curvature of the training loss in relative coordinates (times the squared norm of the "
            f"kernel). Blue: along the truncation along OUT, against its norm loss ({what}). Grey "
            "line and band: along random directions, the layer's average (mean over networks; from "
            "the 5th to the 95th percentile of all directions). Dashed: the layer's top Hessian "
            "eigenvalue. The vertical axis is logarithmic, and linear close to zero where a "
            "curvature is negative."
            f"{selection(shown, sweep)}",
            lambda narrow: _draw(sweep, shown, narrow),
            "curvature",
        ),
    )


def _draw(sweep: Sweep, shown: list[int], narrow: bool) -> Figure:
    panels = grid(len(shown), narrow=narrow, left=0.68)
    norms = sweep.values("kernel_norm", "weights", "layer", "seed")[0] ** 2
    random = sweep.values("random_directional_curvature", "layer", "direction", "seed")
    random = random * norms[:, None]
    top = sweep.values("hessian_layer_eigenvalue", "layer", "seed") * norms
    scale = np.nanmedian(np.abs(random[np.isfinite(random)])) if np.isfinite(random).any() else 1
    for axes, layer in zip(panels.axes, shown, strict=True):
        panel_title(axes, shorten(sweep.layers[layer], 16 if narrow else 22))
        here = random[layer][np.isfinite(random[layer])]
        if here.size:
            axes.axhspan(*np.percentile(here, [5, 95]), color=QUIET, alpha=0.22, lw=0)
            axes.axhline(here.mean(), color=QUIET, lw=1.4)
        if np.isfinite(top[layer]).any():
            axes.axhline(np.nanmean(top[layer]), color=QUIET, lw=1.2, ls="--")
        curves = [truncation_curvatures(sweep, layer, s) for s in range(len(sweep.seeds))]
        curves = [Curve(c.x, c.y * norms[layer, s]) for s, c in enumerate(curves) if len(c)]
        band(axes, mean_curve(curves, 0.0, 1.0), color=CUT_COLOURS[CUT], lw=2.1)
        axes.axvline(LARGEST_NORM_LOSS, color=QUIET, lw=0.8, alpha=0.7)
    axes = panels.axes[0]
    if any(np.nanmin(line.get_ydata()) <= 0 for a in panels.axes for line in a.lines[:-1]):
        axes.set_yscale("symlog", linthresh=max(float(scale), 1e-12))
    else:
        axes.set_yscale("log")
    plain_ticks(axes.yaxis)
    axes.set_xlim(0, 0.92)
    axes.set_xticks([0, 0.25, 0.5, 0.75], ["0", ".25", ".5", ".75"])
    panels.label("norm loss", "relative curvature (nat)")
    return panels.figure
