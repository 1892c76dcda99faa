"""The tables that figures are drawn from: means over networks, and which layers are shown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import xarray as xr
from pandas import DataFrame, concat

from analyses.comparing import mean_curve
from analyses.statistics import spread
from compressibility.store.curves import Curve
from compressibility.store.reading import LayerData, NotMeasuredError

MOST_PANELS: Final = 8


def joined(parts: Iterable[DataFrame]) -> DataFrame:
    """One table of all rows.

    Raises:
        NotMeasuredError: There is no row.
    """
    rows = [part for part in parts if len(part)]
    if not rows:
        raise NotMeasuredError("nothing of it is measured")
    return concat(rows, ignore_index=True)


def by(table: DataFrame, column: str) -> list[tuple[str, DataFrame]]:
    """The rows of each label of a column, in the order in which the labels come first."""
    return [(str(label), rows) for label, rows in table.groupby(column, sort=False)]


def whole(values: xr.DataArray, x: str) -> Curve | None:
    """The networks that have every place along a dimension, y (networks, places).

    Args:
        values: With the dimensions seed and ``x``; NaN where there is none.
        x: The dimension whose labels are the abscissae.
    """
    found = values.dropna("seed").transpose("seed", x)
    if not found.sizes["seed"]:
        return None
    return Curve(values[x].values.astype(np.float64), found.values)


def in_percent(kept: Curve | None) -> Curve | None:
    """What is kept in % of the untouched network's, of changes of it, of 1."""
    return None if kept is None else Curve(kept.x, 100 * (1 + kept.y))


def means(curve: Curve | None, x: str, y: str, labels: Mapping[str, str]) -> DataFrame:
    """Means over networks along one axis, with their 95 % t-intervals ``low`` and ``high``.

    Args:
        curve: The networks' curves on one grid, y (networks, points); None for no rows.
        x: Name of the abscissa.
        y: Name of the ordinate.
        labels: What stands in every row, before the numbers.
    """
    if curve is None:
        return DataFrame()
    mean, low, high = spread(curve.y)
    return DataFrame({**labels, x: curve.x, y: mean, "low": low, "high": high})


def accuracies(
    curves: Sequence[Curve],
    x: str,
    labels: Mapping[str, str],
    *,
    within: tuple[float, float] = (0.0, 1.0),
) -> DataFrame:
    """Mean accuracy of the networks on their common support, in %, with bands within 0 and 100."""
    joint = mean_curve(curves, *within)
    rows = means(None if joint is None else Curve(joint.x, 100 * joint.y), x, "accuracy", labels)
    if joint is not None:
        rows[["low", "high"]] = rows[["low", "high"]].clip(0, 100)
    return rows


def percent(data: LayerData) -> float:
    """Mean accuracy of the untouched networks, in %."""
    return 100 * float(np.nanmean(data.baseline_accuracy))


def averaged(data: LayerData) -> str:
    """What the lines of a figure average, for its caption."""
    n = len(data.seeds)
    if n == 1:
        return "one network"
    whole = data["n_correct"].notnull().where(data.distinct, True).all()
    return f"mean over {n} networks" if whole else f"mean over those measured of {n} networks"


def few(layers: Sequence[str], most: int = MOST_PANELS) -> list[str]:
    """At most this many of the layers, evenly spaced and with both ends."""
    places = np.linspace(0, len(layers) - 1, min(len(layers), most)).round().astype(int)
    return [layers[place] for place in places]


def selection(data: LayerData) -> str:
    """For a caption: which layers `few` shows, where not all are; begins with a space."""
    shown, n = len(few(data.measured_layers)), len(data.measured_layers)
    if shown == len(data.layers):
        return ""
    if shown == n:
        return f" Shown: the measured layers, {n} of {len(data.layers)}."
    return f" Shown are {shown} of the {n} measured layers, evenly spaced in depth."
