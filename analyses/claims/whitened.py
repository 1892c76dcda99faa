"""Truncated for its outputs rather than for its weights, does a layer keep more accuracy?

Exploratory: the paper truncates for the weights. Two claims. At equal parameters, one comparison
for each cut: for each network the mean over layers of the difference in the share of the accuracy
above chance that is kept, truncated in the metric of what the layer sees minus truncated plainly,
averaged over the logarithm of the compression ratio from 1. And the proxy: in each layer, over its
distinct plain truncations with norm loss up to 0.5, the rank correlation of the accuracy lost
(log-odds) with the error of the outputs minus that with the error of the weights. Robustness: the
test loss in place of accuracy.
"""

from typing import Final

import xarray as xr

from analyses import decompositions, proxies
from analyses.choices import LOSS, PRIMARY, Scale
from analyses.comparing import PARAMETERS
from analyses.decompositions import FOR_OUTPUTS, absent_layers, at_equal, differences
from analyses.findings import Choices, Claim, Comparison, Evidence, Robustness, Rule, Told
from analyses.samples import Sample, sample
from analyses.words import in_words, plain, points, sureness, undetectable
from compressibility.store.reading import LayerData

_LACKING: Final = "truncations for the outputs and plain ones are not both measured"
_PROXIES: Final = ("output error", "relative error")


def _difference(
    data: LayerData, comparison: Comparison, scale: Scale = PRIMARY, end: float | None = None
) -> Sample:
    return sample(differences(PARAMETERS, data, comparison, scale, end), _LACKING)


def _by_loss(data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    table = differences(PARAMETERS, data, comparison, LOSS)
    method = "test loss (cross-entropy) in place of accuracy, less is better"
    return Robustness.asked_again(method, table, found, LOSS.unit)


def _told(evidence: Evidence) -> Told:
    found = evidence.findings
    low, high = (end(found, key=lambda f: f.estimate) for end in (min, max))
    said = decompositions.in_words(
        "a layer truncated for its outputs", found, than="the plain truncation along"
    )
    return Told(
        found=f"{at_equal(PARAMETERS, found)} {said}. The accuracy above chance kept by the one, "
        f"less that by the other, ranges from {points(low.estimate)} ({low.other}) to "
        f"{points(high.estimate)} ({high.other}).",
        sure=sureness(found),
        unseen=(
            undetectable(found),
            "Along other cuts than OUT the metric is that of what the first of two layers sees, "
            "for which the truncation is best; for the layer's outputs it is not exactly.",
            *dict.fromkeys(t for s in evidence.samples.values() for t in s.left_out),
        ),
    )


def proxies_of(data: LayerData) -> dict[str, xr.DataArray]:
    """The errors of the plain truncations' outputs and weights."""
    return {"output error": data["output_error"], "relative error": data["relative_error"]}


def _as_proxies(data: LayerData, lost: xr.DataArray) -> xr.DataArray:
    return proxies.first_less_second(proxies.rank_correlations(data, lost, proxies_of(data)))


def _better_proxy(data: LayerData, comparison: Comparison) -> Sample:
    return sample(_as_proxies(data, -data.logit_change), "no layer has three such truncations")


def _proxy_by_loss(data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    method = "test loss (cross-entropy) in place of accuracy"
    return Robustness.asked_again(method, _as_proxies(data, data.loss_change), found, "1")


def _told_of_proxies(evidence: Evidence) -> Told:
    data, (found,) = evidence.data, evidence.findings
    (drawn,) = evidence.samples.values()
    lost = -data.logit_change
    table = proxies.rank_correlations(data, lost, proxies_of(data)).where(drawn.table.notnull())
    first, second = (plain(float(table.sel(proxy=name).mean())) for name in _PROXIES)
    result = in_words(
        found,
        "The error of a layer's outputs orders truncations by their cost better than that of its "
        "weights does",
        "The error of a layer's weights orders truncations by their cost better than that of its "
        "outputs does",
        "The errors of a layer's outputs and of its weights order truncations by their cost about "
        "as well; which is better stays open",
    )
    return Told(
        found=f"{result}: within a layer, rank correlation with the accuracy lost {first} against "
        f"{second}.",
        sure=sureness(evidence.findings),
        unseen=(
            undetectable(evidence.findings),
            "Truncations of different cuts weigh as many as the grid of thresholds has of them.",
            *found.caveats,
        ),
    )


BETTER_FACTORS: Final = Claim(
    key="whitened",
    title="Truncated for the outputs or for the weights",
    question="Does a layer truncated for its outputs keep more accuracy than one truncated for its "
    "weights?",
    claim="At equal rank, a truncation that changes a layer's outputs on training images least "
    "loses less accuracy than the one that changes its weights least.",
    null="The difference is symmetric about zero over networks.",
    statistic="difference in the share of the accuracy above chance that is kept, truncated for "
    "the outputs minus for the weights, averaged over the logarithm of the compression ratio, from "
    "1 as far as both reach, and over layers",
    unit=PRIMARY.unit,
    comparisons=tuple(Comparison(name, mode) for mode, name in FOR_OUTPUTS.items()),
    needs=("truncation", "whitened"),
    lacking=_LACKING,
    measure=_difference,
    check=_by_loss,
    tell=_told,
    limits=absent_layers,
    choices=Choices(_difference, lambda _: PARAMETERS.reaches),
    rule=Rule.EVERY_MEASURED,
    exploratory=True,
)
BETTER_PROXY: Final = Claim(
    key="whitened-proxy",
    title="Error of the outputs or of the weights",
    question="Does the error of a layer's outputs tell the loss of accuracy better than that of "
    "its weights?",
    claim="Within a layer, the rank correlation of accuracy lost with the relative error of the "
    "outputs exceeds that with the relative error of the weights.",
    null="The difference of the two rank correlations is symmetric about zero over networks.",
    statistic="rank correlation of lost log-odds with the output error, minus with the relative "
    "error, over a layer's distinct plain truncations along all cuts with norm loss above 0 and up "
    "to 0.5, averaged over layers",
    unit="1",
    comparisons=(Comparison(*_PROXIES),),
    needs=("truncation", "whitened"),
    lacking=_LACKING,
    measure=_better_proxy,
    check=_proxy_by_loss,
    tell=_told_of_proxies,
    exploratory=True,
)
