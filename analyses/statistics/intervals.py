"""Student's intervals for the mean of a handful of networks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.weightstats import DescrStatsW

Floats = NDArray[np.float64]

ALPHA: Final = 0.05


@dataclass(frozen=True)
class Interval:
    """An interval for an effect: its two ends, and how it was obtained."""

    low: float
    high: float
    kind: str

    def __contains__(self, value: float) -> bool:
        """Whether the interval covers a value."""
        return self.low <= value <= self.high


def finite(values: Sequence[float] | Floats) -> Floats:
    """A sample: one number per network.

    Raises:
        ValueError: There is none, or one is missing.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise ValueError(f"a sample is a list of one number per network, got shape {sample.shape}")
    if not np.isfinite(sample).all():
        raise ValueError(
            f"the sample holds {np.count_nonzero(~np.isfinite(sample))} missing values"
        )
    return sample


def t_interval(values: Sequence[float] | Floats, *, alpha: float = ALPHA) -> Interval:
    """Student's interval for the mean; not a number at both ends for a single value."""
    x = finite(values)
    if x.size < 2:
        return Interval(math.nan, math.nan, "no interval from one network")
    low, high = DescrStatsW(x).tconfint_mean(alpha)
    return Interval(float(low), float(high), f"{100 * (1 - alpha):.0f} % t-interval")


def spread(values: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean over networks and 95 % t-interval; (networks, points) -> three of (points,).

    With one network the interval is missing.
    """
    mean = values.mean(axis=0)
    if len(values) < 2:
        missing = np.full(mean.shape, np.nan)
        return mean, missing, missing
    low, high = DescrStatsW(values).tconfint_mean(ALPHA)
    return mean, low, high
