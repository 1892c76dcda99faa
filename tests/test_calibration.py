"""Oracle: the binomial law. Wrong verdicts come out at most as often as a rule says."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from analyses.findings import Kind, Verdict
from analyses.report.pages import index
from analyses.report.rates import RATES, rate_text
from analyses.statistics import step_down
from analyses.topics import CLAIMS
from tests.calibration import (
    FAST,
    N_NETWORKS,
    SIZES,
    STATED,
    answered,
    coverage,
    fewest,
    first_decided,
    most,
    n_wrong,
    noise,
    verdicts,
)
from tests.laws import ABOUT_MEDIANS, LAWS, NORMAL, SKEWED, SYMMETRIC, Law, median
from tests.remedies import SHIFTS, TESTS, rejected, signs
from tests.situations import (
    AGAINST,
    BOTH,
    DEPTHS,
    EQUIVALENT,
    EVERY,
    FOR,
    IDLE,
    MEASURED,
    ONE,
    SITUATIONS,
    TREND,
    UNANIMOUS,
)

OPEN = Verdict.UNDECIDED
NAMES = ("normal, correlated", "t with 2 degrees of freedom", "ties")
QUICK = [law for law in LAWS if law.name in NAMES]
QUIET = Law("quiet", lambda rng, shape: 1e-3 * NORMAL.draw(rng, shape), "next to no spread")
BY_NAME = {each.name: each for each in (*SITUATIONS, *LAWS, *ABOUT_MEDIANS)}
README = Path(__file__).parents[1] / "README.md"


def name(case):
    return case.name


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("law", QUICK, ids=name)
@pytest.mark.parametrize("situation", SITUATIONS, ids=name)
def test_a_rule_is_wrong_at_most_as_often_as_it_says(situation, law, n):
    assert n_wrong(situation, law, FAST, n) <= most(situation.at_most, FAST)


def test_every_rule_of_a_claim_has_a_situation():
    tried = {(s.claim.rule, s.claim.kind, s.claim.needs_check) for s in SITUATIONS}
    assert {(claim.rule, claim.kind, claim.needs_check) for claim in CLAIMS} <= tried


@pytest.mark.parametrize("law", SYMMETRIC, ids=name)
def test_comparisons_that_share_causes_are_correlated_and_symmetric(law):
    """By ranks, as some laws have no variance: of signs, half agree where nothing is shared."""
    shared = next(s for s in SITUATIONS if s.shared)
    drawn = noise(shared, law, np.random.default_rng(0), 4000)[:, :2, 0]
    first, second = np.sign(drawn).T
    there = (first != 0) & (second != 0)
    assert (first == second)[there].mean() > 0.6
    above = int((first > 0).sum())
    assert binomtest(above, int((first != 0).sum())).pvalue > 0.001


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(
    ("claim", "effects", "verdict"),
    [
        (ONE, [[1]], FOR),
        (ONE, [[-1]], AGAINST),
        (EVERY, [[1], [1], [1]], FOR),
        (EVERY, [[1], [1]], OPEN),
        (EVERY, [[1], [1], [-1]], AGAINST),
        (MEASURED, 7 * [[1]], FOR),
        (MEASURED, [[1], [1]], FOR),
        (MEASURED, [*6 * [[1]], [-1]], AGAINST),
        (MEASURED, [[1], [-1]], AGAINST),
        (MEASURED, 7 * [[1, -1]], BOTH),
        (UNANIMOUS, [[1], [1]], FOR),
        (UNANIMOUS, [[-1], [-1]], AGAINST),
        (ONE, [[1, -1, 1, -1]], BOTH),
        (EVERY, [[1, 1, 1, 1], [1, -1, 1, 1], [1, 1, 1, 1]], BOTH),
        (EQUIVALENT, [[0]], FOR),
        (EQUIVALENT, [[-3]], AGAINST),
        (TREND.claim, [DEPTHS], FOR),
        (TREND.claim, [-DEPTHS], AGAINST),
    ],
)
def test_a_rule_decides_what_is_plain(claim, effects, verdict, n):
    """So that none is right by never saying anything."""
    like = next(situation for situation in SITUATIONS if situation.claim is claim)
    plain = replace(like, effects=np.array(effects, dtype=float))
    assert set(verdicts(plain, QUIET, 5, n)) == {verdict}


DIFFERENCES = {
    (s.claim.rule, s.claim.needs_check): replace(s, effects=s.effects + 9.0)
    for s in SITUATIONS
    if s.claim.kind is Kind.DIFFERENCE
}


@pytest.mark.parametrize("n", range(1, SIZES[0]))
@pytest.mark.parametrize("situation", DIFFERENCES.values(), ids=name)
def test_below_six_networks_there_are_estimates_only(situation, n):
    rng = np.random.default_rng(0)
    tables = situation.effects + noise(situation, QUIET, rng, n)
    found = answered(situation, tables.transpose(1, 0, 2))
    assert found.verdict is OPEN
    assert not found.is_decidable
    for f in found.findings:
        assert math.isfinite(f.estimate)
        assert f.half_width == math.inf
        assert f.verdict is OPEN
        assert all(math.isnan(v) for layer in f.layers for v in (layer.low, layer.p_adjusted))


@pytest.mark.parametrize("law", QUICK, ids=name)
def test_equivalence_is_held_from_five_networks_and_refused_below(law):
    inside, beyond = (s for s in SITUATIONS if s.claim is EQUIVALENT)
    assert n_wrong(inside, law, FAST, 5) <= most(inside.at_most, FAST)
    assert n_wrong(beyond, law, FAST, 5) == 0
    within = replace(inside, effects=np.zeros((1, 1)))
    assert set(verdicts(within, QUIET, 5, 5)) == {FOR}
    assert set(verdicts(within, QUIET, 5, 4)) == {OPEN}


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("law", QUICK, ids=name)
def test_the_intervals_of_a_family_hold_all_centres_as_often_as_they_say(law, n):
    assert round(coverage(law, FAST, n) * FAST) >= fewest(0.95, FAST)


LOOKS = (2 / 2**6, 6 / 2**7, 12 / 2**8)
"""Levels that six, seven and eight networks can attain."""


@pytest.mark.parametrize("law", SYMMETRIC, ids=name)
def test_who_looks_again_is_wrong_no_more_often_than_by_all_looks_together(law):
    first = first_decided(law, FAST, N_NETWORKS)
    assert (first <= N_NETWORKS).sum() <= most(sum(LOOKS), FAST)
    assert (first == SIZES[0]).sum() <= most(LOOKS[0], FAST)


def test_who_looks_again_and_stops_is_wrong_more_often():
    assert (first_decided(NORMAL, 500, 12) <= 12).sum() > most(0.05, 500)


def test_the_sign_test_rejects_where_all_eight_agree_and_no_more():
    """Oracle: 2 of the 256 ways eight coins can fall; seven of eight are not enough."""
    rate = rejected(signs, NORMAL, 0.0, 2000)
    assert binomtest(round(rate * 2000), 2000, 2 / 256).pvalue > 0.001
    assert signs(np.array([1.0] * 7 + [-1.0])) > 0.05


@pytest.mark.parametrize("law", ABOUT_MEDIANS, ids=name)
def test_one_comparison_of_skewed_networks_is_held_about_their_median(law):
    """Which is what the test is of then, more than of the mean; see the module's table."""
    assert n_wrong(IDLE, law, FAST) <= most(IDLE.at_most, FAST)


