"""Does a CP decomposition keep more accuracy than a truncation?

Exploratory: the paper uses CP beside the SVD, and does not set one against the other. Two claims,
at equal parameters and at equal relative error; one comparison a cut. Statistic: for each network
the mean over layers of the difference in the share of the accuracy above chance that is kept, the
best CP fit of several starts minus the truncation along the cut, at the compression ratios or at
the relative errors of the fits, as far as the cut reaches, averaged over the logarithm of the ratio
from 1, or over relative errors up to that of the norm loss 0.5. Robustness: the fits after their
error-preserving correction.
"""

from functools import partial
from typing import Final

import numpy as np
import xarray as xr

from analyses.choices import PRIMARY, Scale
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
from analyses.samples import Sample, sample
from analyses.statistics import sign_flip_test
from analyses.words import plain, points, sureness, undetectable
from compressibility.store.cuts import MODES
from compressibility.store.reading import LayerData
from compressibility.tensors.cp import CP_FORMS, DIVERGENCE

FITTED, CORRECTED = CP_FORMS
_LACKING: Final = "CP decompositions and truncations are not both measured"


def log2_ratio(data: LayerData) -> xr.DataArray:
    """Base-2 logarithm of the compression ratio of the decompositions, (layer, cp_rank, seed).

    Raises:
        NotMeasuredError: The dataset has no CP decompositions.
    """
    ratio = data["parameters"] / data["cp_parameters"]
    return ratio.copy(data=np.log2(ratio.values))


def cp_curves(
    data: LayerData, form: str, scale: Scale = PRIMARY, axis: Axis = PARAMETERS
) -> CurveByCell:
    """What CP decompositions of one form keep, on a scale, against ratio or relative error.

    By layer and seed.

    Raises:
        NotMeasuredError: The dataset has no CP decompositions.
    """
    right, loss = (data[name].sel(cp_form=form, drop=True) for name in ("cp_n_correct", "cp_loss"))
    error = data["cp_relative_error"].sel(cp_form=form, drop=True)
    x = error if axis is RELATIVE_ERROR else log2_ratio(data)
    return linked_curves(data, scale, x, scale.counted(data, right, loss), "cp_rank")


