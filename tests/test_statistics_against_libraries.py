"""Oracles: definitions in plain Python; statsmodels, scipy and NumPy, by another function."""

import math

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.power import TTestPower

from analyses.statistics import (
    benjamini_yekutieli,
    crossed_slope,
    holm,
    minimal_detectable_effect,
    rank_correlation,
    sign_flip_test,
    slope,
    spread,
    t_interval,
)


def holm_by_definition(p):
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted, largest = [0.0] * len(p), 0.0
    for step, i in enumerate(order):
        largest = max(largest, p[i] * (len(p) - step))
        adjusted[i] = min(largest, 1.0)
    return adjusted


def benjamini_yekutieli_by_definition(p):
    m = len(p)
    harmonic = sum(1 / k for k in range(1, m + 1))
    rank = {v: sum(w <= v for w in p) for v in p}
    return [min(1.0, *(w * m * harmonic / rank[w] for w in p if w >= v)) for v in p]


@pytest.mark.parametrize("seed", range(20))
def test_corrections_are_their_definitions(seed):
    rng = np.random.default_rng(seed)
    p = np.round(rng.uniform(size=rng.integers(2, 30)) ** 3, 2)
    np.testing.assert_allclose(holm(p), holm_by_definition(p), rtol=1e-12)
    expected = benjamini_yekutieli_by_definition(p)
    np.testing.assert_allclose(benjamini_yekutieli(p), expected, rtol=1e-12)


@pytest.mark.parametrize("correction", [holm, benjamini_yekutieli])
def test_a_missing_p_is_not_counted_and_stays_missing(correction):
    p = np.array([0.01, np.nan, 0.04, 0.2, np.nan])
    adjusted = correction(p)
    np.testing.assert_array_equal(np.isnan(adjusted), np.isnan(p))
    np.testing.assert_allclose(adjusted[[0, 2, 3]], correction(p[[0, 2, 3]]))
    assert np.isnan(correction(np.array([np.nan]))).all()


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


def test_beyond_twelve_networks_detectability_is_that_of_the_t_test():
    values = np.random.default_rng(0).normal(0, 2, 20)
    power = TTestPower().power(minimal_detectable_effect(values) / values.std(ddof=1), 20, 0.05)
    assert power == pytest.approx(0.8, abs=1e-6)


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, 30).astype(float), rng.normal(size=30)
    ranked = np.corrcoef(scipy.stats.rankdata(x), scipy.stats.rankdata(y))[0, 1]
    assert rank_correlation(x, y) == pytest.approx(ranked, rel=1e-12)
    assert math.isnan(rank_correlation(x, np.zeros(30)))
    assert math.isnan(rank_correlation(np.array([]), np.array([])))
    assert math.isnan(rank_correlation(x, np.full(30, np.nan)))


def test_slope_is_the_least_squares_fit():
    x, y = np.random.default_rng(0).normal(size=(2, 7))
    assert slope(x, y) == pytest.approx(np.polyfit(x, y, 1)[0])


@pytest.mark.parametrize(("n_seeds", "n_layers"), [(8, 4), (3, 53)])
def test_the_mixed_model_finds_a_planted_slope(n_seeds, n_layers):
    rng = np.random.default_rng(4)
    x = np.linspace(0, 1, n_layers)
    y = (
        2 * x
        + 0.5 * rng.normal(size=(n_seeds, 1))
        + 0.1 * rng.normal(size=n_layers)
        + 0.05 * rng.normal(size=(n_seeds, n_layers))
    )
    found = crossed_slope(x, y)
    assert found.usable
    assert abs(found.estimate - 2) < 4 * found.standard_error
    assert found.p < 0.05
    # In a balanced design the slope is that of the layers' means, whatever the variances.
    assert found.estimate == pytest.approx(np.polyfit(x, y.mean(axis=0), 1)[0], rel=1e-3)
    residual = y.mean(axis=0) - np.polyval(np.polyfit(x, y.mean(axis=0), 1), x)
    error = np.sqrt(residual @ residual / (n_layers - 2) / ((x - x.mean()) @ (x - x.mean())))
    assert found.standard_error == pytest.approx(error, rel=0.15)


def test_the_mixed_model_counts_the_chance_of_having_met_these_layers():
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1, 4)
    rejected = 0
    for _ in range(60):
        y = rng.normal(size=4) + 0.1 * rng.normal(size=(8, 4))
        found = crossed_slope(x, y)
        rejected += found.usable and found.p < 0.05
    assert rejected <= 9


@pytest.mark.parametrize("y", [np.zeros((8, 4)), np.ones((1, 4)), np.zeros((8, 2))])
def test_a_degenerate_fit_is_refused(y):
    found = crossed_slope(np.linspace(0, 1, y.shape[1]), y)
    assert not found.usable
    assert math.isnan(found.p)
    assert found.reason