def test_medians_of_skewed_laws_are_those_of_their_formulas():
    assert median(BY_NAME["exponential"]) == pytest.approx(np.log(2) - 1, abs=0.01)
    assert median(BY_NAME["lognormal(1)"]) == pytest.approx(1 - np.exp(0.5), abs=0.01)


@pytest.mark.parametrize("law", LAWS, ids=name)
def test_a_law_says_why_it_is_tried_and_is_as_symmetric_as_it_says(law):
    """Oracle: of a symmetric law, values and their negatives have the same quantiles."""
    assert law.source
    drawn = law.draw(np.random.default_rng(0), (100_000, 1))[:, 0]
    low, middle, high = np.quantile(drawn, [0.05, 0.5, 0.95])
    assert bool(abs(high + low) + abs(middle) < 0.05 * (high - low)) is law.symmetric


@pytest.mark.parametrize("key", STATED)
def test_a_stated_rate_is_that_of_the_simulation(key):
    rate = RATES[key]
    situations, laws = STATED[key]
    situation, law = BY_NAME[rate.situation], BY_NAME[rate.law]
    assert situation in situations
    assert rate.law in {each.name for each in laws}
    assert {each.at_most for each in situations} == {rate.meant}
    assert fewest(rate.found, FAST) <= n_wrong(situation, law, FAST) <= most(rate.found, FAST)


def test_the_stated_rates_of_the_test_of_signs_are_those_of_the_simulation():
    draws, rate = 1000, RATES["signs"]
    for found, test in ((rate.found, signs), (rate.meant, TESTS["sign flips"])):
        count = round(rejected(test, BY_NAME[rate.law], SHIFTS[rate.situation], draws) * draws)
        assert fewest(found, draws) <= count <= most(found, draws)


SAID = ("median_layers", "median_depends", "mean_one", "mean_equivalence", "mean_three",
        "mean_seven", "mean_depends")  # fmt: skip


@pytest.mark.parametrize(
    ("text", "start", "keys"),
    [
        (README.read_text(), "How sure: ", ("median_one", *SAID)),
        (index(()), "<p>The test supposes ", (*SAID, "signs")),
    ],
    ids=["README.md", "report"],
)
def test_the_texts_state_the_rates_and_no_others(text, start, keys):
    (paragraph,) = (line for line in text.splitlines() if line.startswith(start))
    said = re.findall(r"[\d.]+ % in place of [\d.]+ %", paragraph)
    assert said == [rate_text(key) for key in keys]
    assert paragraph.count(" %") == 2 * len(said)


def test_the_stated_coverage_is_that_of_the_simulation():
    low, high = map(float, re.findall(r"in (0\.\d+) to\s+(0\.\d+)\.", step_down.__doc__)[0])
    held = [round(coverage(law, FAST) * FAST) for law in SKEWED]
    assert fewest(low, FAST) <= min(held) <= most(low, FAST)
    assert fewest(high, FAST) <= max(held) <= most(high, FAST)
