"""Does the correlation loss tell the loss of accuracy better than the norm loss does?

Exploratory, beside the four questions. Statistic: for each network, over all its distinct
truncations with norm loss up to 0.5 (all layers and cuts together; along one cut of one layer both
losses order the truncations alike), the rank correlation of the accuracy lost (log-odds) with the
correlation loss, minus that with the norm loss. Robustness: test loss in place of accuracy.
"""

from typing import Final

import numpy as np
import xarray as xr

from analyses.comparing import LARGEST_NORM_LOSS
from analyses.findings import Claim, Comparison, Evidence, Robustness, Told
from analyses.samples import Sample
from analyses.statistics import rank_correlation, sign_flip_test
from analyses.words import in_words, plain, sureness, undetectable
from compressibility.store.reading import LayerData, NotMeasuredError

FEWEST: Final = 3
_LACKING: Final = "no network has three truncations with norm loss up to 0.5"


def rank_correlations(data: LayerData, lost: xr.DataArray) -> xr.DataArray:
    """Rank correlations of what is lost with correlation loss and norm loss, (seed, loss).

    Over the distinct truncations of a network; the full-rank control and repeated ranks are left
    out. Not a number where fewer than three remain.
    """
    dims = ("seed", "layer", "mode", "threshold")
    rank, norm, correlation, cost, change = (
        values.transpose(*dims).values
        for values in (
            data["rank"],
            data["norm_loss"],
            data["correlation_loss"],
            lost,
            data.logit_change,
        )
    )
    repeated = np.zeros(rank.shape, dtype=bool)
    repeated[..., 1:] = rank[..., 1:] == rank[..., :-1]
    present = np.isfinite(norm) & np.isfinite(correlation) & np.isfinite(change)
    chosen = present & ~repeated & (norm > 0) & (norm <= LARGEST_NORM_LOSS)
    rows = [
        [rank_correlation(x[s][here], cost[s][here]) for x in (correlation, norm)]
        if here.sum() >= FEWEST
        else [np.nan, np.nan]
        for s, here in enumerate(chosen)
    ]
    return xr.DataArray(
        np.array(rows),
        {"seed": list(data.seeds), "loss": ["correlation loss", "norm loss"]},
        ("seed", "loss"),
    )


def _difference(data: LayerData, comparison: Comparison) -> Sample:
    table = rank_correlations(data, -data.logit_change).dropna("seed")
    if not table.sizes["seed"]:
        raise NotMeasuredError(_LACKING)
    difference = table.sel(loss=comparison.reference) - table.sel(loss=comparison.other)
    by_layer = difference.drop_vars("loss", errors="ignore").expand_dims(layer=list(data.layers))
    by_layer = by_layer.transpose("seed", "layer")
    return Sample(difference.values, by_layer, by_layer.notnull())


def _by_loss(data: LayerData, comparison: Comparison, found: Sample) -> Robustness | None:
    table = rank_correlations(data, data.loss_change).sel(seed=list(found.seeds))
    difference = table.sel(loss=comparison.reference) - table.sel(loss=comparison.other)
    if difference.isnull().any():
        return None
    return Robustness(
        "test loss (cross-entropy) in place of accuracy",
        float(difference.values.mean()),
        "1",
        sign_flip_test(difference.values, rng=np.random.default_rng(0)),
    )


def _told(evidence: Evidence) -> Told:
    data, (found,) = evidence.data, evidence.findings
    table = rank_correlations(data, -data.logit_change).dropna("seed")
    result = in_words(
        found,
        "Correlation loss orders truncations by their cost better than norm loss does",
        "Norm loss orders truncations by their cost better than correlation loss does",
        "Correlation loss and norm loss order truncations by their cost about "
        "as well; which is better stays open",
    )
    first, second = (
        plain(float(table.sel(loss=loss).mean())) for loss in (found.reference, found.other)
    )
    return Told(
        found=f"{result}: rank correlation with the accuracy lost {first} against {second}.",
        sure=sureness(evidence.findings),
        unseen=(
            undetectable(evidence.findings),
            "Truncations of different layers and cuts are pooled as they lie on the grid of "
            "thresholds; another grid would weigh them differently.",
        ),
    )


TELLS: Final = Claim(
    key="correlation",
    title="Correlation loss",
    question="Does correlation loss tell the loss of accuracy better than norm loss?",
    claim="The rank correlation of accuracy lost with correlation loss exceeds that with norm "
    "loss.",
    null="The difference of the two rank correlations is symmetric about zero over networks.",
    statistic="rank correlation of lost log-odds with correlation loss, minus with norm loss, over "
    "all distinct truncations with norm loss above 0 and up to 0.5",
    unit="1",
    comparisons=(Comparison("correlation loss", "norm loss"),),
    needs=("truncation",),
    lacking=_LACKING,
    measure=_difference,
    check=_by_loss,
    tell=_told,
    exploratory=True,
)
