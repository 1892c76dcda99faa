"""Is the effect of depth special to truncation?

Primary statistic: for each network the slope of `analyses.claims.depth` under truncation along OUT,
minus the same slope under the random perturbation of equal norm and overlap.

Robustness, by another method: the rank correlation with depth in place of the slope.
"""

from typing import Final

import numpy as np
import xarray as xr

from analyses.choices import PRIMARY, Scale
from analyses.claims.depth import (
    FEWEST_LAYERS,
    UNIT,
    depths,
    limits,
    mean_changes,
    slopes,
    span,
)
from analyses.comparing import LARGEST_NORM_LOSS, NORM_LOSS
from analyses.findings import Choices, Claim, Comparison, Evidence, Robustness, Told
from analyses.samples import Sample, sample
from analyses.statistics import rank_correlation
from analyses.words import in_words, number, sureness, undetectable
from compressibility.store.reading import LayerData, NotMeasuredError

_LACKING: Final = "truncations along OUT and random perturbations are not both measured"


def paired_changes(
    data: LayerData, scale: Scale = PRIMARY, end: float = LARGEST_NORM_LOSS
) -> tuple[Sample, Sample]:
    """Mean changes under truncation and under perturbation, of the same networks and layers.

    Raises:
        NotMeasuredError: Fewer than three layers have both.
    """
    changes, noise = (
        mean_changes(data, perturbed=perturbed, scale=scale, end=end) for perturbed in (False, True)
    )
    paired = changes.notnull() & noise.notnull()
    truncated, perturbed = sample(changes.where(paired)), sample(noise.where(paired))
    if len(truncated.layers) < FEWEST_LAYERS:
        raise NotMeasuredError(
            f"a trend with depth needs {FEWEST_LAYERS} layers, and {len(truncated.layers)} have "
            "both truncations and random perturbations"
        )
    return truncated, perturbed


def _difference(
    data: LayerData,
    comparison: Comparison,
    scale: Scale = PRIMARY,
    end: float = LARGEST_NORM_LOSS,
) -> Sample:
    truncated, perturbed = paired_changes(data, scale, end)
    first, second = slopes(data, truncated), slopes(data, perturbed)
    return truncated.with_values(first.values - second.values)


def _rank_correlations(data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    truncated, perturbed = paired_changes(data)
    x = depths(data, found)

    def correlations(table: xr.DataArray) -> list[float]:
        return [rank_correlation(x, row) for row in table.values]

    first, second = correlations(truncated.table), correlations(perturbed.table)
    difference = np.nan_to_num(np.subtract(first, second))
    return Robustness.by_sign_flips(
        "rank correlation with depth in place of the slope, truncation minus perturbation",
        difference,
        "1",
    )


def _told(evidence: Evidence) -> Told:
    (found,) = evidence.findings
    first, second = (
        float(slopes(evidence.data, s).values.mean()) for s in paired_changes(evidence.data)
    )
    verdict = in_words(
        found,
        "Depth helps truncations more than it helps random noise of the same size",
        "Depth helps truncations less than it helps random noise of the same size",
        "Whether depth helps truncations more than random noise of the same size stays open",
    )
    return Told(
        found=f"{verdict}: the slope with depth is {number(first)} under truncation "
        f"and {number(second)} under the random perturbation.",
        sure=sureness(evidence.findings),
        unseen=(
            undetectable(evidence.findings),
            "One random perturbation per network, layer and norm loss: its own luck is part of the "
            "spread between networks.",
            *span(evidence.data, next(iter(evidence.samples.values()))),
            *(f"{text[0].upper()}{text[1:]}." for text in found.caveats),
        ),
    )


SPECIAL: Final = Claim(
    key="depth-control",
    title="Depth, against random noise",
    question="Is the effect of depth special to truncation?",
    claim="Accuracy gains more from depth under truncation than under a random perturbation of "
    "the same norm and overlap.",
    null="The difference of the two slopes is symmetric about zero over networks.",
    statistic="slope against relative depth under truncation along OUT minus the slope under the "
    "matched random perturbation",
    unit=UNIT,
    comparisons=(Comparison("truncation", "perturbation"),),
    needs=("truncation", "controls"),
    lacking=_LACKING,
    measure=_difference,
    check=_rank_correlations,
    tell=_told,
    limits=limits,
    choices=Choices(_difference, lambda _: NORM_LOSS.reaches),
)
