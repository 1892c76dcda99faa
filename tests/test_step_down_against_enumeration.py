"""Oracles: the definition, enumerated in plain Python; the promise, simulated; one comparison."""

import itertools
import math
import statistics

import numpy as np
import pytest
from scipy.stats import binom

from analyses.statistics import sign_flip_interval, sign_flip_test, step_down

SIZES = [(6, 2), (7, 3), (8, 6)]


def sizes_of_t(columns):
    """Student's |t| of each column of complete numbers."""
    return [
        abs(statistics.mean(c)) / (statistics.stdev(c) / math.sqrt(len(c)) or 1e-300)
        for c in columns
    ]


def self_normalised(columns):
    """The same with None for what is missing, which adds nothing."""
    known = [[x for x in c if x is not None] for c in columns]
    return [abs(sum(c)) / math.sqrt(sum(x * x for x in c)) for c in known]


def flips(columns):
    """The columns under every sign pattern of whole networks."""
    for signs in itertools.product((1, -1), repeat=len(columns[0])):
        yield [
            [None if x is None else s * x for s, x in zip(signs, c, strict=True)] for c in columns
        ]


def by_definition(columns, size):
    """Westfall and Young's free step-down: the largest of what has not been decided yet."""
    observed = size(columns)
    order = sorted(range(len(columns)), key=lambda j: -observed[j])
    every = [size(flipped) for flipped in flips(columns)]
    adjusted, least = [0.0] * len(columns), 0.0
    for step, j in enumerate(order):
        largest = [max(sizes[k] for k in order[step:]) for sizes in every]
        p = sum(m >= observed[j] * (1 - 1e-9) for m in largest) / len(every)
        adjusted[j] = least = max(least, p)
    return adjusted


def drawn(n, k, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, k)) + 0.7 * rng.normal(size=(n, 1)) + rng.uniform(-1, 2, size=k)


@pytest.mark.parametrize(("n", "k"), SIZES)
@pytest.mark.parametrize("seed", range(4))
def test_adjusted_p_is_that_of_max_t_by_definition(n, k, seed):
    table = drawn(n, k, seed)
    found = step_down(table)
    expected = by_definition(table.T.tolist(), sizes_of_t)
    assert [f.p_adjusted for f in found] == pytest.approx(expected)
    for f, column in zip(found, table.T, strict=True):
        assert f.p == pytest.approx(sign_flip_test(column))
        assert f.p <= f.p_adjusted
        assert f.estimate == pytest.approx(column.mean())


@pytest.mark.parametrize("seed", range(4))
def test_a_network_without_a_comparison_adds_nothing_to_it(seed):
    table = drawn(7, 3, seed)
    table[[0, 2], [1, 1]] = np.nan
    table[4, 0] = np.nan
    columns = [[None if math.isnan(x) else x for x in c] for c in table.T.tolist()]
    found = step_down(table)
    assert [f.p_adjusted for f in found] == pytest.approx(by_definition(columns, self_normalised))
    for f, column in zip(found, table.T, strict=True):
        assert f.p == pytest.approx(sign_flip_test(column[np.isfinite(column)]))
        assert f.estimate == pytest.approx(np.nanmean(column))


@pytest.mark.parametrize("n", [6, 8, 11])
def test_one_comparison_is_the_sign_flip_test_and_its_interval(n):
    for seed in range(5):
        values = np.random.default_rng(seed).normal(0.6, 1, n)
        (found,) = step_down(values[:, None])
        expected = sign_flip_interval(values)
        assert found.p_adjusted == found.p == pytest.approx(sign_flip_test(values))
        ends = (found.interval.low, found.interval.high)
        assert ends == pytest.approx((expected.low, expected.high))
        assert found.interval.kind == expected.kind
        assert found.half_width == pytest.approx((ends[1] - ends[0]) / 2)


@pytest.mark.parametrize("n", [3, 6, 7, 16])
def test_the_floor_does_not_rise_with_the_number_of_comparisons(n):
    table = np.broadcast_to(1.0 + 0.1 * np.arange(40), (n, 40)) * np.sign(np.arange(40) - 17.5)
    assert {f.p_adjusted for f in step_down(table)} == {2.0 ** (1 - n)}
    part = table.copy()
    part[:2, 0] = np.nan
    assert step_down(part)[0].p_adjusted == pytest.approx(2.0 ** (3 - n))


def test_a_comparison_told_twice_costs_nothing_and_order_does_not_matter():
    table = drawn(8, 4, 1)
    p = np.array([f.p_adjusted for f in step_down(table)])
    twice = [f.p_adjusted for f in step_down(np.hstack([table, -table]))]
    assert twice == pytest.approx([*p, *p])
    order = [2, 0, 3, 1]
    assert [f.p_adjusted for f in step_down(1e9 * table[:, order])] == pytest.approx(p[order])


def test_nothing_but_zeros_is_no_effect():
    found = step_down(np.column_stack([np.zeros(8), np.ones(8)]))
    assert [f.p_adjusted for f in found] == [1.0, 2.0**-7]
    assert found[0].interval.low == found[0].interval.high == 0


