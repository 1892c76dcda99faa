"""Do Tucker-2 and tensor trains keep more accuracy than truncations, and than CP?

Exploratory: the paper does not compare tensor formats. Two claims, at equal parameters and at equal
relative error; one comparison for each format and cut, and one for each format and CP. Statistic:
for each network the mean over layers of the difference in the share of the accuracy above chance
that is kept, the decomposition minus the truncation along the cut, or minus the best CP fit of
several starts, as far as both reach, averaged over the logarithm of the compression ratio from 1,
or over relative errors up to that of the norm loss 0.5. Robustness: the test loss in place of
accuracy.
"""

from functools import partial
from typing import Final

import numpy as np
import xarray as xr

from analyses.choices import LOSS, PRIMARY, Scale
from analyses.claims.cp import FITTED, cp_curves
from analyses.comparing import (
    PARAMETERS,
    RELATIVE_ERROR,
    Axis,
    CurveByCell,
    linked_curves,
    mean_difference,
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
from analyses.once import once
from analyses.samples import Sample, sample
from analyses.statistics import sign_flip_test
from analyses.words import points, sureness, undetectable
from compressibility.store.cuts import MODES
from compressibility.store.reading import LayerData
from compressibility.tensors.formats import FORMATS

CP: Final = "CP"
_LACKING: Final = "decompositions in tensor formats and truncations are not both measured"


def format_curves(
    data: LayerData, name: str, scale: Scale = PRIMARY, axis: Axis = PARAMETERS
) -> CurveByCell:
    """What decompositions in one tensor format keep, on a scale, against ratio or relative error.

    By layer and seed; made once for each reading of a dataset.

    Raises:
        NotMeasuredError: The dataset has no decompositions in tensor formats.
    """

    def made() -> CurveByCell:
        right, loss, x = (
            values.sel(format=name, drop=True)
            for values in (data["format_n_correct"], data["format_loss"], _abscissa(data, axis))
        )
        return linked_curves(data, scale, x, scale.counted(data, right, loss), "threshold")

    return once(data, ("formats", name, scale.name, axis.name), made)


def _abscissa(data: LayerData, axis: Axis) -> xr.DataArray:
    """Relative error, or the base-2 logarithm of the compression ratio."""
    if axis is RELATIVE_ERROR:
        return data["format_relative_error"]
    ratio = data["parameters"] / data["format_parameters"]
    return ratio.copy(data=np.log2(ratio.values))


def _others(data: LayerData, axis: Axis, scale: Scale, other: str) -> CurveByCell:
    if other != CP:
        return scaled_curves(data, axis, scale, other)
    key = ("cp", scale.name, axis.name)
    return once(data, key, lambda: cp_curves(data, FITTED, scale, axis))


def _table(
    axis: Axis, data: LayerData, comparison: Comparison, scale: Scale, end: float
) -> xr.DataArray:
    return scored(
        data,
        format_curves(data, comparison.reference, scale, axis),
        _others(data, axis, scale, comparison.other),
        lambda curve, other: mean_difference(curve, other, 0.0, end),
    )


def _difference(
    axis: Axis,
    data: LayerData,
    comparison: Comparison,
    scale: Scale = PRIMARY,
    end: float | None = None,
) -> Sample:
    high = axis.highest if end is None else end
    return sample(_table(axis, data, comparison, scale, high), _LACKING)


def _by_loss(axis: Axis, data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    table = _table(axis, data, comparison, LOSS, axis.highest)
    values = sample(table.where(found.present)).values
    return Robustness(
        "test loss (cross-entropy) in place of accuracy, less is better",
        float(values.mean()),
        LOSS.unit,
        sign_flip_test(values, rng=np.random.default_rng(0)),
    )


def _limits(data: LayerData, comparison: Comparison, found: Sample) -> tuple[str, ...]:
    absent = len(data.layers) - len(found.layers)
    if not absent:
        return ()
    return (
        f"{comparison.label} in {len(found.layers)} of {len(data.layers)} layers; in the others "
        "one of the two does not exist, is another one, or has no rank where both reach",
    )


def _told(axis: Axis, evidence: Evidence) -> Told:
    found = evidence.findings
    low, high = (end(found, key=lambda f: f.estimate) for end in (min, max))
    few = not all(f.is_decidable for f in found)
    start = "By the estimates from few networks alone, at" if few else "At"
    said = "; ".join(_by_other(name, own) for name in FORMATS if (own := _of_format(found, name)))
    return Told(
        found=f"{start} equal {axis.name} {said}. The accuracy above chance kept by the one, less "
        f"that by the other, ranges from {points(low.estimate)} ({low.comparison.label}) to "
        f"{points(high.estimate)} ({high.comparison.label}).",
        sure=sureness(found),
        unseen=(
            undetectable(found),
            "Ranks that share the allowed squared error equally among the bonds: other ranks of "
            "the same format may keep more.",
            *dict.fromkeys(t for s in evidence.samples.values() for t in s.left_out),
        ),
    )


def _of_format(found: tuple[Finding, ...], name: str) -> list[Finding]:
    return [f for f in found if f.reference == name]


def _by_other(name: str, found: list[Finding]) -> str:
    """In words, what one format keeps more or less than: cuts by their labels, and CP."""
    said = [
        f"{what} {'; '.join(others)}"
        for what, verdict in (
            ("more accuracy than", Verdict.SUPPORTED),
            ("less than", Verdict.CONTRADICTED),
            ("an amount that could not be told from that of", Verdict.UNDECIDED),
            ("more or less, by layer, than", Verdict.DEPENDS),
        )
        if (others := [f.other for f in found if f.leaning is verdict])
    ]
    return f"{name} keeps {', '.join(said)}"


def _claim(axis: Axis, *, key: str, title: str, than: str, averaged_over: str) -> Claim:
    return Claim(
        key=key,
        title=title,
        question="Do Tucker-2 and tensor-train (TT) decompositions keep more accuracy than "
        f"truncations and CP {than}?",
        claim="A layer's Tucker-2 and TT decompositions lose less accuracy than its truncations "
        f"along any cut and its CP decomposition {than}.",
        null="The difference is symmetric about zero over networks.",
        statistic="difference in the share of the accuracy above chance that is kept, "
        f"decomposition in the tensor format minus the other, averaged over {averaged_over} and "
        "over layers",
        unit=PRIMARY.unit,
        comparisons=tuple(Comparison(name, other) for name in FORMATS for other in (*MODES, CP)),
        needs=("truncation", "formats"),
        lacking=_LACKING,
        measure=partial(_difference, axis),
        check=partial(_by_loss, axis),
        tell=partial(_told, axis),
        limits=_limits,
        choices=Choices(partial(_difference, axis), lambda _: axis.reaches),
        rule=Rule.EVERY_MEASURED,
        exploratory=True,
    )


AT_EQUAL_PARAMETERS: Final = _claim(
    PARAMETERS,
    key="formats",
    title="Tucker-2 and TT against truncation and CP at equal parameters",
    than="of as many parameters",
    averaged_over="the logarithm of the compression ratio, from 1 as far as both reach,",
)
AT_EQUAL_ERROR: Final = _claim(
    RELATIVE_ERROR,
    key="formats-error",
    title="Tucker-2 and TT against truncation and CP at equal relative error",
    than="of the same relative error",
    averaged_over="the relative errors that both reach, up to that of the norm loss 0.5,",
)
