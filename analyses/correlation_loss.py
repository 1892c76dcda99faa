"""Does the correlation loss tell the loss of accuracy better than the norm loss does?

Exploratory, beside the four questions. Statistic: for each network, over all its distinct
truncations with norm loss up to 0.5 (all layers and cuts together; along one cut of one layer both
losses order the truncations alike), the rank correlation of the accuracy lost (log-odds) with the
correlation loss, minus that with the norm loss. Robustness: test loss in place of accuracy.
"""

from typing import Final

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from analyses.curves import LARGEST_NORM_LOSS, Floats, NotMeasuredError, Sample, Sweep
from analyses.figures import CUT_COLOURS, QUIET, Plot, averaged, grid, key, panel_title
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
from analyses.statistics import rank_correlation, sign_flip_test

TITLE: Final = "Correlation loss or norm loss?"
TELLS: Final = Claim(
    key="correlation",
    title="Correlation loss",
    question="Does correlation loss tell the loss of accuracy better than norm loss?",
    claim="The rank correlation of accuracy lost with correlation loss exceeds that with norm "
    "loss.",
    null="The difference of the two rank correlations is symmetric about zero over networks.",
    statistic="rank correlation of lost log-odds with correlation loss, minus with norm loss, over "
    "all distinct truncations with norm loss above 0 and up to 0.5",
    unit="1",
    exploratory=True,
)


def analyse(dataset: xr.Dataset) -> tuple[Answer, ...]:
    """The one answer."""
    sweep = Sweep(dataset)
    try:
        return (_tells(sweep),)
    except NotMeasuredError as reason:
        return (not_measured(TELLS, reason),)


def distinct_truncations(sweep: Sweep, seed: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Norm loss, correlation loss, lost log-odds and added test loss, one entry per truncation.

    The full-rank control and repeated ranks are left out.
    """
    rank = sweep.values("rank", "layer", "mode", "threshold", "seed")[..., seed]
    repeated = np.zeros(rank.shape, dtype=bool)
    repeated[..., 1:] = rank[..., 1:] == rank[..., :-1]
    arrays = [
        a[..., seed]
        for a in (sweep.norm_loss, sweep.correlation_loss, -sweep.logit_change, sweep.loss_change)
    ]
    present = np.isfinite(arrays[0]) & np.isfinite(arrays[1]) & np.isfinite(arrays[2])
    chosen = present & ~repeated & (arrays[0] > 0) & (arrays[0] <= LARGEST_NORM_LOSS)
    norm, correlation, lost, loss = (a[chosen] for a in arrays)
    return norm, correlation, lost, loss


def _tells(sweep: Sweep) -> Answer:
    rows, seeds = [], []
    for s, seed in enumerate(sweep.seeds):
        norm, correlation, lost, loss = distinct_truncations(sweep, s)
        row = [rank_correlation(x, y) for y in (lost, loss) for x in (correlation, norm)]
        if norm.size > 2 and np.isfinite(row[:2]).all():
            rows.append(row)
            seeds.append(seed)
    if not rows:
        raise NotMeasuredError("no network has three truncations with norm loss up to 0.5")
    table = np.array(rows)
    difference = table[:, 0] - table[:, 1]
    by_loss = table[:, 2] - table[:, 3]
    label = "correlation loss − norm loss"
    check = None
    if np.isfinite(by_loss).all():
        check = Robustness(
            "test loss (cross-entropy) in place of accuracy",
            float(by_loss.mean()),
            "1",
            sign_flip_test(by_loss, rng=np.random.default_rng(0)),
        )
    chosen = Sample(difference, tuple(seeds), sweep.layers, table[:, :2], ())
    found = findings(TELLS, {label: chosen}, {label: check} if check else {})
    result = in_words(
        found[0],
        "Correlation loss orders truncations by their cost better than norm loss does",
        "Norm loss orders truncations by their cost better than correlation loss does",
        "Correlation loss and norm loss order truncations by their cost about "
        "as well; which is better stays open",
    )
    return Answer(
        claim=TELLS,
        verdict=found[0].verdict,
        found=f"{result}: rank correlation with the accuracy lost {plain(table[:, 0].mean())} "
        f"against {plain(table[:, 1].mean())}.",
        sure=sureness(found),
        unseen=(
            undetectable(found),
            "Truncations of different layers and cuts are pooled as they lie on the grid of "
            "thresholds; another grid would weigh them differently.",
        ),
        findings=found,
    )


def plots(dataset: xr.Dataset, answers: tuple[Answer, ...]) -> tuple[Plot, ...]:
    """Accuracy lost against correlation loss and against norm loss."""
    sweep = Sweep(dataset)
    return (
        Plot(
            "correlation-loss",
            "Accuracy lost against correlation loss and against norm loss",
            f"Each dot is one layer, cut and threshold ({averaged(sweep)}), in the colour of its "
            "cut: change of test accuracy in points, against the share of entanglement entropy "
            "lost (first) and against the share of norm lost (second).",
            lambda narrow: _draw(sweep, narrow),
            "correlation",
        ),
    )


def _draw(sweep: Sweep, narrow: bool) -> Figure:
    panels = grid(
        2, narrow=narrow, columns=(2, 1), height=2.3, legend_rows=2 if narrow else 1, share=False
    )
    for axes, x, name in zip(
        panels.axes,
        (sweep.correlation_loss, sweep.norm_loss),
        ("correlation loss", "norm loss"),
        strict=True,
    ):
        panel_title(axes, f"against {name}")
        axes.axhline(0, color=QUIET, lw=0.8, ls=":")
        for j, mode in enumerate(sweep.modes):
            present = np.isfinite(x[:, j]) & np.isfinite(sweep.accuracy_change[:, j])
            count = np.maximum(present.sum(axis=-1), 1)
            mean_x = np.where(present, x[:, j], 0).sum(axis=-1) / count
            mean_y = np.where(present, sweep.accuracy_change[:, j], 0).sum(axis=-1) / count
            shown = present.any(axis=-1) & (mean_x > 0)
            axes.plot(
                mean_x[shown],
                100 * mean_y[shown],
                "o",
                ms=3.2,
                alpha=0.75,
                mew=0,
                color=CUT_COLOURS[mode],
                clip_on=False,
            )
        axes.set_xlabel(name)
        axes.set_xlim(0, 1)
        axes.set_ylabel("change of accuracy (points)")
    entries = [
        (mode, {"color": CUT_COLOURS[mode], "marker": "o", "ls": "", "ms": 4, "mew": 0})
        for mode in sweep.modes
    ]
    key(panels, entries, columns=4 if narrow else 7)
    return panels.figure
