"""Tests, intervals and corrections for a handful of independently trained networks."""

from analyses.statistics.corrections import benjamini_yekutieli
from analyses.statistics.intervals import ALPHA, Interval, spread, t_interval
from analyses.statistics.sign_flips import (
    MINIMUM_SEEDS,
    equivalence_test,
    interval,
    one_sided_sign_flip_test,
    p_floor,
    sign_flip_interval,
    sign_flip_test,
)
from analyses.statistics.step_down import Adjusted, step_down
from analyses.statistics.trends import Trend, rank_correlation, slope, trend

__all__ = [
    "ALPHA",
    "MINIMUM_SEEDS",
    "Adjusted",
    "Interval",
    "Trend",
    "benjamini_yekutieli",
    "equivalence_test",
    "interval",
    "one_sided_sign_flip_test",
    "p_floor",
    "rank_correlation",
    "sign_flip_interval",
    "sign_flip_test",
    "slope",
    "spread",
    "step_down",
    "t_interval",
    "trend",
]
