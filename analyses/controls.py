"""What do trained kernels owe to training, to their correlations, and to chance?

Primary statistic, less entangled: for each network the entanglement entropy as a share of its
maximum (ln of the number of Schmidt values), control minus trained, averaged over the cuts of a
layer and over layers. Two comparisons, Holm over them: with the initial weights (does it come from
training?) and with the shuffled trained weights (from correlations, or from the distribution of the
weights?). Robustness: ranks in place of entropies, at the norm loss 0.3.

Calibration: initial weights must be as entangled as random matrices. An equivalence claim: the mean
deviation from the Gaussian null lies within a margin of 0.01 of the maximum.
"""

from typing import Any, Final

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analyses.curves import Floats, NotMeasuredError, Sweep, sample
from analyses.figures import (
    QUIET,
    WEIGHT_COLOURS,
    Plot,
    averaged,
    few,
    grid,
    key,
    panel_title,
    plain_ticks,
    selection,
    shorten,
    spread,
)
from analyses.findings import (
    Answer,
    Claim,
    Robustness,
    Verdict,
    equivalence,
    findings,
    in_words,
    not_measured,
    number,
    plain,
    sureness,
    undetectable,
)
from analyses.spectra import (
    INITIAL,
    SHUFFLED,
    TRAINED,
    normalised_entropy,
    null_entropy,
    probabilities,
    ranks_at,
    schmidt_values,
)
from analyses.statistics import ALPHA, benjamini_yekutieli, sign_flip_test
from compressibility.tensors.nulls import gaussian_schmidt_values

TITLE: Final = "Compared with what?"
CUT: Final = "OUT"
RANK_THRESHOLD: Final = 0.3
MARGIN: Final = 0.01
NULL_DRAWS: Final = 20

LESS_ENTANGLED: Final = Claim(
    key="controls",
    title="Training and correlations",
    question="Are trained kernels more compressible than untrained and than shuffled ones?",
    claim="Trained kernels have a lower entanglement entropy than their initial weights and than "
    "their own shuffled weights.",
    null="The difference of the entropies is symmetric about zero over networks.",
    statistic="entanglement entropy over its maximum, control minus trained, averaged over the "
    "cuts and layers",
    unit="of the maximum",
)
CALIBRATED: Final = Claim(
    key="null",
    title="Before training",
    question="Are kernels before training as entangled as random matrices?",
    claim="Before training, entanglement entropies are those of Gaussian random matrices, within "
    "1 % of the maximum.",
    null=f"The mean deviation from the Gaussian null is at least {MARGIN} of the maximum.",
    statistic="entanglement entropy over its maximum, initial weights minus Gaussian null, "
    "averaged over the cuts and layers",
    unit="of the maximum",
)


def analyse(dataset: xr.Dataset) -> tuple[Answer, ...]:
    """The two answers: less entangled, calibrated."""
    sweep = Sweep(dataset)
    answers = []
    for claim, answer in ((LESS_ENTANGLED, _less_entangled), (CALIBRATED, _calibrated)):
        try:
            answers.append(answer(sweep))
        except NotMeasuredError as reason:
            answers.append(not_measured(claim, reason))
    return tuple(answers)


def _by_layer(differences: Floats) -> Floats:
    """Mean over the cuts of a layer of (layer, mode, seed), as (seed, layer).

    A layer counts only where all of its existing cuts are measured in the network.
    """
    measured = np.isfinite(differences)
    exists = np.any(measured, axis=2)
    complete = np.all(measured | ~exists[:, :, None], axis=1)
    total = np.nansum(differences, axis=1) / np.maximum(exists.sum(axis=1), 1)[:, None]
    return np.where(complete & np.any(exists, axis=1)[:, None], total, np.nan).T


