"""Does a truncation cost less accuracy than random noise of the same size?

Primary statistic: for each network the mean over layers of the difference in log-odds of a correct
answer, truncation along OUT minus random perturbation of the same norm and overlap, over norm
losses up to 0.5. Robustness: the same for the test loss in place of accuracy.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import xarray as xr

from analyses.comparing import (
    NORM_LOSS,
    PRIMARY_CUT,
    curves_along,
    ends_in_words,
    mean_difference,
    perturbed_curves,
    reach,
)
from analyses.findings import Claim, Comparison, Evidence, Robustness, Told
from analyses.samples import Sample, sample, tabulate
from analyses.statistics import sign_flip_test
from analyses.words import in_words, odds, sureness, undetectable
from compressibility.store.curves import Curve
from compressibility.store.reading import LayerData

_LACKING: Final = "truncations along OUT and random perturbations are not both measured"


def truncation_minus_noise(
    data: LayerData, truncated: xr.DataArray, perturbed: xr.DataArray
) -> xr.DataArray:
    """Mean difference over norm losses up to 0.5 for each network and layer, (seed, layer)."""
    return _compared(data, truncated, perturbed, mean_difference)


def _compared(
    data: LayerData,
    truncated: xr.DataArray,
    perturbed: xr.DataArray,
    score: Callable[[Curve, Curve], float],
) -> xr.DataArray:
    first = curves_along(data, NORM_LOSS, truncated, PRIMARY_CUT)
    second = perturbed_curves(perturbed)
    return tabulate(data, lambda *cell: score(first[cell], second[cell]))


def _difference(data: LayerData, comparison: Comparison) -> Sample:
    table = truncation_minus_noise(data, data.logit_change, data.perturbed_logit_change)
    return sample(table, _LACKING)


def _by_loss(data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    table = truncation_minus_noise(data, data.loss_change, data.perturbed_loss_change)
    losses = sample(-table.where(found.present))
    return Robustness(
        "test loss (cross-entropy) in place of accuracy, perturbation minus truncation",
        float(losses.values.mean()),
        "nat",
        sign_flip_test(losses.values, rng=np.random.default_rng(0)),
    )


def _limits(data: LayerData, comparison: Comparison, found: Sample) -> tuple[str, ...]:
    ends = _compared(data, data.accuracy_change, data.perturbed_accuracy_change, reach)
    ends = ends.sel(layer=list(found.layers), seed=list(found.seeds))
    return (f"averaged over norm losses up to {ends_in_words(NORM_LOSS, ends)}, by layer",)


def _told(evidence: Evidence) -> Told:
    (found,) = evidence.findings
    result = in_words(
        found,
        "A truncation costs less accuracy than random noise of the same norm and overlap",
        "A truncation costs more accuracy than random noise of the same norm and overlap",
        "Truncation and random noise of the same norm and overlap could not be told apart",
    )
    return Told(
        found=f"{result}: the odds of a correct answer are {odds(found.estimate)} "
        "under truncation along OUT, averaged over norm loss and over layers.",
        sure=sureness(evidence.findings),
        unseen=(
            undetectable(evidence.findings),
            "One random perturbation per network, layer and norm loss. Other cuts are drawn in the "
            "figure, and not tested.",
            *(f"{text[0].upper()}{text[1:]}." for text in found.caveats),
        ),
    )


GENTLER: Final = Claim(
    key="noise",
    title="Truncation against noise",
    question="Does a truncation cost less accuracy than random noise of the same size?",
    claim="Truncating along OUT loses less accuracy than a random perturbation of the same norm "
    "and overlap.",
    null="The difference in log-odds is symmetric about zero over networks.",
    statistic="difference in log-odds of a correct answer, truncation along OUT minus matched "
    "random perturbation, averaged over norm losses up to 0.5 and over layers",
    unit="logit",
    comparisons=(Comparison("truncation", "perturbation"),),
    needs=("truncation", "controls"),
    lacking=_LACKING,
    measure=_difference,
    check=_by_loss,
    tell=_told,
    limits=_limits,
)
