"""Are the two-mode cuts better than the single-mode cuts?

Exploratory, beside the four questions. Statistic: for each network the mean over layers of the
difference in the share of the accuracy above chance that is kept, two-mode minus single-mode cuts:
the mean over all pairs of a distinct two-mode and a distinct single-mode cut of the layer. Two
comparisons: over norm losses up to 0.5, and over the logarithm of the compression ratio from 1.
Robustness: the test loss in place of accuracy.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
import xarray as xr

from analyses.choices import LOSS, PRIMARY, Scale
from analyses.comparing import (
    NORM_LOSS,
    PARAMETERS,
    Along,
    Axis,
    ends_in_words,
    mean_difference,
    reach,
    scaled_curves,
)
from analyses.findings import Choices, Claim, Comparison, Evidence, Robustness, Rule, Told
from analyses.samples import Sample, sample, tabulate
from analyses.words import in_words, points, raised, sureness, undetectable
from compressibility.store.curves import Curve
from compressibility.store.reading import LayerData
from compressibility.store.schema import MODES

SINGLE: Final = tuple(mode for mode in MODES if "," not in mode)
DOUBLE: Final = tuple(mode for mode in MODES if "," in mode)
_AXES: Final = {
    Comparison("two-mode cuts", "single-mode cuts", f"at equal {axis.name}"): axis
    for axis in (NORM_LOSS, PARAMETERS)
}
_LACKING: Final = "no layer has both single-mode and two-mode cuts that differ"


def pair_differences(
    data: LayerData, axis: Axis, scale: Scale = PRIMARY, end: float | None = None
) -> xr.DataArray:
    """Mean over the pairs of a two-mode and a single-mode cut, (seed, layer)."""
    high = axis.highest if end is None else end
    return _over_pairs(
        data,
        partial(scaled_curves, data, axis, scale),
        lambda double, single: mean_difference(double, single, 0.0, high),
    )


def _over_pairs(
    data: LayerData, along: Along, score: Callable[[Curve, Curve], float]
) -> xr.DataArray:
    curves = {mode: along(mode) for mode in data.modes}
    distinct = {
        layer: data.distinct["mode"].values[data.distinct.sel(layer=layer).values].tolist()
        for layer in data.layers
    }

    def cell(layer: str, seed: int) -> float:
        def chosen(labels: tuple[str, ...]) -> list[Curve]:
            return [curves[mode][layer, seed] for mode in distinct[layer] if mode in labels]

        pairs = [score(double, single) for double in chosen(DOUBLE) for single in chosen(SINGLE)]
        return float(np.mean(pairs)) if pairs else float("nan")

    return tabulate(data, cell)


def _difference(
    data: LayerData, comparison: Comparison, scale: Scale = PRIMARY, end: float | None = None
) -> Sample:
    return sample(pair_differences(data, _AXES[comparison], scale, end), _LACKING)


def _by_loss(data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    method = "test loss (cross-entropy) in place of accuracy, single-mode minus two-mode"
    table = pair_differences(data, _AXES[comparison], LOSS)
    return Robustness.asked_again(method, table, found, LOSS.unit)


def _limits(data: LayerData, comparison: Comparison, found: Sample) -> tuple[str, ...]:
    axis = _AXES[comparison]
    ends = _over_pairs(
        data,
        partial(scaled_curves, data, axis, PRIMARY),
        lambda a, b: reach(a, b, 0.0, axis.highest),
    ).sel(layer=list(found.layers), seed=list(found.seeds))
    return (
        f"{comparison.condition}, averaged over {axis.called} up to "
        f"{ends_in_words(axis, ends)}, by layer",
    )


def _told(evidence: Evidence) -> Told:
    found, n_layers = evidence.findings, len(evidence.data.layers)
    text = "; ".join(
        in_words(
            f,
            f"{f.comparison.condition}, two-mode cuts keep more accuracy than single-mode cuts",
            f"{f.comparison.condition}, two-mode cuts keep less accuracy than single-mode cuts",
            f"{f.comparison.condition}, two-mode cuts could not be told from single-mode cuts",
            first=f is found[0],
        )
        + f" ({points(f.estimate)} of the accuracy above chance)"
        for f in found
    )
    layers = len(next(iter(evidence.samples.values())).layers)
    return Told(
        found=f"{raised(text)}.",
        sure=sureness(found),
        unseen=(
            undetectable(found),
            "This averages over cuts that differ much among themselves, in "
            + (
                "all layers."
                if layers == n_layers
                else f"{layers} of {n_layers} layers (the others have no two-mode cut of their "
                "own, or are not measured)."
            ),
            *dict.fromkeys(f"{text[0].upper()}{text[1:]}." for f in found for text in f.caveats),
        ),
    )


BETTER: Final = Claim(
    key="two-mode",
    title="Two-mode cuts",
    question="Are two-mode cuts better than single-mode cuts?",
    claim="Truncating along a two-mode cut loses less accuracy than along a single-mode cut.",
    null="The difference between the two kinds of cut is symmetric about zero over networks.",
    statistic="difference in the share of the accuracy above chance that is kept, two-mode minus "
    "single-mode cuts, averaged over pairs of cuts and over layers",
    unit=PRIMARY.unit,
    comparisons=tuple(_AXES),
    needs=("truncation",),
    lacking=_LACKING,
    measure=_difference,
    check=_by_loss,
    tell=_told,
    limits=_limits,
    choices=Choices(_difference, lambda comparison: _AXES[comparison].reaches),
    rule=Rule.UNANIMOUS,
    exploratory=True,
)
