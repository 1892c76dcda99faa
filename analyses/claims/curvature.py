"""Is the loss flatter along small truncations than along random directions?

Primary statistic: the rank of the truncation's curvature c = d'Hd / d'd, d = K_r - K, among those
of the layer's stored random directions: the share of them that is more curved (ties count half),
less one half. Averaged, for each network, over the truncations along a cut with norm loss up to
0.1, then over the layers. Where truncations are no other than random directions it is symmetric
about zero for every truncation, whatever the law of the curvatures and in whatever coordinates. One
comparison a cut.

Why small truncations: curvature is local, and says least of what lies far from the trained weights.
The range was set to 0.1 after the eight networks' data were seen at all ranges; the others stand
beside the verdict. KH and KW have three Schmidt values, and in many layers no truncation as small.

The contrast (a - c) / (|a| + |c|) with the layer's average a = trace / number of weights is an
effect size only: curvatures along random directions are skewed, and the contrast of a random
direction is therefore above zero on average.

Robustness, by another method: that contrast, less the contrast of a random direction.
"""

from collections.abc import Mapping
from typing import Final

import xarray as xr

from analyses.comparing import LARGEST_NORM_LOSS
from analyses.curvatures import (
    SMALL,
    Reach,
    along,
    average_curvature,
    contrasts,
    random_contrasts,
    ranks,
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
)
from analyses.samples import Sample, sample
from analyses.statistics import MINIMUM_SEEDS
from analyses.words import and_others, number, plain, sureness, undetectable
from compressibility.store.cuts import MODES
from compressibility.store.reading import LayerData

_LACKING: Final = "curvature along truncations has not been measured"
_NO_SMALL: Final = "no layer has a truncation of norm loss up to {} along {} in every network"

RANGES: Final[Mapping[str, Reach]] = {
    "up to 0.05": (0.0, 0.05),
    f"up to {SMALL}": (0.0, SMALL),
    f"{SMALL} to {LARGEST_NORM_LOSS}": (SMALL, LARGEST_NORM_LOSS),
    f"up to {LARGEST_NORM_LOSS}": (0.0, LARGEST_NORM_LOSS),
}
"""Of norm loss; the second is the primary one."""


def _rank(data: LayerData, comparison: Comparison) -> Sample:
    cut, known = comparison.reference, data["random_directional_curvature"].notnull().any()
    return sample(ranks(data, cut), _NO_SMALL.format(SMALL, cut) if known else _LACKING)


def _contrast(data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    corrected = contrasts(data, comparison.reference) - random_contrasts(data)
    values = sample(corrected.where(found.present)).values
    return Robustness.by_sign_flips(
        "contrast (a − c)/(|a| + |c|) of the truncation's curvature c with the layer's average a, "
        "less that of a random direction",
        values,
        "1",
    )


def _told(evidence: Evidence) -> Told:
    data, found = evidence.data, evidence.findings
    return Told(
        found=f"{_by_cut(found)}. {_against_references(data, found)}",
        sure=sureness(found),
        unseen=(
            undetectable(found),
            _by_range(data, found),
            "Curvature is local: it describes small steps from the trained weights, while "
            "truncations are long ones; and it is taken in evaluation mode on a fixed set of "
            "training images.",
            "A truncation also shortens the kernel. Where batch normalisation follows, and takes "
            "its statistics anew, that part of it is flat by scale invariance, and grows with norm "
            "loss; datasets hold spectra and no kernels, so it cannot be taken out.",
            _how_well_known(data),
            *dict.fromkeys(text for f in found for text in f.caveats),
        ),
    )


def _by_cut(found: tuple[Finding, ...]) -> str:
    few = min(f.n_seeds for f in found) < MINIMUM_SEEDS

    def cuts(verdict: Verdict) -> str:
        return "; ".join(f.reference for f in found if f.leaning is verdict)

    by_layer = "; ".join(
        f"{f.reference} (flatter in {and_others(f.layers_that_are(Verdict.SUPPORTED))}, steeper in "
        f"{and_others(f.layers_that_are(Verdict.CONTRADICTED))})"
        for f in found
        if f.verdict is Verdict.DEPENDS
    )
    parts = (
        ("flatter", cuts(Verdict.SUPPORTED)),
        ("steeper", cuts(Verdict.CONTRADICTED)),
        ("neither to be told", cuts(Verdict.UNDECIDED)),
        ("flatter in some layers and steeper in others", by_layer),
    )
    said = ", ".join(f"{what} along {which}" for what, which in parts if which)
    start = "By the estimates from few networks alone, for" if few else "For"
    return (
        f"{start} truncations of norm loss up to {SMALL} the training loss is, beside random "
        f"directions, {said}"
    )


def _against_references(data: LayerData, found: tuple[Finding, ...]) -> str:
    """What flat is held against: the layer's average and the top of its spectrum."""
    average, top = average_curvature(data), data["hessian_layer_eigenvalue"]
    curvatures = xr.concat([along(data, f.reference) for f in found], "cut")
    told = (
        f"By cut and layer, the curvature is {_between(curvatures / average)} times the layer's "
        "average"
    )
    if (curvatures * top).notnull().any():
        told += (
            f" and {_between(100 * curvatures / top)} % of its top Hessian eigenvalue; that of a "
            f"random direction is once the average, by definition, and "
            f"{_between(100 * average / top)} % of the top"
        )
    return f"{told}."


def _between(values: xr.DataArray) -> str:
    means = values.mean("seed")
    low, high = plain(float(means.min())), plain(float(means.max()))
    return low if low == high else f"{low} to {high}"


def _by_range(data: LayerData, found: tuple[Finding, ...]) -> str:
    rows = []
    for name, reach in RANGES.items():
        shares = {f.reference: ranks(data, f.reference, reach) for f in found}
        known = {cut: table for cut, table in shares.items() if table.notnull().any()}
        listed = "; ".join(f"{cut} {number(_mean(table))}" for cut, table in known.items())
        rows.append(f"{name}: {listed or 'none'}")
    return (
        "It hangs on the range of norm losses. Share of random directions more curved than the "
        f"truncation, less one half, by range: {'. '.join(rows)}."
    )


def _mean(table: xr.DataArray) -> float:
    return float(sample(table).values.mean())


def _how_well_known(data: LayerData) -> str:
    trace, error = data["hessian_layer_trace"], data["hessian_layer_trace_standard_error"]
    directions = data["random_directional_curvature"].notnull().sum("direction")
    unsure = int((abs(trace) < 2 * error).sum())
    return (
        f"The rank is among {int(directions.max())} random directions a layer. The layer's average "
        f"is estimated from them; in {unsure} of {int(trace.notnull().sum())} layers and networks "
        "it is within two standard errors of zero."
    )


FLATTER: Final = Claim(
    key="curvature",
    title="Curvature",
    question="Is the loss flatter along small truncations than along random directions?",
    claim="The training loss curves less along small truncations, whatever the cut, than along "
    "random directions of the layer's weights.",
    null="A truncation's rank of curvature among random directions is symmetric about the middle "
    "over networks.",
    statistic="share of the layer's random directions along which the loss is more curved than "
    "along the truncation (ties half), less one half, averaged over truncations with norm loss up "
    f"to {SMALL} and over layers",
    unit="share of directions",
    comparisons=tuple(Comparison(cut) for cut in MODES),
    needs=("truncation", "curvature"),
    lacking=_LACKING,
    measure=_rank,
    check=_contrast,
    tell=_told,
    rule=Rule.EVERY_MEASURED,
)
