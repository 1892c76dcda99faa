"""Trends of one network's numbers: rank correlation and slope, not numbers where undefined."""

import math

import numpy as np
import scipy.stats

from analyses.statistics.intervals import Floats


def rank_correlation(x: Floats, y: Floats) -> float:
    """Spearman's rank correlation; not a number where either is constant, or for no values."""
    if x.size == 0 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(scipy.stats.spearmanr(x, y).statistic)


def slope(x: Floats, y: Floats) -> float:
    """Least-squares slope of y on x, in units of y per unit of x."""
    return float(scipy.stats.linregress(x, y).slope)
