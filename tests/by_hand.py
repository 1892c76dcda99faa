"""Definitions written out in plain Python, to compare with."""

import math

import numpy as np
import scipy.stats
from scipy.interpolate import pchip_interpolate


def crossing_by_hand(norm_loss, n_correct, before, n_images, points):
    """The definition, over points in ascending norm loss."""
    last = None
    points_by_loss = dict(reversed(list(zip(norm_loss, n_correct, strict=True))))
    for nu, count in sorted(points_by_loss.items()):
        change = 100 * (count - before) / n_images
        if change < -points:
            if last is None:
                return nu, False
            share = (last[1] + points) / (last[1] - change)
            return last[0] + (nu - last[0]) * share, False
        last = nu, change
    return (last[0], True) if last else (math.nan, False)


def kept_between(at, x, right, before, n_images, n_classes=10):
    """Accuracy above chance that is kept, less 1, interpolated on the log-odds of right answers."""
    right = np.asarray(right, dtype=float)
    knots, first = np.unique(np.asarray(x), return_index=True)
    odds = (right[first] + 0.5) / (n_images - right[first] + 0.5)
    between = np.exp(pchip_interpolate(knots, np.log(odds), at))
    counted = ((n_images + 0.5) * between - 0.5) / (1 + between)
    return (counted - before) / (before - n_images / n_classes)


def mean_and_t(values):
    """Of one number per network, in another way than the package's."""
    if len(values) < 2:
        return values[0], np.nan, np.nan
    if np.ptp(values) < 1e-12:  # where scipy warns
        return (np.mean(values),) * 3
    found = scipy.stats.ttest_1samp(values, 0).confidence_interval()
    return np.mean(values), found.low, found.high


def interpolated(at, x, y):
    there = np.isfinite(x) & np.isfinite(y)
    knots, first = np.unique(np.asarray(x)[there], return_index=True)
    return pchip_interpolate(knots, np.asarray(y)[there][first], at)


def change_above_chance(at, x, ds, where):
    """In % of the untouched network's, of 2,000 images of ten classes."""
    there = np.isfinite(x.sel(where).values)
    right, before = (
        ds[n].sel({k: v for k, v in where.items() if k in ds[n].dims}).values
        for n in ("n_correct", "baseline_n_correct")
    )
    return 100 * kept_between(at, x.sel(where).values[there], right[there], int(before), 2000)
