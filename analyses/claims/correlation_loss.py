"""Does the correlation loss tell the loss of accuracy better than the norm loss does?

Exploratory, beside the four questions. Statistic: in each layer of a network, over its distinct
truncations along all cuts with norm loss up to 0.5, the rank correlation of the accuracy lost
(log-odds) with the correlation loss, minus that with the norm loss; averaged over layers. Along one
cut both losses order the truncations alike, so a layer takes part with two cuts or more. Layers are
not pooled: that some lose more than others, whatever the cut, is no merit of either loss.
Robustness: test loss in place of accuracy.
"""

from typing import Final

import xarray as xr

from analyses import proxies
from analyses.findings import Claim, Comparison, Evidence, Robustness, Told
from analyses.samples import Sample, sample
from analyses.words import in_words, number, plain, sureness, undetectable
from compressibility.store.reading import LayerData

_LACKING: Final = "no layer has three truncations along two cuts with norm loss up to 0.5"
_LOSSES: Final = ("correlation loss", "norm loss")


def rank_correlations(data: LayerData, lost: xr.DataArray, *, pooled: bool = False) -> xr.DataArray:
    """Of what is lost with either loss; see `analyses.proxies.rank_correlations`."""
    losses = {"correlation loss": data["correlation_loss"], "norm loss": data["norm_loss"]}
    return proxies.rank_correlations(data, lost, losses, pooled=pooled)


def _differences(data: LayerData, lost: xr.DataArray, *, pooled: bool = False) -> xr.DataArray:
    return proxies.first_less_second(rank_correlations(data, lost, pooled=pooled))


def _difference(data: LayerData, comparison: Comparison) -> Sample:
    return sample(_differences(data, -data.logit_change), _LACKING)


def _by_loss(data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    method = "test loss (cross-entropy) in place of accuracy"
    return Robustness.asked_again(method, _differences(data, data.loss_change), found, "1")


def _told(evidence: Evidence) -> Told:
    data, (found,) = evidence.data, evidence.findings
    (drawn,) = evidence.samples.values()
    table = rank_correlations(data, -data.logit_change).where(drawn.table.notnull())
    result = in_words(
        found,
        "Correlation loss orders truncations by their cost better than norm loss does",
        "Norm loss orders truncations by their cost better than correlation loss does",
        "Correlation loss and norm loss order truncations by their cost about "
        "as well; which is better stays open",
    )
    first, second = (plain(float(table.sel(proxy=loss).mean())) for loss in _LOSSES)
    pooled = float(_differences(data, -data.logit_change, pooled=True).mean())
    return Told(
        found=f"{result}: within a layer, rank correlation with the accuracy lost {first} against "
        f"{second}.",
        sure=sureness(evidence.findings),
        unseen=(
            undetectable(evidence.findings),
            "Truncations of different cuts weigh as many as the grid of thresholds has of them; "
            "another grid would weigh them differently. Over the truncations of all layers "
            f"together the difference is {number(pooled)}.",
            *found.caveats,
        ),
    )


TELLS: Final = Claim(
    key="correlation",
    title="Correlation loss",
    question="Does correlation loss tell the loss of accuracy better than norm loss?",
    claim="Within a layer, the rank correlation of accuracy lost with correlation loss exceeds "
    "that with norm loss.",
    null="The difference of the two rank correlations is symmetric about zero over networks.",
    statistic="rank correlation of lost log-odds with correlation loss, minus with norm loss, over "
    "a layer's distinct truncations along all cuts with norm loss above 0 and up to 0.5, averaged "
    "over layers",
    unit="1",
    comparisons=(Comparison("correlation loss", "norm loss"),),
    needs=("truncation",),
    lacking=_LACKING,
    measure=_difference,
    check=_by_loss,
    tell=_told,
    exploratory=True,
)
