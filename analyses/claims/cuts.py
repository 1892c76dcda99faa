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
from functools import partial
from typing import Final

import numpy as np
import xarray as xr

from analyses.comparing import (
    NORM_LOSS,
    PARAMETERS,
    PRIMARY_CUT,
    Axis,
    curves_along,
    ends_in_words,
    later,
    mean_difference,
    reach,
)
from analyses.findings import (
    Claim,
    Comparison,
    Evidence,
    Finding,
    Robustness,
    Rule,
    Told,
    Verdict,
    above_or_below,
)
from analyses.samples import Sample, sample, tabulate
from analyses.statistics import MINIMUM_SEEDS, sign_flip_test
from analyses.words import odds, sureness, undetectable
from compressibility.store.curves import Curve, crossing
from compressibility.store.reading import LayerData
from compressibility.store.schema import MODES

_LACKING: Final = "no layer has both the OUT cut and another one, measured"


def compared(
    data: LayerData,
    axis: Axis,
    y: xr.DataArray,
    comparison: Comparison,
    score: Callable[[Curve, Curve], float],
) -> xr.DataArray:
    """One score of a cut against another for each network and layer, (seed, layer).

    Missing where either cut does not exist in the layer, or equals another one.

    Raises:
        NotMeasuredError: The dataset does not have one of the cuts.
    """
    first = curves_along(data, axis, y, comparison.reference)
    second = curves_along(data, axis, y, comparison.other)

    def cell(layer: str, seed: int) -> float:
        curve, other = first[layer, seed], second[layer, seed]
        return score(curve, other) if len(curve) and len(other) else float("nan")

    return tabulate(data, cell)


def _differences(axis: Axis, data: LayerData, comparison: Comparison) -> Sample:
    table = compared(
        data,
        axis,
        data.logit_change,
        comparison,
        lambda curve, other: mean_difference(curve, other, 0.0, axis.highest),
    )
    return sample(table, _LACKING)


def _order(axis: Axis, data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    table = compared(
        data,
        axis,
        data.accuracy_change,
        comparison,
        lambda curve, other: later(
            crossing(curve, data.allowance), crossing(other, data.allowance)
        ),
    )
    scores = sample(table.where(found.present))
    return Robustness(
        method=f"which cut first loses more than {100 * data.allowance:g} % of the images (share "
        "of layers where that is surely the other cut, minus share where it is surely OUT)",
        estimate=float(scores.values.mean()),
        unit="share of layers",
        p=sign_flip_test(scores.values, rng=np.random.default_rng(0)),
        note=f"{float((scores.table == 0).mean()):.0%} of the pairs are left open by the grid or "
        "by curves that end before they cross",
    )


def _ends(axis: Axis, data: LayerData, comparison: Comparison, found: Sample) -> str:
    ends = compared(
        data,
        axis,
        data.accuracy_change,
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
    few_networks = n < MINIMUM_SEEDS

    def listed(kind: Verdict) -> list[str]:
        return [
            f.other
            for f in found
            if (above_or_below(f.estimate, 0.0, MINIMUM_SEEDS) if few_networks else f.verdict)
            is kind
        ]

    parts = []
    if better := listed(Verdict.SUPPORTED):
        parts.append(f"kept more accuracy than cutting along {_names(better)}")
    if worse := listed(Verdict.CONTRADICTED):
        parts.append(f"kept less than cutting along {_names(worse)}")
    if alike := listed(Verdict.UNDECIDED):
        parts.append(f"could not be told from {_names(alike)}")
    networks = "one network" if n == 1 else f"{n} networks"
    start = f"By the estimates from {networks} alone, at" if few_networks else "At"
    low, *_, high = sorted((found[0], *found), key=lambda f: f.estimate)
    return (
        f"{start} an equal {at}, cutting along OUT {'; it '.join(parts)}. The odds of a correct "
        f"answer, OUT over the other cut, range from {odds(low.estimate)} (against {low.other}) to "
        f"{odds(high.estimate)} (against {high.other})."
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


def _claim(
    axis: Axis, *, key: str, at: str, in_full: str, averaged_over: str, blind_spot: str
) -> Claim:
    return Claim(
        key=key,
        title=f"Cuts at equal {axis.name}",
        question=f"At equal {axis.name}, does truncating along OUT cost less accuracy than along "
        "any other cut?",
        claim="Truncating a layer along OUT loses less accuracy than along any other cut, at "
        f"{in_full}.",
        null="The difference between OUT and the other cut is symmetric about zero over networks.",
        statistic="difference in log-odds of a correct answer, OUT minus the other cut, averaged "
        f"over {averaged_over} and over layers",
        unit="logit",
        comparisons=tuple(Comparison(PRIMARY_CUT, cut) for cut in MODES if cut != PRIMARY_CUT),
        needs=("truncation",),
        lacking=_LACKING,
        measure=partial(_differences, axis),
        check=partial(_order, axis),
        tell=partial(_told, axis, at, blind_spot),
        limits=partial(_limits, axis),
        rule=Rule.EVERY_MEASURED,
    )


AT_EQUAL_NORM_LOSS: Final = _claim(
    NORM_LOSS,
    key="cuts-norm",
    at="norm loss",
    in_full="equal norm loss",
    averaged_over="norm losses up to 0.5 or as far as both cuts reach,",
    blind_spot="Norm losses above 0.5, and beyond a cut's last truncation; truncations of "
    "several layers at once; what re-training would heal.",
)
AT_EQUAL_PARAMETERS: Final = _claim(
    PARAMETERS,
    key="cuts-parameters",
    at="number of parameters",
    in_full="an equal compression ratio",
    averaged_over="the logarithm of the compression ratio, from 1 as far as both cuts reach,",
    blind_spot="Compression beyond what both cuts of a pair reach; speed on real hardware, which "
    "is not the number of parameters; what re-training would heal.",
)
