"""Oracles: the definition, enumerated in plain Python; and the promise, simulated."""

import itertools
import math

import numpy as np
import pytest

from analyses.statistics import (
    equivalence_test,
    interval,
    one_sided_sign_flip_test,
    p_floor,
    sign_flip_interval,
    sign_flip_test,
    t_interval,
)

ATTAINED = 6 / 128
"""The size of the two-sided test of eight networks at 0.05."""


def all_signs(values):
    return [
        sum(s * v for s, v in zip(signs, values, strict=True))
        for signs in itertools.product((1, -1), repeat=len(values))
    ]


@pytest.mark.parametrize("n", [1, 2, 5, 8, 11])
def test_p_is_the_share_of_sign_patterns_at_least_as_extreme(n):
    for seed in range(5):
        values = np.random.default_rng(seed).normal(0.4, 1, n)
        sums = all_signs(values)
        two = np.mean([abs(s) >= abs(sum(values)) - 1e-9 for s in sums])
        one = np.mean([s >= sum(values) - 1e-9 for s in sums])
        assert sign_flip_test(values) == pytest.approx(two)
        assert one_sided_sign_flip_test(values) == pytest.approx(one)


def test_ties_count_as_extreme():
    assert sign_flip_test([1.0] * 8) == p_floor(8) == 0.0078125
    assert sign_flip_test([0.1, 0.2, 0.3, -0.6, 0, 0]) == 1.0
    assert sign_flip_test([0.0] * 7) == 1.0


def test_the_test_ignores_scale_and_direction():
    values = np.random.default_rng(1).normal(0.3, 1, 9)
    p = sign_flip_test(values)
    assert sign_flip_test(-values) == p
    assert sign_flip_test(1e-12 * values) == p
    assert sign_flip_test(values + 5, 5.0) == pytest.approx(p)


@pytest.mark.parametrize("n", [6, 7, 8, 10])
def test_the_interval_holds_exactly_the_centres_that_are_not_rejected(n):
    values = np.random.default_rng(n).normal(1, 2, n)
    found = sign_flip_interval(values)
    inside = np.linspace(found.low, found.high, 41)
    assert all(sign_flip_test(values, c) > 0.05 for c in inside)
    width = found.high - found.low
    for step in (1e-6, 0.01, 0.3, 2):
        assert sign_flip_test(values, found.low - step * width) <= 0.05
        assert sign_flip_test(values, found.high + step * width) <= 0.05


def test_below_six_networks_no_centre_is_rejected():
    found = sign_flip_interval([1.0, 2, 3, 4, 5])
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert sign_flip_test([1.0, 2, 3, 4, 5]) > 0.05
    assert interval([1.0, 2, 3, 4, 5]) == t_interval([1.0, 2, 3, 4, 5])
    assert math.isnan(interval([1.0]).low)


def test_the_interval_covers_the_truth_95_times_in_100():
    rng = np.random.default_rng(0)
    for draw in (rng.normal, rng.laplace, lambda size: rng.uniform(-1, 1, size)):
        covered = [0.0 in sign_flip_interval(draw(size=8)) for _ in range(1500)]
        exact = 1 - ATTAINED
        assert abs(np.mean(covered) - exact) < 4 * math.sqrt(exact * (1 - exact) / 1500)


def test_no_effect_is_found_one_time_in_twenty():
    rng = np.random.default_rng(0)
    rejected = [sign_flip_test(rng.standard_t(2, 8)) <= 0.05 for _ in range(3000)]
    exact = ATTAINED
    assert abs(np.mean(rejected) - exact) < 4 * math.sqrt(exact / 3000)


def test_equivalence_needs_every_direction_excluded():
    near, wide = np.array([0.01, -0.02, 0.03, 0, 0.01, -0.01, 0.02, 0]), np.linspace(-3, 3, 8)
    assert equivalence_test(near, 0.1) == pytest.approx(2.0**-8)
    assert equivalence_test(wide, 0.1) > 0.3
    assert equivalence_test(near + 0.2, 0.1) > 0.9
    assert equivalence_test(near - 0.2, 0.1) > 0.9


def test_equivalence_is_claimed_wrongly_one_time_in_twenty_at_the_margin():
    rng = np.random.default_rng(0)
    claimed = [equivalence_test(rng.normal(1, 0.3, 8), 1.0) <= 0.05 for _ in range(3000)]
    assert abs(np.mean(claimed) - 12 / 256) < 4 * math.sqrt(0.05 / 3000)


def test_beyond_sixteen_networks_patterns_are_drawn():
    values = np.random.default_rng(0).normal(0.5, 1, 18)
    p = sign_flip_test(values, rng=np.random.default_rng(1))
    sums = 0
    for start in range(0, 2**18, 2**16):
        signs = 1 - 2.0 * (((np.arange(start, start + 2**16)[:, None]) >> np.arange(18)) & 1)
        sums += np.count_nonzero(np.abs(signs @ values) >= abs(values.sum()) - 1e-9)
    assert p == pytest.approx(sums / 2**18, abs=5 * math.sqrt(p / 1e5))
    found = sign_flip_interval(values, rng=np.random.default_rng(1))
    assert sign_flip_test(values, found.low, rng=np.random.default_rng(2)) == pytest.approx(
        0.05, abs=0.005
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sign_flip_test(np.ones(17)), "17 networks exceed the 16"),
        (lambda: sign_flip_test([]), "one number per network"),
        (lambda: sign_flip_test([1.0, math.nan]), "1 missing"),
        (lambda: equivalence_test([1.0, 2.0], 0.0), "margin is positive"),
    ],
)
def test_what_cannot_be_tested_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
