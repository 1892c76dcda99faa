"""Is OUT the cut along which a kernel can be truncated at the least cost?

Primary statistic, at equal norm loss: for each network the mean over layers of the difference in
the share of the accuracy above chance that is kept, OUT minus the other cut, taken at the norm
losses which the coarser of the two cuts achieves, within 0 to 0.5, and averaged over norm loss. At
equal parameters: the same against the logarithm of the compression ratio, where both cuts compress
(ratio of 1 or more). Two families on either axis: the paper sets OUT against the other single
modes, IN, KH and KW; that OUT beats the cuts that part two modes from the other two is another
claim, and not the paper's.

Robustness, by another method: only the order of two events is used, of the truncations that first
lose more than the allowance delta, as far as the achieved grid and censoring leave it certain.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import xarray as xr

from analyses.choices import PRIMARY, Scale
from analyses.comparing import (
    NORM_LOSS,
    PARAMETERS,
    PRIMARY_CUT,
    Along,
    Axis,
    curves_along,
    ends_in_words,
    later,
    mean_difference,
    reach,
    scaled_curves,
    scored,
)
from analyses.findings import (
    Choices,
    Claim,
    Comparison,
    Evidence,
    Finding,
    Robustness,
    Rule,
    Told,
    Verdict,
)
from analyses.samples import Sample, sample
from analyses.statistics import MINIMUM_SEEDS
from analyses.words import and_others, points, sureness, undetectable
from compressibility.store.curves import Curve, crossing
from compressibility.store.reading import LayerData

_LACKING: Final = "no layer has both the OUT cut and another one, measured"


def compared(
    data: LayerData,
    along: Along,
    comparison: Comparison,
    score: Callable[[Curve, Curve], float],
) -> xr.DataArray:
    """One score of a cut against another for each network and layer, (seed, layer).

    Missing where either cut does not exist in the layer, or equals another one.

    Args:
        data: The dataset.
        along: The curves along a cut, by layer and seed.
        comparison: The two cuts.
        score: What is told of their curves.

    Raises:
        NotMeasuredError: The dataset does not have one of the cuts.
    """
    return scored(data, along(comparison.reference), along(comparison.other), score)


def _differences(
    axis: Axis,
    data: LayerData,
    comparison: Comparison,
    scale: Scale = PRIMARY,
    end: float | None = None,
) -> Sample:
    high = axis.highest if end is None else end
    table = compared(
        data,
        partial(scaled_curves, data, axis, scale),
        comparison,
        lambda curve, other: mean_difference(curve, other, 0.0, high),
    )
    return sample(table, _LACKING)


def _order(axis: Axis, data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    table = compared(
        data,
        partial(curves_along, data, axis, data.accuracy_change),
        comparison,
        lambda curve, other: later(
            crossing(curve, data.allowance), crossing(other, data.allowance)
        ),
    )
    scores = sample(table.where(found.present))
    return Robustness.by_sign_flips(
        method=f"which cut first loses more than {100 * data.allowance:g} % of the images (share "
        "of layers where that is surely the other cut, minus share where it is surely OUT)",
        values=scores.values,
        unit="share of layers",
        note=f"{float((scores.table == 0).mean()):.0%} of the pairs are left open by the grid or "
        "by curves that end before they cross",
    )


def _ends(axis: Axis, data: LayerData, comparison: Comparison, found: Sample) -> str:
    ends = compared(
        data,
        partial(scaled_curves, data, axis, PRIMARY),
        comparison,
        lambda curve, other: reach(curve, other, 0.0, axis.highest),
    )
    return ends_in_words(axis, ends.sel(layer=list(found.layers), seed=list(found.seeds)))


def _limits(axis: Axis, data: LayerData, comparison: Comparison, found: Sample) -> tuple[str, ...]:
    against = f"Against {comparison.other}: "
    ends = _ends(axis, data, comparison, found)
    told = (f"{against}averaged over {axis.called} up to {ends}, by layer",)
    absent = len(data.layers) - len(found.layers)
    if not absent:
        return told
    return (
        *told,
        f"{against}compared in {len(found.layers)} of {len(data.layers)} "
        f"layers; in the other {absent} one of the two does not exist, is another cut, or is not "
        "measured",
    )


def _told(axis: Axis, at: str, blind_spot: str, evidence: Evidence) -> Told:
    found = evidence.findings
    ends = "; ".join(
        f"{c.other} {_ends(axis, evidence.data, c, s)}" for c, s in evidence.samples.items()
    )
    return Told(
        found=_summary(at, found),
        sure=sureness(found),
        unseen=(
            undetectable(found),
            f"Averages end where the first of the two cuts does, by layer at {axis.called} of: "
            f"{ends}.",
            blind_spot,
            *_gaps(evidence),
        ),
    )


def _summary(at: str, found: tuple[Finding, ...]) -> str:
    n = min(f.n_seeds for f in found)

    def listed(kind: Verdict) -> list[str]:
        return [f.other for f in found if f.leaning is kind]

    parts = []
    if better := listed(Verdict.SUPPORTED):
        parts.append(f"kept more accuracy than cutting along {_names(better)}")
    if worse := listed(Verdict.CONTRADICTED):
        parts.append(f"kept less than cutting along {_names(worse)}")
    if alike := listed(Verdict.UNDECIDED):
        parts.append(f"could not be told from {_names(alike)}")
    networks = "one network" if n == 1 else f"{n} networks"
    start = "At" if n >= MINIMUM_SEEDS else f"By the estimates from {networks} alone, at"
    low, *_, high = sorted((found[0], *found), key=lambda f: f.estimate)
    by_layer = [_by_layer(f) for f in found if f.verdict is Verdict.DEPENDS]
    told = "; ".join([f"cutting along OUT {'; it '.join(parts)}", *by_layer] if parts else by_layer)
    return (
        f"{start} an equal {at}, {told}. The accuracy above chance kept along OUT, less that "
        f"along the other cut, ranges from {points(low.estimate)} (against {low.other}) to "
        f"{points(high.estimate)} (against {high.other})."
    )


def _by_layer(found: Finding) -> str:
    more, less = map(found.layers_that_are, (Verdict.SUPPORTED, Verdict.CONTRADICTED))
    return (
        f"against {found.other} it depends on the layer: more was kept in {and_others(more)}, less "
        f"in {and_others(less)}"
    )


def _names(labels: list[str]) -> str:
    """A list in words; labels contain commas, so semicolons part them."""
    return labels[0] if len(labels) == 1 else f"{'; '.join(labels[:-1])} and {labels[-1]}"


def _gaps(evidence: Evidence) -> tuple[str, ...]:
    samples, n_layers = list(evidence.samples.values()), len(evidence.data.layers)
    left_out = dict.fromkeys(text for s in samples for text in s.left_out)
    fewest, most = (end(len(s.layers) for s in samples) for end in (min, max))
    if fewest == n_layers:
        return tuple(left_out)
    between = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    return (
        f"Each comparison rests on {between} of {n_layers} layers: those where both cuts exist, "
        "differ and are measured.",
        *left_out,
    )


@dataclass(frozen=True)
class _Others:
    """The cuts that OUT is set against: the end of the claim's key and title, and in words."""

    cuts: tuple[str, ...]
    key: str
    title: str
    words: str
    exploratory: bool


