"""Does a CP decomposition keep more accuracy than a truncation?

Exploratory: the paper uses CP beside the SVD, and does not set one against the other. Two claims,
at equal parameters and at equal relative error; one comparison a cut. Statistic: for each network
the mean over layers of the difference in the share of the accuracy above chance that is kept, the
best CP fit of several starts minus the truncation along the cut, at the compression ratios or at
the relative errors of the fits, as far as the cut reaches, averaged over the logarithm of the ratio
from 1, or over relative errors up to that of the norm loss 0.5. Robustness: the fits after their
error-preserving correction.
"""

from dataclasses import replace
from functools import partial
from typing import Final

from analyses.choices import PRIMARY, Scale
from analyses.comparing import PARAMETERS, RELATIVE_ERROR, Axis
from analyses.decompositions import (
    CORRECTED,
    CP,
    CP_CORRECTED,
    FITTED,
    absent_layers,
    at_equal,
    differences,
    in_words,
)
from analyses.findings import Choices, Claim, Comparison, Evidence, Robustness, Rule, Told
from analyses.samples import Sample, sample
from analyses.words import plain, points, sureness, undetectable
from compressibility.store.cuts import MODES
from compressibility.store.reading import LayerData
from compressibility.tensors.cp import DIVERGENCE

_LACKING: Final = "CP decompositions and truncations are not both measured"


def _difference(
    axis: Axis,
    data: LayerData,
    comparison: Comparison,
    scale: Scale = PRIMARY,
    end: float | None = None,
) -> Sample:
    return sample(differences(axis, data, comparison, scale, end), _LACKING)


def _corrected(axis: Axis, data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    table = differences(axis, data, replace(comparison, reference=CP_CORRECTED))
    method = "the fits after their error-preserving correction"
    return Robustness.asked_again(method, table, found, PRIMARY.unit)


def _told(axis: Axis, evidence: Evidence) -> Told:
    found = evidence.findings
    low, high = (end(found, key=lambda f: f.estimate) for end in (min, max))
    return Told(
        found=f"{at_equal(axis, found)} {in_words(CP, found, 'truncations along')}. The accuracy "
        "above chance kept by CP, less that by the truncation, ranges from "
        f"{points(low.estimate)} (against {low.other}) to {points(high.estimate)} (against "
        f"{high.other}). {_health(evidence.data)}",
        sure=sureness(found),
        unseen=(
            undetectable(found),
            "Ranks on a coarse grid, alternating least squares with a small ridge and as many "
            "sweeps as were allowed: another algorithm may find better fits.",
            *dict.fromkeys(t for s in evidence.samples.values() for t in s.left_out),
        ),
    )


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
        comparisons=tuple(Comparison(CP, cut) for cut in MODES),
        needs=("truncation", "cp"),
        lacking=_LACKING,
        measure=partial(_difference, axis),
        check=partial(_corrected, axis),
        tell=partial(_told, axis),
        limits=absent_layers,
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