def _less_entangled(sweep: Sweep) -> Answer:
    values = schmidt_values(sweep)
    entropy = normalised_entropy(values)
    log_rank = np.log2(ranks_at(values, RANK_THRESHOLD))
    samples, checks, names = {}, {}, []
    for control, name in ((INITIAL, "initial"), (SHUFFLED, "shuffled")):
        difference = _by_layer(entropy[control] - entropy[TRAINED])
        if not np.isfinite(difference).any():
            continue
        label = f"{name} − trained"
        samples[label] = sample(sweep, difference)
        ranks = sample(sweep, _by_layer(log_rank[control] - log_rank[TRAINED]))
        checks[label] = Robustness(
            f"log2 of the rank at norm loss {RANK_THRESHOLD}, control minus trained",
            float(ranks.values.mean()),
            "log2",
            sign_flip_test(ranks.values, rng=np.random.default_rng(0)),
            f"the control needs {plain(2 ** ranks.values.mean())} times the rank",
        )
        names.append(name)
    if not samples:
        raise NotMeasuredError("spectra of trained weights and of a control are not both measured")
    found = findings(LESS_ENTANGLED, samples, checks)
    verdicts = {f.verdict for f in found}
    verdict = Verdict.UNDECIDED
    if Verdict.CONTRADICTED in verdicts:
        verdict = Verdict.CONTRADICTED
    elif verdicts == {Verdict.SUPPORTED} and len(found) == 2:
        verdict = Verdict.SUPPORTED
    comparisons = ". ".join(
        in_words(
            f,
            f"Trained kernels are less entangled than their {name} weights",
            f"Trained kernels are more entangled than their {name} weights",
            f"Trained kernels could not be told from their {name} weights",
            first=f is found[0],
        )
        + f" (difference {number(100 * f.estimate)} % of the maximum; at norm loss "
        f"{RANK_THRESHOLD} {checks[f.comparison].note})"
        for f, name in zip(found, names, strict=True)
    )
    missing = "" if len(found) == 2 else " Only one of the two controls is measured."
    return Answer(
        claim=LESS_ENTANGLED,
        verdict=verdict,
        found=f"{comparisons}.{missing}",
        sure=sureness(found),
        unseen=(
            undetectable(found),
            "Entropies describe the weights alone; whether the network needs what a low-entropy "
            "kernel keeps is the matter of the truncations. One shuffle and one initialisation per "
            "network.",
            *dict.fromkeys(text for f in found for text in f.caveats),
        ),
        findings=found,
    )


def _calibrated(sweep: Sweep) -> Answer:
    deviation = normalised_entropy(schmidt_values(sweep)[INITIAL]) - null_entropy(sweep)[:, :, None]
    table = _by_layer(deviation)
    if not np.isfinite(table).any():
        raise NotMeasuredError("spectra of the initial weights are not measured")
    found = equivalence(CALIBRATED, "initial − null", sample(sweep, table), MARGIN)
    result = in_words(
        found,
        "Before training, kernels are as entangled as random matrices",
        "Before training, kernels are not as entangled as random matrices",
        "Whether kernels before training are as entangled as random matrices stays open",
    )
    return Answer(
        claim=CALIBRATED,
        verdict=found.verdict,
        found=f"{result}: the deviation is {number(100 * found.estimate)} % of the maximum, on "
        f"average (margin ±{100 * MARGIN:g} %).",
        sure=sureness((found,)),
        unseen=(
            "A deviation inside the margin, and deviations of single layers or cuts that cancel. "
            "The null's mean entropy is an expansion to second order.",
            *found.caveats,
        ),
        findings=(found,),
    )


def entropy_map(sweep: Sweep) -> tuple[Floats, NDArray[np.bool_]]:
    """Entropy, initial minus trained, and where that is not zero, both (layer, mode).

    Sign-flip tests over networks, Benjamini-Yekutieli over the map.
    """
    entropy = normalised_entropy(schmidt_values(sweep))
    difference = entropy[INITIAL] - entropy[TRAINED]
    shape = difference.shape[:2]
    mean, p = np.full(shape, np.nan), np.full(shape, np.nan)
    for cell in np.ndindex(shape):
        here = difference[cell][np.isfinite(difference[cell])]
        if here.size:
            mean[cell] = here.mean()
            p[cell] = sign_flip_test(here, rng=np.random.default_rng(0))
    return mean, benjamini_yekutieli(p) <= ALPHA


