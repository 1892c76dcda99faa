"""The smallest effect that a test over these networks would have found."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import scipy.stats
from statsmodels.stats.power import TTestPower

from analyses.statistics.intervals import ALPHA, Floats, finite
from analyses.statistics.sign_flips import every_subset, p_floor

POWER: Final = 0.8


@lru_cache(maxsize=64)
def _detectable_multiple(n: int, k: int, power: float) -> float:
    """Effect over spread that the sign-flip test detects with this power, for normal values.

    The test rejects to the right where the k-th smallest subset mean is positive, so for values
    d + z the effect needed is minus that of the z: the power-quantile over 2,048 quasi-random
    normal samples (Sobol points, no random numbers).
    """
    points = scipy.stats.qmc.Sobol(n, scramble=False).random_base2(11)
    z = scipy.stats.norm.ppf(points + 0.5 / len(points))
    chosen = every_subset(n)[1:]
    weights = chosen.T / chosen.sum(axis=1)
    needed = np.concatenate(
        [-np.partition(chunk @ weights, k - 1, axis=1)[:, k - 1] for chunk in np.split(z, 16)]
    )
    return float(np.quantile(needed, power))


def minimal_detectable_effect(
    values: Sequence[float] | Floats,
    *,
    comparisons: int = 1,
    alpha: float = ALPHA,
    power: float = POWER,
) -> float:
    """The smallest effect the test would have found with 80 % power, given the observed spread.

    Method: the values are taken as normal with the observed standard deviation, the level is
    alpha over the number of comparisons (Holm's first and hardest step) rounded down to what the
    sign-flip test can attain; up to 12 networks the power is that of the sign-flip test itself,
    beyond that of Student's t-test. Infinite where the level is below the p floor: then no effect,
    however large, could have been found.
    """
    x = finite(values)
    n = x.size
    if n < 2:
        return math.inf
    spread = float(x.std(ddof=1))
    level = alpha / comparisons
    if n <= 12:
        k = math.floor(level * 2 ** (n - 1) + 1e-9)
        return math.inf if k == 0 else spread * _detectable_multiple(n, k, power)
    if level < p_floor(n):
        return math.inf
    multiple = TTestPower().solve_power(
        nobs=n, alpha=level, power=power, alternative="two-sided", effect_size=None
    )
    return spread * float(np.squeeze(multiple))
