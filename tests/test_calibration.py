"""Oracle: the binomial law. Wrong verdicts come out at most as often as a rule says."""

from dataclasses import replace

import numpy as np
import pytest

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
    most,
    n_wrong,
    normal,
    stopped_early,
    verdicts,
)

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


def test_who_looks_again_and_stops_is_wrong_more_often():
    assert stopped_early(QUICK[0], 1000, 8) > 0.055
