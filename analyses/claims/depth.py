"""Are deeper layers more compressible?

Primary statistic: for each network the least-squares slope, over layers, of the mean change of the
accuracy above chance that is kept when the layer is truncated along OUT (averaged over norm losses
up to 0.5, or as far as all layers of the network reach), against relative depth. Positive: deeper
layers lose less. Two comparisons: over all layers, and within groups of layers whose kernels have
one shape, because deeper layers are wider too. Where no two layers share a shape only the first
exists.

A verdict needs evidence over layers too: networks that agree on four layers which differ at random
would make any order of them a trend. So the slope of the layers' means on depth must point the same
way with a t-test's p of at most 0.05 over layers (degrees of freedom: layers less groups less one).
In a balanced design it is the mean of the networks' slopes, and exact where the layers' deviations
are normal.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final, TypeAlias

import numpy as np
import xarray as xr

from analyses.choices import PRIMARY, Scale
from analyses.comparing import (
    LARGEST_NORM_LOSS,
    NORM_LOSS,
    PRIMARY_CUT,
    common_support,
    scaled_curves,
    scaled_noise,
)
from analyses.findings import Choices, Claim, Comparison, Evidence, Finding, Robustness, Rule, Told
from analyses.samples import Floats, Sample, sample, tabulate
from analyses.statistics import rank_correlation, slope, trend
from analyses.words import in_words, number, p_text, plain, points, sureness, undetectable
from compressibility.store.curves import Curve
from compressibility.store.reading import LayerData, NotMeasuredError

FEWEST_LAYERS: Final = 3
UNIT: Final = f"{PRIMARY.unit}, from first to last layer"
OVER_ALL: Final = Comparison(PRIMARY_CUT, condition="over all layers")
AT_EQUAL_SHAPE: Final = Comparison(PRIMARY_CUT, condition="at equal shape")
_LACKING: Final = "truncations along OUT are not measured"

Shapes: TypeAlias = list[tuple[int, int, int, int]]


def mean_changes(
    data: LayerData,
    *,
    mode: str = PRIMARY_CUT,
    perturbed: bool = False,
    scale: Scale = PRIMARY,
    end: float = LARGEST_NORM_LOSS,
) -> xr.DataArray:
    """Mean change on a scale of each network and layer over norm loss, (seed, layer).

    Every layer of a network is averaged over the same norm losses: from 0 to the end, or to where
    the first of its curves ends (the truncations' curves, also for the perturbation), at the points
    of the coarsest of them.

    Raises:
        NotMeasuredError: The dataset has no truncations along the cut, or no perturbations.
    """
    truncated = scaled_curves(data, NORM_LOSS, scale, mode)
    sources = scaled_noise(data, scale) if perturbed else truncated
    knots = _common_knots(data, truncated, end)

    def cell(layer: str, seed: int) -> float:
        if seed not in knots or len(truncated[layer, seed]) < 2:
            return float("nan")
        return Curve(knots[seed], sources[layer, seed].at(knots[seed])).mean()

    return tabulate(data, cell)


def _common_knots(
    data: LayerData, curves: Mapping[tuple[str, int], Curve], end: float = LARGEST_NORM_LOSS
) -> dict[int, Floats]:
    """Norm losses at which each network's layers are compared."""
    knots = {}
    for seed in data.seeds:
        present = [c for layer in data.layers if len(c := curves[layer, seed]) > 1]
        support = common_support(present, 0.0, end)
        if present and support is not None:
            inside = [c.x[(c.x >= support[0]) & (c.x <= support[1])] for c in present]
            knots[seed] = np.unique([*min(inside, key=len), support[1]])
    return knots


def limits(
    data: LayerData, comparison: Comparison, found: Sample, mode: str = PRIMARY_CUT
) -> tuple[str, ...]:
    """Over which norm losses the layers are compared."""
    knots = _common_knots(data, scaled_curves(data, NORM_LOSS, PRIMARY, mode))
    ends = [knots[seed][-1] for seed in found.seeds]
    low, high = plain(min(ends)), plain(max(ends))
    told = low if low == high else f"{low} to {high}"
    return (f"averaged over norm losses up to {told}, by network: as far as all its layers reach",)


def depths(data: LayerData, found: Sample) -> Floats:
    """Relative depths of the layers of a sample, (layers,)."""
    return data["relative_depth"].sel(layer=found.table["layer"]).values


def slopes(data: LayerData, found: Sample, groups: Shapes | None = None) -> Sample:
    """The slope of each network's table against depth, within groups, in place of its mean."""
    x = depths(data, found)
    return found.with_values(np.array([slope(x, row, groups) for row in found.table.values]))


def shapes(data: LayerData, found: Sample) -> Shapes:
    """Shapes of the kernels of a sample's layers."""
    return [data.shape(layer) for layer in found.layers]


def span(data: LayerData, found: Sample) -> tuple[str, ...]:
    """What to say of a slope from layers that are far from the first or the last."""
    x = depths(data, found)
    if x[-1] - x[0] > 0.9:
        return ()
    return (
        f"The layers that it rests on have relative depths {plain(x[0])} to {plain(x[-1])} only; "
        "from the first layer to the last the slope is extrapolated.",
    )


def _slopes(
    data: LayerData,
    comparison: Comparison,
    scale: Scale = PRIMARY,
    end: float = LARGEST_NORM_LOSS,
) -> Sample:
    if comparison != AT_EQUAL_SHAPE:
        return slopes_over_layers(data, PRIMARY_CUT, scale, end)
    shared = Counter(map(data.shape, data.layers))
    alike = [layer for layer in data.layers if shared[data.shape(layer)] > 1]
    if not alike:
        raise NotMeasuredError("no two layers have kernels of one shape")
    found = _enough(mean_changes(data, scale=scale, end=end).sel(layer=alike))
    return slopes(data, found, shapes(data, found))


def slopes_over_layers(data: LayerData, mode: str, scale: Scale, end: float) -> Sample:
    """The slope of each network along one cut, over all layers that have it.

    Raises:
        NotMeasuredError: The dataset does not have the cut, or fewer than three layers have.
    """
    return slopes(data, _enough(mean_changes(data, mode=mode, scale=scale, end=end)))


def _enough(changes: xr.DataArray) -> Sample:
    found = sample(changes, "no layer is truncated along this cut")
    if len(found.layers) < FEWEST_LAYERS:
        raise NotMeasuredError(
            f"a trend with depth needs {FEWEST_LAYERS} layers, and {len(found.layers)} are measured"
        )
    return found


def _groups(data: LayerData, comparison: Comparison, found: Sample) -> Shapes | None:
    return shapes(data, found) if comparison == AT_EQUAL_SHAPE else None


def over_layers(data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    """The slope of the layers' means, with its t-test over layers."""
    means = found.table.values.mean(axis=0)
    groups = _groups(data, comparison, found)
    over = trend(depths(data, found), means, groups)
    within = f" in {len(set(groups))} groups of one shape" if groups else ""
    return Robustness(
        "slope of the layers' means over networks, tested over layers (t-test)",
        over.slope,
        UNIT,
        over.p,
        f"{len(found.layers)} layers{within}: t with {over.degrees_of_freedom} degrees of freedom",
    )


def _told(evidence: Evidence) -> Told:
    data, found = evidence.data, evidence.findings
    changes = next(iter(evidence.samples.values()))
    by_layer = changes.table.values.mean(axis=0)
    trends = ". ".join(_one(f, first=f is found[0]) for f in found)
    return Told(
        found=f"{trends}. Along OUT and at the same norm loss the accuracy above chance that is "
        f"kept changes by {points(by_layer[0])} in {changes.layers[0]} and by "
        f"{points(by_layer[-1])} in {changes.layers[-1]}, on average over norm loss.",
        sure=f"{sureness(found)} {' '.join(map(_layers_say, found))}",
        unseen=(
            undetectable(found),
            _confounding(data),
            f"These are {len(changes.layers)} layers of one architecture: the networks can repeat, "
            "the layers cannot, so nothing here speaks for other architectures.",
            *span(data, changes),
            *dict.fromkeys(f"{text[0].upper()}{text[1:]}." for f in found for text in f.caveats),
        ),
    )


def _one(found: Finding, *, first: bool) -> str:
    among = " among layers of one shape" if found.comparison == AT_EQUAL_SHAPE else ""
    trend = in_words(
        found,
        f"Deeper layers lose less accuracy to truncation{among}",
        f"Deeper layers lose more accuracy to truncation, not less{among}",
        f"Whether deeper layers lose less accuracy to truncation{among} stays open",
        first=first,
    )
    return (
        f"{trend[0].upper()}{trend[1:]}: the slope is {number(found.estimate)} from the first to "
        "the last layer"
    )


def _layers_say(found: Finding) -> str:
    check = found.robustness
    if check is None or np.isnan(check.p):
        return f"Over layers nothing can be tested ({found.comparison.label})."
    return (
        f"Counting the chance of having met these layers, p = {p_text(check.p)} "
        f"({found.comparison.label}, {check.note})."
    )


def _confounding(data: LayerData) -> str:
    size = np.log(data["parameters"].values)
    width = rank_correlation(data["relative_depth"].values, size)
    larger = (
        f"Here depth goes with the size of the kernel (rank correlation {number(width)} with its "
        "number of parameters)"
        if abs(width) > 0.3
        else "Layers of one architecture differ in more than depth"
    )
    if len(set(map(data.shape, data.layers))) < len(data.layers):
        return f"{larger}; only layers of one shape part the two."
    return f"{larger}. No two layers have kernels of one shape: deeper may be larger."


DEEPER: Final = Claim(
    key="depth",
    title="Depth",
    question="Are deeper layers more compressible?",
    claim="Truncating a deeper layer along OUT loses less accuracy, at equal norm loss.",
    null="The slope against depth is symmetric about zero over networks, or layers differ for "
    "other reasons than depth.",
    statistic="slope over layers of the change in the share of the accuracy above chance that is "
    "kept (truncation along OUT, averaged over norm losses up to 0.5) against relative depth",
    unit=UNIT,
    comparisons=(OVER_ALL, AT_EQUAL_SHAPE),
    needs=("truncation",),
    lacking=_LACKING,
    measure=_slopes,
    check=over_layers,
    tell=_told,
    limits=limits,
    choices=Choices(_slopes, lambda _: NORM_LOSS.reaches),
    rule=Rule.UNANIMOUS,
    needs_check=True,
)
