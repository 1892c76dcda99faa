"""Are the two-mode cuts better than the single-mode cuts?

Exploratory, beside the four questions. Statistic: for each network the mean over layers of the
difference in log-odds of a correct answer, two-mode minus single-mode cuts: the mean over all pairs
of a distinct two-mode and a distinct single-mode cut of the layer. Two comparisons, Holm over them:
over norm losses up to 0.5, and over the logarithm of the compression ratio from 1. Robustness: the
test loss in place of accuracy.
"""

from typing import Any, Final

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from analyses.curves import (
    LARGEST_NORM_LOSS,
    Curve,
    Floats,
    NotMeasuredError,
    Sweep,
    mean_difference,
    sample,
    tabulate,
)
from analyses.figures import (
    QUIET,
    Plot,
    averaged,
    cut_style,
    grid,
    key,
    mean_curve,
    panel_title,
    spread,
)
from analyses.findings import (
    Answer,
    Claim,
    Robustness,
    Verdict,
    findings,
    in_words,
    not_measured,
    odds,
    sureness,
    undetectable,
)
from analyses.statistics import sign_flip_test

TITLE: Final = "One mode or two?"
SINGLE: Final = ("OUT", "IN", "KH", "KW")
DOUBLE: Final = ("OUT,IN", "OUT,KH", "OUT,KW")
_HIGHEST_LOG2_RATIO: Final = 64.0

BETTER: Final = Claim(
    key="two-mode",
    title="Two-mode cuts",
    question="Are two-mode cuts better than single-mode cuts?",
    claim="Truncating along a two-mode cut loses less accuracy than along a single-mode cut.",
    null="The difference between the two kinds of cut is symmetric about zero over networks.",
    statistic="difference in log-odds of a correct answer, two-mode minus single-mode cuts, "
    "averaged over pairs of cuts and over layers",
    unit="logit",
    exploratory=True,
)


def analyse(dataset: xr.Dataset) -> tuple[Answer, ...]:
    """The one answer."""
    sweep = Sweep(dataset)
    try:
        return (_better(sweep),)
    except NotMeasuredError as reason:
        return (not_measured(BETTER, reason),)


def pair_differences(sweep: Sweep, x: Floats, y: Floats, high: float) -> Floats:
    """Mean over the pairs of a two-mode and a single-mode cut, (seed, layer)."""

    def cell(layer: int, seed: int) -> float:
        def curves(labels: tuple[str, ...]) -> list[Curve]:
            chosen = [j for j, mode in enumerate(sweep.modes) if mode in labels]
            return [sweep.curve(x, y, layer, j, seed) for j in chosen if sweep.distinct[layer, j]]

        pairs = [
            mean_difference(double, single, 0.0, high)
            for double in curves(DOUBLE)
            for single in curves(SINGLE)
        ]
        return float(np.mean(pairs)) if pairs else float("nan")

    return tabulate(sweep, cell)


def _better(sweep: Sweep) -> Answer:
    samples, checks = {}, {}
    for label, x, high in (
        ("at equal norm loss", sweep.norm_loss, LARGEST_NORM_LOSS),
        ("at equal parameters", sweep.log2_ratio, _HIGHEST_LOG2_RATIO),
    ):
        table = pair_differences(sweep, x, sweep.logit_change, high)
        if not np.isfinite(table).any():
            continue
        samples[label] = sample(sweep, table)
        losses = -pair_differences(sweep, x, sweep.loss_change, high)
        losses = np.where(np.isfinite(table), losses, np.nan)
        if np.isfinite(losses).any():
            other = sample(sweep, losses)
            checks[label] = Robustness(
                "test loss (cross-entropy) in place of accuracy, single-mode minus two-mode",
                float(other.values.mean()),
                "nat",
                sign_flip_test(other.values, rng=np.random.default_rng(0)),
            )
    if not samples:
        raise NotMeasuredError("no layer has both single-mode and two-mode cuts that differ")
    found = findings(BETTER, samples, checks)
    verdicts = [f.verdict for f in found]
    text = "; ".join(
        in_words(
            f,
            f"{f.comparison}, two-mode cuts keep more accuracy than single-mode cuts",
            f"{f.comparison}, two-mode cuts keep less accuracy than single-mode cuts",
            f"{f.comparison}, two-mode cuts could not be told from single-mode cuts",
            first=f is found[0],
        )
        + f" (odds of a correct answer {odds(f.estimate)})"
        for f in found
    )
    layers = len(next(iter(samples.values())).layers)
    return Answer(
        claim=BETTER,
        verdict=verdicts[0] if len(set(verdicts)) == 1 else Verdict.UNDECIDED,
        found=f"{text[0].upper()}{text[1:]}.",
        sure=sureness(found),
        unseen=(
            undetectable(found),
            "This averages over cuts that differ much among themselves, in "
            + (
                "all layers."
                if layers == len(sweep.layers)
                else f"{layers} of {len(sweep.layers)} layers (the others have no two-mode cut of "
                "their own, or are not measured)."
            ),
            *dict.fromkeys(text for f in found for text in f.caveats),
        ),
        findings=found,
    )