def _minus_truncation(
    axis: Axis, data: LayerData, cut: str, form: str, scale: Scale, end: float
) -> xr.DataArray:
    return scored(
        data,
        cp_curves(data, form, scale, axis),
        scaled_curves(data, axis, scale, cut),
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
    return sample(_minus_truncation(axis, data, comparison.other, FITTED, scale, high), _LACKING)


def _corrected(axis: Axis, data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    table = _minus_truncation(axis, data, comparison.other, CORRECTED, PRIMARY, axis.highest)
    values = sample(table.where(found.present)).values
    return Robustness(
        "the fits after their error-preserving correction",
        float(values.mean()),
        PRIMARY.unit,
        sign_flip_test(values, rng=np.random.default_rng(0)),
    )


def _limits(data: LayerData, comparison: Comparison, found: Sample) -> tuple[str, ...]:
    absent = len(data.layers) - len(found.layers)
    if not absent:
        return ()
    return (
        f"against {comparison.other} in {len(found.layers)} of {len(data.layers)} layers; in the "
        "others the cut does not exist, is another one, or no rank lies where both reach",
    )


def _told(axis: Axis, evidence: Evidence) -> Told:
    found = evidence.findings
    low, high = (end(found, key=lambda f: f.estimate) for end in (min, max))
    return Told(
        found=f"{_by_cut(axis, found)}. The accuracy above chance kept by CP, less that by the "
        f"truncation, ranges from {points(low.estimate)} (against {low.other}) to "
        f"{points(high.estimate)} (against {high.other}). {_health(evidence.data)}",
        sure=sureness(found),
        unseen=(
            undetectable(found),
            "Ranks on a coarse grid, alternating least squares with a small ridge and as many "
            "sweeps as were allowed: another algorithm may find better fits.",
            *dict.fromkeys(t for s in evidence.samples.values() for t in s.left_out),
        ),
    )


def _by_cut(axis: Axis, found: tuple[Finding, ...]) -> str:
    few = not all(f.is_decidable for f in found)
    start = "By the estimates from few networks alone, at" if few else "At"
    said = [
        f"{what} along {'; '.join(cuts)}"
        for what, verdict in (
            ("more accuracy than truncations", Verdict.SUPPORTED),
            ("less than truncations", Verdict.CONTRADICTED),
            ("an amount that could not be told from that of truncations", Verdict.UNDECIDED),
            ("more or less, by layer, than truncations", Verdict.DEPENDS),
        )
        if (cuts := [f.other for f in found if f.leaning is verdict])
    ]
    return f"{start} equal {axis.name} CP keeps {', '.join(said)}"


def _health(data: LayerData) -> str:
    """How often fits degenerate, and what the correction changes."""
    diverged, largest, sensitivity, sweeps = (
        data[name]
        for name in ("cp_n_diverged", "cp_largest_component", "cp_sensitivity", "cp_n_sweeps")
    )
    fits = sweeps.sel(cp_form=FITTED)
    unsettled = float((fits == fits.max()).where(fits.notnull()).mean())
    with_some = float((diverged > 0).where(diverged.notnull()).mean())
    before, after = (float(largest.sel(cp_form=form).max()) for form in (FITTED, CORRECTED))
    factor = (sensitivity.sel(cp_form=FITTED) / sensitivity.sel(cp_form=CORRECTED)).median()
    accuracy = data["cp_n_correct"] / data.n_images
    change = accuracy.sel(cp_form=CORRECTED) - accuracy.sel(cp_form=FITTED)
    return (
        f"Of the fits {100 * with_some:.0f} % have a start that diverged (a component above "
        f"{DIVERGENCE:g} times the kernel), and {100 * unsettled:.0f} % of the best fits took "
        f"the most sweeps of any, {float(fits.max()):.0f}, so may not have settled; the largest "
        f"component of a best fit is {plain(before)} times the kernel's norm, {plain(after)} "
        f"after the correction, which divides the sensitivity by {plain(float(factor))} (median) "
        f"and changes the accuracy by {points(float(change.mean()))} on average, "
        f"{points(float(change.min()))} to {points(float(change.max()))}."
    )


def _claim(axis: Axis, *, key: str, title: str, than: str, averaged_over: str) -> Claim:
    return Claim(
        key=key,
        title=title,
        question=f"Does a CP decomposition keep more accuracy than a truncation {than}?",
        claim=f"A layer's CP decomposition loses less accuracy than its truncation {than}, "
        "whatever the cut.",
        null="The difference is symmetric about zero over networks.",
        statistic="difference in the share of the accuracy above chance that is kept, CP "
        f"decomposition minus truncation along the cut, averaged over {averaged_over} and over "
        "layers",
        unit=PRIMARY.unit,
        comparisons=tuple(Comparison("CP", cut) for cut in MODES),
        needs=("truncation", "cp"),
        lacking=_LACKING,
        measure=partial(_difference, axis),
        check=partial(_corrected, axis),
        tell=partial(_told, axis),
        limits=_limits,
        choices=Choices(partial(_difference, axis), lambda _: axis.reaches),
        rule=Rule.EVERY_MEASURED,
        exploratory=True,
    )


AT_EQUAL_PARAMETERS: Final = _claim(
    PARAMETERS,
    key="cp",
    title="CP against truncation at equal parameters",
    than="of as many parameters",
    averaged_over="the logarithm of the compression ratio, from 1 as far as both reach,",
)
AT_EQUAL_ERROR: Final = _claim(
    RELATIVE_ERROR,
    key="cp-error",
    title="CP against truncation at equal relative error",
    than="of the same relative error",
    averaged_over="the relative errors that both reach, up to that of the norm loss 0.5,",
)
