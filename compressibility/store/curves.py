"""Curves through the truncations that exist, and where they first cross an allowance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from compressibility.store.cubics import Cubic

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Link:
    """A monotone scale on which a curve bends little, and is therefore interpolated."""

    forward: Callable[[Floats], Floats]
    back: Callable[[Floats], Floats]


IDENTITY: Final = Link(lambda y: y, lambda y: y)


@dataclass(frozen=True, eq=False)
class Curve:
    """y against x at the truncations that exist, x ascending without repetition, both (points,).

    Attributes:
        x: Abscissa.
        y: Ordinate.
        link: The scale on which it is interpolated between its points.
    """

    x: Floats
    y: Floats
    link: Link = IDENTITY

    @classmethod
    def of(cls, x: Floats, y: Floats, link: Link = IDENTITY) -> "Curve":
        """The curve through the measured points; points with a missing coordinate are left out."""
        present = np.isfinite(x) & np.isfinite(y)
        knots, first = np.unique(x[present], return_index=True)
        return cls(knots, y[present][first], link)

    def __len__(self) -> int:
        """Number of points."""
        return self.x.size

    def at(self, x: Floats) -> Floats:
        """The curve, interpolated without overshoot; not a number outside its ends.

        Piecewise cubic: between straight chords every bent curve would lie on one side of them,
        and a curve with few points would differ from itself with many. Monotone between points.

        Source: Fritsch and Butland, SIAM J. Sci. Stat. Comput. 5 (1984) 300.
        """
        if len(self) < 2:
            return np.where(np.isin(x, self.x), self.y.sum(), np.nan)
        return self.link.back(self._through(x))

    def mean(self, end: float = np.inf) -> float:
        """The mean of the interpolated curve over x, up to an end or its own; of one point, it.

        Whatever the link, between its points it is here interpolated as it is.
        Not a number without points, where one is missing, or where only the first lies within.
        """
        within = np.count_nonzero(self.x <= end)
        if within < min(2, max(len(self), 1)) or np.isnan(self.y).any():
            return float("nan")
        if len(self) == 1:
            return float(self.y[0])
        low, high = self.x[0], min(end, self.x[-1])
        return Cubic.through(self.x, self.y).integral(high) / float(high - low)

    @cached_property
    def _through(self) -> Cubic:
        return Cubic.through(self.x, self.link.forward(self.y))


def curves(
    x: xr.DataArray,
    y: xr.DataArray,
    *,
    along: str,
    by: Sequence[str],
    link: Callable[[tuple[Any, ...]], Link] = lambda _: IDENTITY,
) -> dict[tuple[Any, ...], Curve]:
    """The curves of y against x along one dimension, by the labels of the others.

    Args:
        x: Abscissa, with or without each of the other dimensions.
        y: Ordinate.
        along: The dimension whose entries are the points of a curve.
        by: The other dimensions, in the order of the keys.
        link: The scale on which the curve of a key is interpolated.

    Returns:
        One curve for each combination of labels, such as ``("conv1", "OUT", 0)``.

    Raises:
        ValueError: x and y have different labels along a dimension.
    """
    x, y = (a.transpose(*by, along) for a in xr.broadcast(*xr.align(x, y, join="exact")))
    labels = product(*(y[dim].values.tolist() for dim in by))
    places = np.ndindex(y.shape[:-1])
    return {
        key: Curve.of(x.values[place], y.values[place], link(key))
        for key, place in zip(labels, places, strict=True)
    }


@dataclass(frozen=True)
class Crossing:
    """Where a curve of accuracy first falls more than an allowance below the baseline.

    ``last_good`` and ``first_bad`` are neighbouring truncations that bracket the crossing;
    ``value`` lies between them, by linear interpolation. A curve that ends before it crosses is
    right-censored: ``first_bad`` is infinite and ``value`` only a lower bound.
    """

    value: float
    last_good: float
    first_bad: float

    @property
    def censored(self) -> bool:
        """Whether the curve ended before it crossed."""
        return self.first_bad == np.inf


def crossing(curve: Curve, allowance: float) -> Crossing:
    """The first crossing of a curve of accuracy change, in points of 1, below ``-allowance``.

    Args:
        curve: Change of accuracy (negative where it is lost) against norm loss or log compression.
        allowance: δ > 0.

    Returns:
        Not a number throughout for a curve without points.

    Examples:
        >>> curve = Curve.of(np.array([0, 0.1, 0.3]), np.array([0, -0.02, -0.08]))
        >>> print(f"{crossing(curve, 0.05).value:.2f}")
        0.20
    """
    if len(curve) == 0:
        return Crossing(np.nan, np.nan, np.nan)
    bad = np.flatnonzero(curve.y < -allowance)
    if bad.size == 0:
        return Crossing(float(curve.x[-1]), float(curve.x[-1]), np.inf)
    i = int(bad[0])
    if i == 0:
        return Crossing(float(curve.x[0]), -np.inf, float(curve.x[0]))
    (x0, x1), (y0, y1) = curve.x[i - 1 : i + 1], curve.y[i - 1 : i + 1]
    value = x0 + (x1 - x0) * (y0 + allowance) / (y0 - y1)
    return Crossing(float(value), float(x0), float(x1))