def plots(dataset: xr.Dataset, answers: tuple[Answer, ...]) -> tuple[Plot, ...]:
    """Every cut, averaged over the layers that have all of them."""
    sweep = Sweep(dataset)
    n = len(sweep.seeds)
    what = f"Lines: {averaged(sweep)}; bands: 95 % t-interval" if n > 1 else "One network"
    return (
        Plot(
            "two-mode-cuts",
            "Single-mode and two-mode cuts, over the layers that have all cuts",
            "Change of log-odds of a correct answer, averaged over the layers that have all seven "
            f"cuts, against norm loss (first) and compression ratio (second). {what}. Thin: "
            "single-mode cuts; thick: two-mode cuts. A line ends where the first of its layers has "
            "no further truncation.",
            lambda narrow: _draw(sweep, narrow),
            "two-mode",
        ),
    )


def _draw(sweep: Sweep, narrow: bool) -> Figure:
    panels = grid(
        2, narrow=narrow, columns=(2, 1), height=2.3, legend_rows=2 if narrow else 1, share=False
    )
    layers = [i for i in sweep.measured_layers if sweep.distinct[i].all()]

    def style(mode: str) -> dict[str, Any]:
        return {**cut_style(mode), "linewidth": 2.4 if mode in DOUBLE else 1.1}

    for axes, x, low, high, name in zip(
        panels.axes,
        (sweep.norm_loss, sweep.log2_ratio),
        (0.0, 0.0),
        (LARGEST_NORM_LOSS, 8.0),
        ("norm loss", "compression ratio"),
        strict=True,
    ):
        panel_title(axes, f"at equal {'norm loss' if x is sweep.norm_loss else 'parameters'}")
        axes.axhline(0, color=QUIET, lw=0.8, ls=":")
        for j, mode in enumerate(sweep.modes):
            curve = _over_layers(sweep, x, j, layers, low, high)
            if curve is None:
                continue
            mean, bottom, top = spread(curve.y)
            axes.plot(curve.x, mean, **style(mode))
            if np.isfinite(bottom).all():
                axes.fill_between(
                    curve.x, bottom, top, color=cut_style(mode)["color"], alpha=0.14, lw=0
                )
        axes.set_xlabel(name)
        axes.set_ylabel("change in log-odds")
    ticks = [t for t in range(9) if t <= panels.axes[1].get_xlim()[1]]
    panels.axes[1].set_xticks(ticks, [f"{2**t}" for t in ticks])
    key(panels, [(mode, style(mode)) for mode in sweep.modes], columns=4 if narrow else 7)
    return panels.figure


def _over_layers(
    sweep: Sweep, x: Floats, j: int, layers: list[int], low: float, high: float
) -> Curve | None:
    """Mean over layers of each network's curve on one grid, y (networks, points)."""
    networks = [
        [sweep.curve(x, sweep.logit_change, i, j, seed) for i in layers]
        for seed in range(len(sweep.seeds))
    ]
    complete = [curves for curves in networks if all(len(curve) for curve in curves)]
    if not complete or not layers:
        return None
    joined = mean_curve([k for c in complete for k in c], low, high)
    if joined is None:
        return None
    return Curve(joined.x, joined.y.reshape(len(complete), len(layers), -1).mean(axis=1))
