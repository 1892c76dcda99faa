"""Oracle: exchangeability. A claim whose null holds by construction is decided by chance."""

import pytest
from scipy.stats import binom

from analyses.findings import Verdict
from analyses.topics import CLAIMS, claim_of
from analyses.verdicts import answer
from compressibility.store.reading import LayerData
from tests.null_datasets import NULLS, stored, verdicts

DRAWS = 12
MOST = binom.ppf(0.999, DRAWS, 0.05)
DECIDED = ("headline", "headline-out", "depth", "depth-control", "controls", "cuts-norm-pairs",
           "cuts-parameters-pairs", "two-mode", "joint", "curvature", "correlation")  # fmt: skip
"""Claims that the same datasets decide as they are."""


def test_every_claim_has_a_null():
    assert list(NULLS) == [claim.key for claim in CLAIMS]


@pytest.mark.parametrize("key", NULLS)
def test_a_claim_is_hardly_ever_decided_under_its_null(key):
    found = [verdict in NULLS[key].wrong for verdict in verdicts(key, DRAWS)]
    assert sum(found) <= MOST


@pytest.mark.parametrize("key", DECIDED)
def test_the_same_dataset_as_it_is_decides_the_claim(key):
    """So the null comes from the coins, not from a dataset that cannot tell."""
    found = answer(claim_of(key), LayerData(stored(NULLS[key].stored)))
    assert found.verdict in (Verdict.SUPPORTED, Verdict.CONTRADICTED)