def plots(dataset: xr.Dataset, answers: tuple[Answer, ...]) -> tuple[Plot, ...]:
    """Entropies, spectra, and the map of cuts and layers."""
    sweep = Sweep(dataset)
    n = len(sweep.seeds)
    shown = few(sweep.measured_layers)
    what = f"{averaged(sweep)}, band: 95 % t-interval over networks" if n > 1 else "one network"
    significant = (
        "Dots: not zero, at a false-discovery rate of 5 % over the whole map (Benjamini-Yekutieli)."
        if n > 1
        else ""
    )
    return (
        Plot(
            "entropy",
            "Entanglement entropy against depth, by cut",
            f"Entanglement entropy over its maximum ({what}), for trained, initial and shuffled "
            "weights. Dotted grey: the mean for Gaussian random matrices of the same size. "
            "Layers in which the cut does not exist, or is another cut, are passed over.",
            lambda narrow: _draw_entropies(sweep, narrow),
            "controls",
        ),
        Plot(
            "spectra",
            "Schmidt spectra along OUT, by layer",
            f"Schmidt values in units of the kernel's norm, against their index over their number "
            f"({what}). Grey band: Gaussian random matrices of the same size, 5th to 95th "
            f"percentile of {NULL_DRAWS} draws.{selection(shown, sweep)}",
            lambda narrow: _draw_spectra(sweep, shown, narrow),
            "controls",
        ),
        Plot(
            "entropy-map",
            "What training takes away, by layer and cut",
            "Entanglement entropy over its maximum, initial minus trained weights, in % (mean over "
            f"{n} network{'s' if n > 1 else ''}); dark: more structure after training. Empty: the "
            f"cut does not exist or is another cut, or is not measured. {significant}",
            lambda narrow: _draw_map(sweep, narrow),
            "controls",
        ),
    )


def _draw_entropies(sweep: Sweep, narrow: bool) -> Figure:
    entropy, null = normalised_entropy(schmidt_values(sweep)), null_entropy(sweep)
    present = [j for j in range(len(sweep.modes)) if np.isfinite(null[:, j]).any()]
    panels = grid(max(len(present), 1), narrow=narrow, legend_rows=2 if narrow else 1, height=1.45)
    x = np.arange(1, len(sweep.layers) + 1)
    for axes, j in zip(panels.axes, present, strict=False):
        panel_title(axes, f"cut {sweep.modes[j]}")
        there = np.isfinite(null[:, j])
        axes.plot(x[there], null[there, j], color=QUIET, ls=":", lw=2, zorder=5)
        for w, (_, colour) in enumerate(WEIGHT_COLOURS.items()):
            values = entropy[w][:, j].T
            measured = np.isfinite(values).any(axis=0)
            complete = values[np.isfinite(values[:, measured]).all(axis=1)][:, measured]
            if not len(complete):
                continue
            mean, low, high = spread(complete)
            dots = {"marker": "o", "ms": 3} if measured.sum() <= 20 else {}
            style: dict[str, Any] = {"color": colour, "zorder": 4 if w == TRAINED else 3, **dots}
            axes.plot(x[measured], mean, **style)
            axes.fill_between(x[measured], low, np.minimum(high, 1), color=colour, alpha=0.2, lw=0)
    if len(x) <= 12:
        panels.axes[0].set_xticks(x)
    panels.label("layer", "entropy / maximum")
    entries: list[tuple[str, dict[str, Any]]] = [
        (name, {"color": colour}) for name, colour in WEIGHT_COLOURS.items()
    ]
    entries.append(("random matrix", {"color": QUIET, "ls": ":", "lw": 2}))
    key(panels, entries, columns=2 if narrow else 4)
    return panels.figure


