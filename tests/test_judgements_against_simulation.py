"""Oracle: images drawn again and again from known probabilities."""

import numpy as np
import pytest
from scipy.stats import binom

from compressibility.compressing.judgement import Judgement

DRAWS = 2_000


@pytest.mark.parametrize(("here", "there"), [(2_500, 10_000), (1_000, 2_000), (150, 360)])
@pytest.mark.parametrize(
    ("lost", "gained"), [(0.001, 0.0005), (0.005, 0.003), (0.02, 0.01), (0.1, 0.02), (0.3, 0.01)]
)
def test_the_interval_holds_what_other_images_lose_nine_times_in_ten(
    here, there, lost, gained
) -> None:
    rng = np.random.default_rng(here)
    laws = (lost, gained, 1 - lost - gained)
    on_these, on_those = rng.multinomial(here, laws, DRAWS), rng.multinomial(there, laws, DRAWS)
    held = 0
    for (n_lost, n_gained, _), (m_lost, m_gained, _) in zip(on_these, on_those, strict=True):
        judgement = Judgement(here, 0, int(n_lost), int(n_gained))
        low, high = judgement.points_lost_on_others(there, 0.9)
        held += low <= 100 * (m_lost - m_gained) / there <= high
    assert held >= binom.ppf(0.001, DRAWS, 0.88)


def test_with_many_images_the_interval_is_that_of_two_normal_samples() -> None:
    judgement = Judgement(10**6, 0, 60_000, 20_000)
    low, high = judgement.points_lost_on_others(10**4, 0.9)
    variance = 0.08 - 0.04**2
    half = 100 * 1.6448536 * (variance / 10**6 + variance / 10**4) ** 0.5
    assert (low, high) == pytest.approx((4 - half, 4 + half), rel=1e-3)


def test_points_are_of_a_hundred() -> None:
    judgement = Judgement(200, 150, 9, 3)
    assert judgement.points_lost == 3
    assert judgement.accuracy == 0.75