_SINGLE: Final = _Others(("IN", "KH", "KW"), "", "Cuts", "any other single-mode cut", False)
_DOUBLE: Final = _Others(
    ("OUT,IN", "OUT,KH", "OUT,KW"), "-pairs", "Two-mode cuts", "any two-mode cut", True
)


def _claim(
    axis: Axis,
    others: _Others,
    *,
    key: str,
    at: str,
    in_full: str,
    averaged_over: str,
    blind_spot: str,
) -> Claim:
    return Claim(
        key=f"{key}{others.key}",
        title=f"{others.title} at equal {axis.name}",
        question=f"At equal {axis.name}, does truncating along OUT cost less accuracy than along "
        f"{others.words}?",
        claim=f"Truncating a layer along OUT loses less accuracy than along {others.words}, at "
        f"{in_full}.",
        null="The difference between OUT and the other cut is symmetric about zero over networks.",
        statistic="difference in the share of the accuracy above chance that is kept, OUT minus "
        f"the other cut, averaged over {averaged_over} and over layers",
        unit=PRIMARY.unit,
        comparisons=tuple(Comparison(PRIMARY_CUT, cut) for cut in others.cuts),
        needs=("truncation",),
        lacking=_LACKING,
        measure=partial(_differences, axis),
        choices=Choices(partial(_differences, axis), lambda _: axis.reaches),
        check=partial(_order, axis),
        tell=partial(_told, axis, at, blind_spot),
        limits=partial(_limits, axis),
        rule=Rule.EVERY_MEASURED,
        exploratory=others.exploratory,
    )


_at_equal_norm_loss: Final = partial(
    _claim,
    NORM_LOSS,
    key="cuts-norm",
    at="norm loss",
    in_full="equal norm loss",
    averaged_over="norm losses up to 0.5 or as far as both cuts reach,",
    blind_spot="Norm losses above 0.5, and beyond a cut's last truncation; truncations of "
    "several layers at once; what re-training would heal.",
)
_at_equal_parameters: Final = partial(
    _claim,
    PARAMETERS,
    key="cuts-parameters",
    at="number of parameters",
    in_full="an equal compression ratio",
    averaged_over="the logarithm of the compression ratio, from 1 as far as both cuts reach,",
    blind_spot="Compression beyond what both cuts of a pair reach; speed on real hardware, which "
    "is not the number of parameters; what re-training would heal.",
)
AT_EQUAL_NORM_LOSS: Final = _at_equal_norm_loss(_SINGLE)
AT_EQUAL_NORM_LOSS_PAIRS: Final = _at_equal_norm_loss(_DOUBLE)
AT_EQUAL_PARAMETERS: Final = _at_equal_parameters(_SINGLE)
AT_EQUAL_PARAMETERS_PAIRS: Final = _at_equal_parameters(_DOUBLE)
