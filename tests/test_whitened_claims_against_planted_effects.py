"""Oracles: effects planted in a synthetic dataset, and scipy's rank correlation."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from analyses import proxies
from analyses.claims.whitened import BETTER_FACTORS, BETTER_PROXY, proxies_of
from analyses.findings import Verdict
from analyses.verdicts import answer
from compressibility.store.cuts import MODES
from compressibility.store.reading import LayerData
from tests.synthetic_dataset import Effects, make


@pytest.mark.parametrize(
    ("whitened", "verdict"), [(0.3, Verdict.SUPPORTED), (3.0, Verdict.CONTRADICTED)]
)
def test_truncations_that_lose_less_or_more_at_equal_rank_are_told(whitened, verdict) -> None:
    effects = Effects(whitened=whitened, strength=6)
    found = answer(BETTER_FACTORS, LayerData(make(effects, np.random.default_rng(3))))
    assert found.verdict is verdict
    assert [f.other for f in found.findings] == list(MODES)
    for finding in found.findings:
        assert finding.robustness.agrees_with(finding.estimate)
        assert finding.estimate * (1 - whitened) > 0


def test_truncations_alike_differ_by_nothing() -> None:
    found = answer(BETTER_FACTORS, LayerData(make(Effects(strength=6), np.random.default_rng(3))))
    assert found.verdict is Verdict.UNDECIDED
    for finding in found.findings:
        assert finding.estimate == pytest.approx(0, abs=0.01)


def test_an_error_that_orders_truncations_exactly_is_the_better_proxy() -> None:
    """The planted output error is the root of what is lost; cuts lose unequally."""
    effects = Effects(strength=6, cut={"OUT": 4.0, "IN": 0.25})
    found = answer(BETTER_PROXY, LayerData(make(effects, np.random.default_rng(4))))
    assert found.verdict is Verdict.SUPPORTED
    [finding] = found.findings
    assert finding.estimate > 0.05


def test_the_rank_correlations_are_scipys() -> None:
    dataset = make(Effects(strength=6), np.random.default_rng(5))
    data = LayerData(dataset)
    lost = -data.logit_change
    found = proxies.rank_correlations(data, lost, proxies_of(data))
    layer, seed = data.layers[1], data.seeds[2]
    here = {"layer": layer, "seed": seed}
    rank = data["rank"].sel(here).values
    norm, cost = data["norm_loss"].sel(here).values, lost.sel(here).values
    distinct = np.ones(rank.shape, bool)
    distinct[:, 1:] = rank[:, 1:] != rank[:, :-1]
    chosen = distinct & (norm > 0) & (norm <= 0.5) & np.isfinite(cost)
    for name in ("output error", "relative error"):
        values = proxies_of(data)[name].sel(here).values
        expected = spearmanr(values[chosen], cost[chosen]).statistic
        assert float(found.sel(here | {"proxy": name})) == pytest.approx(expected)
