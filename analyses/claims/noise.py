"""Does a truncation cost less accuracy than random noise of the same size?

Primary statistic: for each network the mean over layers of the difference in the share of the
accuracy above chance that is kept, truncation minus random perturbation of the same norm and
overlap, over norm losses up to 0.5, or as far as the cut reaches. One comparison a cut: the
perturbation is matched to a norm loss, whatever the cut. Robustness: the same for the test loss in
place of accuracy.
"""

from collections.abc import Callable
from typing import Final

import xarray as xr

from analyses.choices import LOSS, PRIMARY, Scale
from analyses.comparing import (
    LARGEST_NORM_LOSS,
    NORM_LOSS,
    ends_in_words,
    mean_difference,
    reach,
    scaled_curves,
    scaled_noise,
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
from analyses.words import and_others, points, raised, sureness, undetectable
from compressibility.store.curves import Curve
from compressibility.store.cuts import MODES
from compressibility.store.reading import LayerData

_LACKING: Final = "truncations and random perturbations are not both measured"


def truncation_minus_noise(
    data: LayerData, mode: str, scale: Scale = PRIMARY, end: float = LARGEST_NORM_LOSS
) -> xr.DataArray:
    """Mean difference over norm losses up to an end for each network and layer, (seed, layer).

    Missing where the cut does not exist in the layer, or equals another one.

    Raises:
        NotMeasuredError: The dataset does not have this cut.
    """
    return _compared(
        data, mode, scale, lambda curve, noise: mean_difference(curve, noise, 0.0, end)
    )


def _compared(
    data: LayerData, mode: str, scale: Scale, score: Callable[[Curve, Curve], float]
) -> xr.DataArray:
    truncated = scaled_curves(data, NORM_LOSS, scale, mode)
    return scored(data, truncated, scaled_noise(data, scale), score)


def _difference(
    data: LayerData,
    comparison: Comparison,
    scale: Scale = PRIMARY,
    end: float = LARGEST_NORM_LOSS,
) -> Sample:
    return sample(truncation_minus_noise(data, comparison.reference, scale, end), _LACKING)


def _by_loss(data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    table = truncation_minus_noise(data, comparison.reference, LOSS)
    method = "test loss (cross-entropy) in place of accuracy, perturbation minus truncation"
    return Robustness.asked_again(method, table, found, LOSS.unit)


def _limits(data: LayerData, comparison: Comparison, found: Sample) -> tuple[str, ...]:
    ends = _compared(data, comparison.reference, PRIMARY, reach)
    ends = ends.sel(layer=list(found.layers), seed=list(found.seeds))
    return (f"averaged over norm losses up to {ends_in_words(NORM_LOSS, ends)}, by layer",)


def _told(evidence: Evidence) -> Told:
    found = evidence.findings
    low, high = (end(found, key=lambda f: f.estimate) for end in (min, max))
    return Told(
        found=f"{_by_cut(found)}. The accuracy above chance kept under truncation, less that under "
        f"the perturbation, ranges from {points(low.estimate)} (along {low.reference}) to "
        f"{points(high.estimate)} (along {high.reference}), averaged over norm loss and over "
        "layers.",
        sure=sureness(found),
        unseen=(
            undetectable(found),
            "One random perturbation per network, layer and norm loss: its own luck is in every "
            "cut's comparison.",
            "Norm losses end where the cut's last truncation does, in KH and KW early.",
            *dict.fromkeys(text for s in evidence.samples.values() for text in s.left_out),
        ),
    )


def _by_cut(found: tuple[Finding, ...]) -> str:
    def along(verdict: Verdict) -> str:
        return "; ".join(f.reference for f in found if f.leaning is verdict)

    parts = (
        ("less accuracy", along(Verdict.SUPPORTED)),
        ("more accuracy", along(Verdict.CONTRADICTED)),
        ("about as much, not to be told apart,", along(Verdict.UNDECIDED)),
    )
    said = [f"{what} along {cuts}" for what, cuts in parts if cuts]
    said += [
        f"along {f.reference} less in {and_others(f.layers_that_are(Verdict.SUPPORTED))} and more "
        f"in {and_others(f.layers_that_are(Verdict.CONTRADICTED))}"
        for f in found
        if f.verdict is Verdict.DEPENDS
    ]
    few = not all(f.is_decidable for f in found)
    start = "By the estimates from few networks alone, a" if few else "A"
    first, *others = said
    first = f"{start} truncation costs, beside random noise of the same norm and overlap, {first}"
    return ". ".join([first, *map(raised, others)])


GENTLER: Final = Claim(
    key="noise",
    title="Truncation against noise",
    question="Does a truncation cost less accuracy than random noise of the same size?",
    claim="Truncating a layer, whatever the cut, loses less accuracy than a random perturbation of "
    "the same norm and overlap.",
    null="The difference is symmetric about zero over networks.",
    statistic="difference in the share of the accuracy above chance that is kept, truncation minus "
    "matched random perturbation, averaged over norm losses up to 0.5, or as far as the cut "
    "reaches, and over layers",
    unit=PRIMARY.unit,
    comparisons=tuple(Comparison(cut, "perturbation") for cut in MODES),
    needs=("truncation", "controls"),
    lacking=_LACKING,
    measure=_difference,
    check=_by_loss,
    tell=_told,
    limits=_limits,
    choices=Choices(_difference, lambda _: NORM_LOSS.reaches),
    rule=Rule.EVERY_MEASURED,
)
