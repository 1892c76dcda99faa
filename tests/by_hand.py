"""Definitions written out in plain Python, to compare with."""

import math


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
