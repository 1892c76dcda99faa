"""Oracle: sentences written by hand."""

import re

import numpy as np
import pytest

from analyses.claims.noise import GENTLER
from analyses.words import undetectable
from tests.calibration import answered
from tests.situations import Situation

STEPS = np.array([1.0, 2, 3, 4, 5, 6, 7, 8])


def told(*columns):
    """What could not have been seen by comparisons of these numbers of networks."""
    tables = np.array(columns)[:, :, None]
    return undetectable(answered(Situation("", GENTLER, tables, (), 0.0), tables).findings)


def test_networks_that_are_all_alike_show_no_spread():
    expected = (
        "These networks do not differ in this number at all; how far others would is not to be "
        "seen from them."
    )
    assert told(np.full(8, 0.5)) == told(np.full(8, 0.5), np.zeros(8)) == expected


@pytest.mark.parametrize("order", [1, -1])
def test_beside_comparisons_whose_networks_are_all_alike_there_is_no_least_effect(order):
    said = told(*[np.full(8, 0.5), STEPS][::order])
    assert re.match(r"An effect of about up to [1-9]\S* of the accuracy above chance \(by", said)


def test_few_networks_cannot_show_any_effect():
    expected = "No effect, however large, can be decided with so few networks."
    assert told(np.zeros(5)) == told(STEPS[:5]) == expected
