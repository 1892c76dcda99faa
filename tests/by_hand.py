"""Definitions written out in plain Python, to compare with."""

import math

import numpy as np
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
