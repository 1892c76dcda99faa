"""Oracles: losses that one quantity rules by construction, and scipy's rank correlations."""

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from analyses.claims.correlation_loss import TELLS, rank_correlations
from analyses.findings import Verdict
from analyses.verdicts import answer
from compressibility.store.reading import LayerData
from tests.synthetic_dataset import DIMS, Effects, make


def ruled_by(lost):
    """A dataset whose truncations lose so many log-odds, and in proportion test loss."""
    dataset = make(Effects(structure=1.0), np.random.default_rng(7), n_images=1_000_000)
    lost = lost(dataset).transpose(*DIMS).values
    counts = np.rint(1_000_000 / (1 + np.exp(-(3.5 - lost))))
    dataset["n_correct"].values[...] = np.where(np.isfinite(lost), counts, -1)
    dataset["loss"].values[...] = 0.1 + lost
    return LayerData(dataset)


FACTORS = xr.DataArray([8.0, 4.0, 2.0, 1.0], dims="layer")


@pytest.mark.parametrize(
    ("name", "verdict"),
    [("correlation_loss", Verdict.SUPPORTED), ("norm_loss", Verdict.CONTRADICTED)],
)
def test_the_loss_that_rules_within_layers_is_recognised(name, verdict):
    """Whatever the layers' factors: where one loss rules, its rank correlation is 1."""
    data = ruled_by(lambda dataset: FACTORS * dataset[name])
    found = answer(TELLS, data)
    assert found.verdict is verdict
    assert found.claim.exploratory
    table = rank_correlations(data, -data.logit_change)
    np.testing.assert_allclose(table.sel(proxy=name.replace("_", " ")), 1, rtol=1e-4)
    pooled = rank_correlations(data, -data.logit_change, pooled=True)
    assert (pooled.sel(proxy=name.replace("_", " ")) < 0.999).all()


def test_rank_correlations_are_spearmans_of_the_distinct_truncations(planted):
    data = LayerData(planted)
    found = rank_correlations(data, -data.logit_change)
    assert found.dims == ("proxy", "seed", "layer")
    pooled = {"norm loss": [], "correlation loss": [], "lost": []}
    for layer in data.layers:
        values = {"norm loss": [], "correlation loss": [], "lost": []}
        for mode in data.modes:
            here = planted.sel(layer=layer, mode=mode, seed=4)
            _, first = np.unique(here["rank"], return_index=True)
            for t in first:
                if 0 < here["norm_loss"][t] <= 0.5:
                    values["norm loss"].append(float(here["norm_loss"][t]))
                    values["correlation loss"].append(float(here["correlation_loss"][t]))
                    change = data.logit_change.sel(layer=layer, mode=mode, seed=4)
                    values["lost"].append(-float(change[t]))
        for loss in ("norm loss", "correlation loss"):
            expected = scipy.stats.spearmanr(values[loss], values["lost"]).statistic
            assert float(found.sel(layer=layer, seed=4, proxy=loss)) == pytest.approx(expected)
        for name, numbers in values.items():
            pooled[name] += numbers
    expected = scipy.stats.spearmanr(pooled["norm loss"], pooled["lost"]).statistic
    together = rank_correlations(data, -data.logit_change, pooled=True)
    assert float(together.sel(layer="all", seed=4, proxy="norm loss")) == pytest.approx(expected)


def test_a_layer_with_one_cut_tells_nothing_of_the_two_losses(planted):
    """Along one cut both order the truncations alike."""
    dataset = planted.copy(deep=True)
    gone = (dataset["layer"] == "conv3") & (dataset["mode"] != "OUT")
    dataset["n_correct"] = dataset["n_correct"].where(~gone, -1).transpose(*DIMS)
    found = answer(TELLS, LayerData(dataset))
    whole = TELLS.measure(LayerData(planted), TELLS.comparisons[0]).table
    expected = whole.drop_sel(layer="conv3").mean("layer").values
    assert found.findings[0].per_seed == pytest.approx(expected)
