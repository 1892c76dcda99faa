"""Oracles: decompositions drawn with known effects, and scipy's rank correlation."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from analyses import proxies
from analyses.claims.cp import AT_EQUAL_ERROR
from analyses.claims.cp import AT_EQUAL_PARAMETERS as CP_AT_EQUAL_PARAMETERS
from analyses.claims.formats import AT_EQUAL_ERROR as FORMATS_AT_EQUAL_ERROR
from analyses.claims.formats import AT_EQUAL_PARAMETERS as FORMATS_AT_EQUAL_PARAMETERS
from analyses.claims.whitened import BETTER_FACTORS, BETTER_PROXY, proxies_of
from analyses.findings import Verdict
from analyses.verdicts import answer
from compressibility.store.cuts import MODES
from compressibility.store.reading import LayerData
from tests.synthetic_dataset import Effects, make, unmeasured


@pytest.mark.parametrize(
    ("cp", "verdict"), [(0.01, Verdict.SUPPORTED), (60.0, Verdict.CONTRADICTED)]
)
def test_cp_that_loses_little_or_much_is_told(cp, verdict):
    """At ratios where cuts lose much, and where they lose little."""
    ds = make(Effects(cp=cp, strength=20 if cp < 1 else 4), np.random.default_rng(8), n_images=5000)
    found = answer(CP_AT_EQUAL_PARAMETERS, LayerData(ds))
    assert found.verdict is verdict


@pytest.mark.parametrize(("cp", "sign"), [(0.3, 1), (1.0, 0), (3.0, -1)])
def test_cp_that_loses_as_much_as_a_truncation_of_its_error_is_told_from_more(cp, sign):
    """Oracle: what is planted is by the relative error, with every cut alike."""
    ds = make(Effects(cp=cp, noise=0.02), np.random.default_rng(8), n_images=10_000)
    found = answer(AT_EQUAL_ERROR, LayerData(ds))
    for f in found.findings:
        assert f.estimate == pytest.approx(0, abs=0.003) if sign == 0 else f.estimate * sign > 0.006
    if sign:
        assert found.verdict is (Verdict.SUPPORTED if sign > 0 else Verdict.CONTRADICTED)


@pytest.mark.parametrize(
    ("formats", "verdict"), [(0.01, Verdict.SUPPORTED), (20.0, Verdict.CONTRADICTED)]
)
def test_tensor_formats_that_lose_little_or_much_are_told(formats, verdict):
    effects = Effects(formats=formats, cp=1 if formats < 1 else 0.01, strength=10)
    found = answer(FORMATS_AT_EQUAL_PARAMETERS, LayerData(make(effects, np.random.default_rng(8))))
    assert found.verdict is verdict
    assert {f.label for f in (f.comparison for f in found.findings)} == {
        f"{name} − {other}" for name in ("Tucker-2", "TT") for other in (*MODES, "CP")
    }
    for f in found.findings:
        assert f.robustness.agrees_with(f.estimate)


@pytest.mark.parametrize(("formats", "sign"), [(0.3, 1), (1.0, 0), (3.0, -1)])
def test_tensor_formats_that_lose_as_much_as_others_of_their_error_are_told_from_more(
    formats, sign
):
    """Oracle: what is planted is by the relative error, with every cut and CP alike."""
    effects = Effects(formats=formats, noise=0.02)
    ds = make(effects, np.random.default_rng(8), n_images=10_000)
    found = answer(FORMATS_AT_EQUAL_ERROR, LayerData(ds))
    assert len(found.findings) == 16
    for f in found.findings:
        assert f.estimate == pytest.approx(0, abs=0.003) if sign == 0 else f.estimate * sign > 0.006
    if sign:
        assert found.verdict is (Verdict.SUPPORTED if sign > 0 else Verdict.CONTRADICTED)


def test_tensor_formats_are_compared_with_truncations_alone_where_cp_is_not_measured(planted):
    found = answer(FORMATS_AT_EQUAL_ERROR, LayerData(unmeasured(planted, "cp")))
    assert {f.other for f in found.findings} == set(MODES)


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
