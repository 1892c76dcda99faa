"""Are deeper layers more compressible along the other cuts, too?

Exploratory: the paper speaks of truncation along OUT. Statistic, check over layers and rule are
those of `analyses.claims.depth` over all layers, along each of the other cuts in turn; decided
where all of them are alike. Layers in which a cut does not exist do not count along it.
"""

from typing import Final

from analyses.choices import PRIMARY, Scale
from analyses.claims.depth import UNIT, over_layers, slopes_over_layers, span
from analyses.claims.depth import limits as limits_along
from analyses.comparing import LARGEST_NORM_LOSS, NORM_LOSS, PRIMARY_CUT
from analyses.findings import Choices, Claim, Comparison, Evidence, Rule, Told, Verdict
from analyses.samples import Sample
from analyses.words import number, sureness, undetectable
from compressibility.store.cuts import MODES
from compressibility.store.reading import LayerData

_OTHERS: Final = tuple(mode for mode in MODES if mode != PRIMARY_CUT)


def _slopes(
    data: LayerData,
    comparison: Comparison,
    scale: Scale = PRIMARY,
    end: float = LARGEST_NORM_LOSS,
) -> Sample:
    return slopes_over_layers(data, comparison.reference, scale, end)


def _limits(data: LayerData, comparison: Comparison, found: Sample) -> tuple[str, ...]:
    cut, (told,) = comparison.reference, limits_along(data, comparison, found, comparison.reference)
    absent = len(data.layers) - len(found.layers)
    few = f", in {len(found.layers)} of {len(data.layers)} layers" if absent else ""
    return (f"along {cut} {told}{few}",)


def _told(evidence: Evidence) -> Told:
    found = evidence.findings
    few = not all(f.is_decidable for f in found)
    start = "By the estimates from few networks alone, d" if few else "D"
    said = {
        "less": [f.reference for f in found if f.leaning is Verdict.SUPPORTED],
        "more": [f.reference for f in found if f.leaning is Verdict.CONTRADICTED],
    }
    parts = [f"lose {what} accuracy along {'; '.join(cuts)}" for what, cuts in said.items() if cuts]
    slopes = "; ".join(f"{f.reference} {number(f.estimate)}" for f in found)
    trend = f"{start}eeper layers {' and '.join(parts)}" if parts else "No trend is decided"
    if parts and (left := [f.reference for f in found if f.leaning is Verdict.UNDECIDED]):
        trend += f"; it stays open along {'; '.join(left)}"
    return Told(
        found=f"{trend}. Slopes from the first to the last layer: {slopes}.",
        sure=sureness(found),
        unseen=(
            undetectable(found),
            "Deeper layers of one architecture differ in more than depth; at equal shape only the "
            "claim along OUT asks.",
            *dict.fromkeys(t for s in evidence.samples.values() for t in span(evidence.data, s)),
            *dict.fromkeys(f"{t[0].upper()}{t[1:]}." for f in found for t in f.caveats),
        ),
    )


DEEPER_ALONG_OTHERS: Final = Claim(
    key="depth-cuts",
    title="Depth, along the other cuts",
    question="Are deeper layers more compressible along the other cuts, too?",
    claim="Truncating a deeper layer along any cut but OUT loses less accuracy, at equal norm "
    "loss.",
    null="The slope against depth is symmetric about zero over networks, or layers differ for "
    "other reasons than depth.",
    statistic="slope over layers of the change in the share of the accuracy above chance that is "
    "kept (truncation along the cut, averaged over norm losses up to 0.5) against relative depth",
    unit=UNIT,
    comparisons=tuple(Comparison(cut) for cut in _OTHERS),
    needs=("truncation",),
    lacking="truncations along other cuts than OUT are not measured",
    measure=_slopes,
    check=over_layers,
    tell=_told,
    limits=_limits,
    choices=Choices(_slopes, lambda _: NORM_LOSS.reaches),
    rule=Rule.UNANIMOUS,
    needs_check=True,
    exploratory=True,
)
