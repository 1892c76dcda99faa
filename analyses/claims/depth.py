"""Are deeper layers more compressible?

Primary statistic: for each network the least-squares slope, over layers, of the mean change of the
log-odds of a correct answer when the layer is truncated along OUT (averaged over norm losses up to
0.5, or as far as all layers of the network reach), against relative depth. Positive: deeper layers
lose less.

Robustness, by another method: a mixed model in which layers and networks are crossed random
effects, so that the chance of having met these layers counts too.
"""

from typing import Final

import numpy as np
import xarray as xr

from analyses.comparing import (
    LARGEST_NORM_LOSS,
    NORM_LOSS,
    PRIMARY_CUT,
    common_support,
    curves_along,
    perturbed_curves,
)
from analyses.findings import Claim, Comparison, Evidence, Robustness, Told
from analyses.samples import Floats, Sample, sample, tabulate
from analyses.statistics import crossed_slope, rank_correlation, slope
from analyses.words import in_words, number, plain, sureness, undetectable
from compressibility.store.curves import Curve
from compressibility.store.reading import LayerData, NotMeasuredError

FEWEST_LAYERS: Final = 3
UNIT: Final = "logit from first to last layer"
_LACKING: Final = "truncations along OUT are not measured"


def mean_changes(data: LayerData, *, perturbed: bool = False) -> xr.DataArray:
    """Mean change of the log-odds of each network and layer over norm loss, (seed, layer).

    Every layer of a network is averaged over the same norm losses: from 0 to 0.5, or to where the
    first of its curves ends (the truncations' curves, also for the perturbation), at the points of
    the coarsest of them.

    Raises:
        NotMeasuredError: The dataset has no truncations along OUT, or no perturbations.
    """
    truncated = curves_along(data, NORM_LOSS, data.logit_change, PRIMARY_CUT)
    sources = perturbed_curves(data.perturbed_logit_change) if perturbed else truncated
    knots = {}
    for seed in data.seeds:
        curves = [c for layer in data.layers if len(c := truncated[layer, seed]) > 1]
        support = common_support(curves, 0.0, LARGEST_NORM_LOSS)
        if curves and support is not None:
            inside = [c.x[(c.x >= support[0]) & (c.x <= support[1])] for c in curves]
            knots[seed] = np.unique([*min(inside, key=len), support[1]])

    def cell(layer: str, seed: int) -> float:
        if seed not in knots or len(truncated[layer, seed]) < 2:
            return float("nan")
        return Curve(knots[seed], sources[layer, seed].at(knots[seed])).mean()

    return tabulate(data, cell)


def depths(data: LayerData, found: Sample) -> Floats:
    """Relative depths of the layers of a sample, (layers,)."""
    return data["relative_depth"].sel(layer=found.table["layer"]).values


def slopes(data: LayerData, found: Sample) -> Sample:
    """The slope of each network's table against depth in place of its mean."""
    x = depths(data, found)
    return found.with_values(np.array([slope(x, row) for row in found.table.values]))


def span(data: LayerData, found: Sample) -> tuple[str, ...]:
    """What to say of a slope from layers that are far from the first or the last."""
    x = depths(data, found)
    if x[-1] - x[0] > 0.9:
        return ()
    return (
        f"The layers that it rests on have relative depths {plain(x[0])} to {plain(x[-1])} only; "
        "from the first layer to the last the slope is extrapolated.",
    )


def _slopes(data: LayerData, comparison: Comparison) -> Sample:
    found = sample(mean_changes(data))
    if len(found.layers) < FEWEST_LAYERS:
        raise NotMeasuredError(
            f"a trend with depth needs {FEWEST_LAYERS} layers, and {len(found.layers)} are measured"
        )
    return slopes(data, found)


def _mixed_model(data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    mixed = crossed_slope(depths(data, found), found.table.values)
    note = mixed.reason or (
        f"variance between layers {plain(mixed.layer_variance)}, between networks "
        f"{plain(mixed.seed_variance)}"
    )
    return Robustness(
        "slope of a mixed model with crossed random effects of network and layer (t-test with the "
        "degrees of freedom of the layers)",
        mixed.estimate,
        UNIT,
        mixed.p,
        note,
    )


def _told(evidence: Evidence) -> Told:
    data, (found,) = evidence.data, evidence.findings
    (changes,) = evidence.samples.values()
    by_layer = changes.table.values.mean(axis=0)
    trend = in_words(
        found,
        "Deeper layers lose less accuracy to truncation",
        "Deeper layers lose more accuracy to truncation, not less",
        "Whether deeper layers lose less accuracy to truncation stays open",
    )
    return Told(
        found=f"{trend}, along OUT and at the same norm loss: the log-odds of a correct "
        f"answer change by {number(by_layer[0])} in {changes.layers[0]} and by "
        f"{number(by_layer[-1])} in {changes.layers[-1]}, on average over norm losses up to "
        f"{LARGEST_NORM_LOSS}; the slope is {number(found.estimate)} from the first to the last "
        f"layer.",
        sure=f"{sureness(evidence.findings)}{_mixed_text(found.robustness, len(changes.layers))}",
        unseen=(
            undetectable(evidence.findings),
            _confounding(data),
            f"These are {len(changes.layers)} layers of one architecture: the networks can repeat, "
            "the layers cannot, so nothing here speaks for other architectures.",
            *span(data, changes),
            *found.caveats,
        ),
    )


def _confounding(data: LayerData) -> str:
    size = np.log(data["parameters"].values)
    width = rank_correlation(data["relative_depth"].values, size)
    if not abs(width) > 0.3:
        return "Layers of one architecture differ in more than depth."
    return (
        f"Here depth goes with the size of the kernel (rank correlation {number(width)} with its "
        "number of parameters), so this is not yet an effect of depth alone."
    )


def _mixed_text(check: Robustness | None, n_layers: int) -> str:
    if check is None:
        return ""
    if np.isnan(check.p):
        return f" The mixed model could not be used ({check.note})."
    return (
        f" Counting also the chance of having met these {n_layers} layers (mixed model), the slope "
        f"is {number(check.estimate)} with p = {check.p:.2g}."
    )


DEEPER: Final = Claim(
    key="depth",
    title="Depth",
    question="Are deeper layers more compressible?",
    claim="Truncating a deeper layer along OUT loses less accuracy, at equal norm loss.",
    null="The slope against depth is symmetric about zero over networks.",
    statistic="slope over layers of the change in log-odds of a correct answer (truncation along "
    "OUT, averaged over norm losses up to 0.5) against relative depth",
    unit=UNIT,
    comparisons=(Comparison(PRIMARY_CUT),),
    needs=("truncation",),
    lacking=_LACKING,
    measure=_slopes,
    check=_mixed_model,
    tell=_told,
)
