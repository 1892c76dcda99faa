"""Trends of one network's numbers, or of means over networks; not numbers where undefined."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats

from analyses.statistics.intervals import Floats


@dataclass(frozen=True)
class Trend:
    """A least-squares slope, and its two-sided t-test over the points."""

    slope: float
    p: float
    degrees_of_freedom: int


def rank_correlation(x: Floats, y: Floats) -> float:
    """Spearman's rank correlation; not a number where either is constant, or for no values."""
    if x.size == 0 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(scipy.stats.spearmanr(x, y).statistic)


def slope(x: Floats, y: Floats, groups: Sequence[object] | None = None) -> float:
    """See `trend`."""
    return trend(x, y, groups).slope


def trend(x: Floats, y: Floats, groups: Sequence[object] | None = None) -> Trend:
    """Least-squares slope of y on x, in units of y per unit of x, and its t-test.

    With groups, each has an intercept of its own, and the slope is that within groups: those of
    the deviations from the groups' means (Frisch and Waugh, Econometrica 1 (1933) 387). A slope is
    not a number where x is constant in every group, and p where no degree of freedom is left.

    Args:
        x: Abscissa, (points,).
        y: Ordinate, (points,).
        groups: A label for each point; one group if not given.
    """
    labels = ["" if groups is None else repr(group) for group in groups or x]
    _, place, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    x, y = (v - (np.bincount(place, v) / sizes)[place] for v in (x, y))
    freedom = x.size - sizes.size - 1
    if np.allclose(x, 0, atol=1e-12):
        return Trend(math.nan, math.nan, freedom)
    fit = scipy.stats.linregress(x, y)
    if freedom < 1:
        return Trend(float(fit.slope), math.nan, freedom)
    error = fit.stderr * math.sqrt((x.size - 2) / freedom)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * scipy.stats.t.sf(np.abs(np.divide(fit.slope, error)), freedom)
    return Trend(float(fit.slope), float(p), freedom)