def _draw_spectra(sweep: Sweep, shown: list[int], narrow: bool) -> Figure:
    values = np.sqrt(probabilities(schmidt_values(sweep)))
    panels = grid(len(shown), narrow=narrow, legend_rows=2 if narrow else 1)
    j = sweep.mode_index(CUT)
    rng = np.random.default_rng(0)
    lowest = 1.0
    for axes, layer in zip(panels.axes, shown, strict=True):
        panel_title(axes, shorten(sweep.layers[layer], 16 if narrow else 22))
        m, n = sweep.matrix_shape(layer, CUT)
        count = min(m, n)
        x = np.arange(1, count + 1) / count
        draws = np.stack([gaussian_schmidt_values(m, n, rng) for _ in range(NULL_DRAWS)])
        draws /= np.linalg.norm(draws, axis=1, keepdims=True)
        axes.fill_between(
            x, *np.percentile(draws, [5, 95], axis=0), color=QUIET, alpha=0.45, lw=0, zorder=5
        )
        for w, (_, colour) in enumerate(WEIGHT_COLOURS.items()):
            here = values[w, layer, j, :, :count]
            here = here[np.isfinite(here).all(axis=1)]
            if not len(here):
                continue
            mean, low, high = spread(here)
            lowest = min(lowest, float(mean[: max(1, int(0.98 * count))].min()))
            axes.plot(x, mean, color=colour, zorder=4 if w == TRAINED else 3)
            axes.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)
    panels.axes[0].set_yscale("log")
    plain_ticks(panels.axes[0].yaxis)
    panels.axes[0].set_ylim(max(lowest * 0.7, 1e-4), 1)
    panels.axes[0].set_xlim(0, 1.02)
    panels.axes[0].set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    panels.label("index / number", "Schmidt value / norm")
    entries: list[tuple[str, dict[str, Any]]] = [
        (name, {"color": colour}) for name, colour in WEIGHT_COLOURS.items()
    ]
    entries.append(("random matrix", {"color": QUIET, "lw": 6, "alpha": 0.45}))
    key(panels, entries, columns=2 if narrow else 4)
    return panels.figure


def _draw_map(sweep: Sweep, narrow: bool) -> Figure:
    rows = sweep.measured_layers
    mean, significant = (table[rows] for table in entropy_map(sweep))
    n_layers = len(rows)
    row = 0.3 if n_layers <= 12 else 0.17
    panels = grid(1, narrow=narrow, height=row * n_layers, left=1.25)
    axes = panels.axes[0]
    limit = float(np.nanmax(np.abs(mean))) if np.isfinite(mean).any() else 1.0
    mesh = axes.pcolormesh(
        100 * np.ma.masked_invalid(mean),
        cmap="RdBu",
        vmin=-100 * limit,
        vmax=100 * limit,
        edgecolors="none",
    )
    for layer, j in np.argwhere(np.isfinite(mean)):
        text = f"{100 * mean[layer, j]:.1f}"
        strong = abs(mean[layer, j]) > 0.55 * limit
        axes.text(
            j + 0.5,
            layer + 0.5,
            text + ("•" if significant[layer, j] else ""),
            ha="center",
            va="center",
            fontsize=7.5 if n_layers <= 12 else 6,
            color="#ffffff" if strong else "#202020",
        )
    mesh.set_rasterized(False)
    axes.grid(False)
    axes.set_ylim(n_layers, 0)
    axes.set_yticks(
        np.arange(n_layers) + 0.5,
        [shorten(sweep.layers[i], 16) for i in rows],
        fontsize=8 if n_layers <= 12 else 6,
    )
    axes.set_xticks(
        np.arange(len(sweep.modes)) + 0.5,
        [mode.replace(",", ",\n") for mode in sweep.modes] if narrow else sweep.modes,
    )
    axes.tick_params(length=0)
    return panels.figure