def rejects(table, j, centre, alpha=0.05):
    """Plainly: too few patterns under which some comparison reaches as far as this about here.

    The others about zero, or about their means.
    """
    shifted = [x - centre for x in table[:, j]]
    observed = abs(sum(shifted)) / math.sqrt(sum(x * x for x in shifted))
    others = [table[:, k] for k in range(table.shape[1]) if k != j]
    others = [*others, *(c - c.mean() for c in others)]
    count = 0
    for signs in itertools.product((1, -1), repeat=len(table)):
        sizes = [abs(np.dot(signs, c)) / math.sqrt(c @ c) for c in [np.array(shifted), *others]]
        count += max(sizes) >= observed - 1e-9
    return count / 2 ** len(table) <= alpha


@pytest.mark.parametrize(("n", "k"), [(6, 2), (7, 3)])
def test_the_interval_holds_exactly_the_centres_that_are_not_rejected(n, k):
    table = drawn(n, k, 0)
    for j, f in enumerate(step_down(table)):
        cut = "cut" in f.interval.kind
        middle, step = f.estimate, 1e-6 * f.half_width
        low = f.interval.high - 2 * f.half_width if cut and middle > 0 else f.interval.low
        high = low + 2 * f.half_width
        assert not any(rejects(table, j, c) for c in np.linspace(low + step, high - step, 5))
        assert rejects(table, j, low - step)
        assert rejects(table, j, high + step)


def test_p_and_interval_never_contradict_each_other():
    """Over families with none, some and large effects, some of which only the step-down decides."""
    rng, cut = np.random.default_rng(3), 0
    for _ in range(300):
        n, k = rng.integers(6, 10), rng.integers(1, 7)
        table = rng.normal(size=(n, k)) + rng.normal(size=(n, 1)) + rng.uniform(0, 3, size=k)
        for f in step_down(table):
            inside = f.interval.low < 0 < f.interval.high
            assert inside == (f.p_adjusted > 0.05)
            assert f.estimate in f.interval
            cut += "cut at 0" in f.interval.kind
    assert cut > 20


def correlated(rng, draws, n, k, law):
    """Correlated comparisons, symmetric about zero: networks of their own spread, common parts."""
    values = rng.normal(size=(draws, n, k)) + 1.5 * rng.normal(size=(draws, n, 1))
    values[..., 1] = -values[..., 0] + 0.1 * values[..., 1]
    if law == "heavy":
        values /= np.sqrt(rng.chisquare(2, size=(draws, n, 1)) / 2)
    return values


@pytest.mark.parametrize("law", ["normal", "heavy"])
@pytest.mark.parametrize("effect", [0.0, 4.0])
def test_the_family_wise_error_is_nominal(law, effect):
    """At most, within the 99.9 % binomial limit; two comparisons may have a true effect."""
    draws, wrong = 1000, 0
    for table in correlated(np.random.default_rng(0), draws, 7, 5, law):
        table[:, 3:] += effect
        wrong += min(f.p_adjusted for f in step_down(table)[:3]) <= 0.05
    assert wrong <= binom.ppf(0.999, draws, 0.05)
    assert wrong >= binom.ppf(0.001, draws, 0.015)


@pytest.mark.parametrize("effect", [0.0, 1.5, 4.0])
def test_all_intervals_hold_their_centres_as_often_as_said(effect):
    draws, missed = 1000, 0
    for table in correlated(np.random.default_rng(1), draws, 8, 4, "normal"):
        table[:, 2:] += effect
        centres = [0, 0, effect, effect]
        held = [
            f.interval.low <= c <= f.interval.high and not ("cut" in f.interval.kind and c == 0)
            for f, c in zip(step_down(table), centres, strict=True)
        ]
        missed += not all(held)
    assert missed <= binom.ppf(0.999, draws, 0.06)


def test_an_effect_of_half_the_width_is_found_every_other_time():
    rng, found = np.random.default_rng(2), 0
    width = np.median([step_down(rng.normal(size=(8, 1)))[0].half_width for _ in range(400)])
    for _ in range(1000):
        found += step_down(rng.normal(width, 1, size=(8, 1)))[0].p <= 0.05
    assert 0.4 < found / 1000 < 0.65


def test_beyond_sixteen_networks_patterns_are_drawn():
    table = drawn(18, 3, 2) - 0.4
    found = step_down(table, rng=np.random.default_rng(0))
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=17)))
    units = table / np.sqrt((table**2).sum(axis=0))
    sizes = np.abs(units[0] + signs @ units[1:])
    order = np.argsort(-sizes[0])
    least = 0.0
    for step, j in enumerate(order):
        p = np.mean(sizes[:, order[step:]].max(axis=1) >= sizes[0, j] - 1e-9)
        least = max(least, p)
        assert found[j].p_adjusted == pytest.approx(least, abs=5 * math.sqrt(least / 1e5))
        assert (found[j].interval.low < 0 < found[j].interval.high) == (found[j].p_adjusted > 0.05)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.ones((17, 2)), "17 networks exceed the 16"),
        (np.ones(4), "every comparison needs a network"),
        (np.array([[1.0, np.nan], [2.0, np.nan]]), "every comparison needs a network"),
    ],
)
def test_what_is_no_family_is_refused(table, message):
    with pytest.raises(ValueError, match=message):
        step_down(table)
