"""Oracles: definitions in plain Python; statsmodels, scipy and NumPy, by another function."""

import math

import numpy as np
import pytest
import scipy.stats
from statsmodels.regression.linear_model import OLS

from analyses.statistics import (
    benjamini_yekutieli,
    rank_correlation,
    sign_flip_test,
    slope,
    spread,
    t_interval,
    trend,
)


def benjamini_yekutieli_by_definition(p):
    m = len(p)
    harmonic = sum(1 / k for k in range(1, m + 1))
    rank = {v: sum(w <= v for w in p) for v in p}
    return [min(1.0, *(w * m * harmonic / rank[w] for w in p if w >= v)) for v in p]


@pytest.mark.parametrize("seed", range(20))
def test_the_false_discovery_rate_is_its_definition(seed):
    rng = np.random.default_rng(seed)
    p = np.round(rng.uniform(size=rng.integers(2, 30)) ** 3, 2)
    expected = benjamini_yekutieli_by_definition(p)
    np.testing.assert_allclose(benjamini_yekutieli(p), expected, rtol=1e-12)


def test_a_missing_p_is_not_counted_and_stays_missing():
    p = np.array([0.01, np.nan, 0.04, 0.2, np.nan])
    adjusted = benjamini_yekutieli(p)
    np.testing.assert_array_equal(np.isnan(adjusted), np.isnan(p))
    np.testing.assert_allclose(adjusted[[0, 2, 3]], benjamini_yekutieli(p[[0, 2, 3]]))
    assert np.isnan(benjamini_yekutieli(np.array([np.nan]))).all()


def test_a_map_keeps_its_shape():
    p = np.random.default_rng(0).uniform(size=(3, 4))
    np.testing.assert_array_equal(benjamini_yekutieli(p).ravel(), benjamini_yekutieli(p.ravel()))


def test_sign_flips_are_the_permutation_test_of_scipy():
    values = np.random.default_rng(0).normal(0.5, 1, 9)
    oracle = scipy.stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip_test(values) == pytest.approx(oracle.pvalue)


def test_the_t_interval_is_that_of_scipy():
    values = np.random.default_rng(0).normal(0.5, 1, 4)
    found = t_interval(values)
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert (t_interval([2.0] * 3).low, t_interval([2.0] * 3).high) == (2, 2)


def test_the_spread_is_the_t_interval_of_every_point():
    values = np.random.default_rng(0).normal(0.5, 1, (4, 6))
    mean, low, high = spread(values)
    for i in range(6):
        found = t_interval(values[:, i])
        assert (low[i], high[i]) == pytest.approx((found.low, found.high), rel=1e-12)
        assert mean[i] == pytest.approx(values[:, i].mean())
    mean, low, high = spread(values[:1])
    np.testing.assert_array_equal(mean, values[0])
    assert np.isnan([low, high]).all()


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, 30).astype(float), rng.normal(size=30)
    ranked = np.corrcoef(scipy.stats.rankdata(x), scipy.stats.rankdata(y))[0, 1]
    assert rank_correlation(x, y) == pytest.approx(ranked, rel=1e-12)
    assert math.isnan(rank_correlation(x, np.zeros(30)))
    assert math.isnan(rank_correlation(np.array([]), np.array([])))
    assert math.isnan(rank_correlation(x, np.full(30, np.nan)))


@pytest.mark.parametrize("groups", [None, [1, 1, 2, 2, 2, 3, 3, 3, 3, 4]])
def test_a_trend_is_that_of_ordinary_least_squares(groups):
    """Of statsmodels, with an intercept for each group."""
    x, y = np.random.default_rng(0).normal(size=(2, 10))
    intercepts = np.ones((10, 1)) if groups is None else np.equal.outer(groups, np.unique(groups))
    fit = OLS(y, np.column_stack([x, intercepts]).astype(float)).fit()
    found = trend(x, y, groups)
    assert found.slope == pytest.approx(fit.params[0], rel=1e-12)
    assert found.p == pytest.approx(fit.pvalues[0], rel=1e-10)
    assert found.degrees_of_freedom == fit.df_resid
    assert slope(x, y, groups) == found.slope


def test_the_trend_of_layer_means_is_exact_in_a_balanced_design():
    """Crossed normal effects of networks and layers: 0.05 of nulls are rejected, at 99.9 %."""
    rng = np.random.default_rng(0)
    depth, draws = np.linspace(0, 1, 4), 2000
    layers, networks = rng.normal(size=(draws, 1, 4)), rng.normal(size=(draws, 8, 1))
    y = layers + networks + 0.3 * rng.normal(size=(draws, 8, 4))
    rejected = sum(trend(depth, each.mean(axis=0)).p <= 0.05 for each in y)
    assert scipy.stats.binom.ppf(0.0005, draws, 0.05) <= rejected
    assert rejected <= scipy.stats.binom.ppf(0.9995, draws, 0.05)
    assert slope(depth, y[0].mean(axis=0)) == pytest.approx(
        np.mean([slope(depth, network) for network in y[0]])
    )


def test_without_degrees_of_freedom_or_depths_there_is_no_p():
    two = trend(np.array([0.0, 1.0]), np.array([1.0, 3.0]))
    assert (two.slope, two.degrees_of_freedom) == (2.0, 0)
    assert math.isnan(two.p)
    alike = trend(np.array([0.2, 0.2, 0.5]), np.arange(3.0), ["a", "a", "b"])
    assert math.isnan(alike.slope)
    assert math.isnan(alike.p)
    assert math.isnan(trend(np.arange(4.0), np.zeros(4)).p)
    pairs = trend(np.array([0.1, 0.2, 0.7, 0.8]), np.array([1.0, 2, 5, 4]), ["a", "a", "b", "b"])
    assert pairs.slope == pytest.approx(0, abs=1e-12)
    assert pairs.degrees_of_freedom == 1
