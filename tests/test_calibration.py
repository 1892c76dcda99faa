"""Oracle: the binomial law. Wrong verdicts come out at most as often as a rule says."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from tests.calibration import (
    AGAINST,
    BOTH,
    DEPTHS,
    EQUIVALENT,
    EVERY,
    FAST,
    FOR,
    LAWS,
    ONE,
    SITUATIONS,
    UNANIMOUS,
    Law,
    about_its_median,
    coverage,
    median,
    most,
    n_wrong,
    normal,
    stopped_early,
    verdicts,
)
from tests.remedies import rejected, signs

QUICK = [law for law in LAWS if law.name in ("normal", "akin", "t(2)", "ties")]
QUIET = Law("quiet", lambda rng, shape: 1e-3 * normal(rng, shape))


def name(case):
    return case.name


@pytest.mark.parametrize("law", QUICK, ids=name)
@pytest.mark.parametrize("situation", SITUATIONS, ids=name)
def test_a_rule_is_wrong_at_most_as_often_as_it_says(situation, law):
    assert n_wrong(situation, law, FAST) <= most(situation, FAST)


@pytest.mark.parametrize(
    ("claim", "effects", "verdict"),
    [
        (ONE, [[1]], FOR),
        (ONE, [[-1]], AGAINST),
        (EVERY, [[1], [1], [1]], FOR),
        (EVERY, [[1], [1], [-1]], AGAINST),
        (UNANIMOUS, [[1], [1]], FOR),
        (UNANIMOUS, [[-1], [-1]], AGAINST),
        (ONE, [[1, -1, 1, -1]], BOTH),
        (EVERY, [[1, 1, 1, 1], [1, -1, 1, 1], [1, 1, 1, 1]], BOTH),
        (EQUIVALENT, [[0]], FOR),
        (EQUIVALENT, [[-3]], AGAINST),
        (SITUATIONS[-1].claim, [DEPTHS], FOR),
        (SITUATIONS[-1].claim, [-DEPTHS], AGAINST),
    ],
)
def test_a_rule_decides_what_is_plain(claim, effects, verdict):
    """So that none is right by never saying anything."""
    (like, *_) = [situation for situation in SITUATIONS if situation.claim is claim]
    plain = replace(like, effects=np.array(effects, dtype=float))
    assert set(verdicts(plain, QUIET, 5)) == {verdict}


@pytest.mark.parametrize("law", QUICK, ids=name)
def test_the_intervals_of_a_family_hold_all_centres_as_often_as_they_say(law):
    assert coverage(law, FAST) * FAST >= binom.ppf(0.001, FAST, 0.95)


def test_who_looks_again_and_stops_is_wrong_more_often():
    assert stopped_early(QUICK[0], 1000, 8) > 0.055


def test_the_sign_test_rejects_where_all_eight_agree_and_no_more():
    """Oracle: 2 of the 256 ways eight coins can fall; seven of eight are not enough."""
    rate = rejected(signs, QUICK[0], 0.0, 4000)
    assert binomtest(round(rate * 4000), 4000, 2 / 256).pvalue > 0.001
    assert signs(np.array([1.0] * 7 + [-1.0])) > 0.05


ABOUT_MEDIANS = [about_its_median(law) for law in LAWS if not law.symmetric]


@pytest.mark.parametrize("law", ABOUT_MEDIANS, ids=name)
def test_one_comparison_of_skewed_networks_is_held_about_their_median(law):
    """Which is what the test is of then, more than of the mean; see the module's table."""
    assert n_wrong(SITUATIONS[0], law, FAST) <= most(SITUATIONS[0], FAST)


def test_medians_of_skewed_laws_are_those_of_their_formulas():
    by_name = {law.name: law for law in LAWS}
    assert median(by_name["exponential"]) == pytest.approx(np.log(2) - 1, abs=0.01)
    assert median(by_name["lognormal(1)"]) == pytest.approx(1 - np.exp(0.5), abs=0.01)
