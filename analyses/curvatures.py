"""Curvature along truncations, held against random directions and the top of the spectrum.

Curvature describes small steps, so numbers are averaged over the truncations of small norm loss
(up to `SMALL`) unless said otherwise; over norm loss, as everything else is.
"""

from collections.abc import Callable
from itertools import product
from typing import Any, Final, TypeAlias

import numpy as np
import xarray as xr

from analyses.comparing import NORM_LOSS, curves_along
from analyses.samples import Floats, tabulate
from compressibility.store.curves import Curve
from compressibility.store.reading import LayerData

SMALL: Final = 0.1
"""The largest norm loss of the truncations that local curvature is asked about."""

Reach: TypeAlias = tuple[float, float]
"""Norm losses above the first number, up to the second."""


def average_curvature(data: LayerData) -> xr.DataArray:
    """Mean curvature of each layer's weights, trace / number of weights, nat, (seed, layer)."""
    return (data["hessian_layer_trace"] / data["parameters"]).transpose("seed", "layer")


def truncation_curvatures(data: LayerData, mode: str) -> dict[tuple[str, int], Curve]:
    """Curvature along the distinct truncations along one cut against norm loss, nat."""
    return curves_along(data, NORM_LOSS, data["directional_curvature"], mode)


def rank(curvature: Floats, others: Floats) -> Floats:
    """Share of ``others`` above each curvature, ties counted half, less one half.

    Of a value that is exchangeable with the others its expectation is 0, whatever their law.

    Examples:
        >>> rank(np.array([2.0, 3.0, 9.0]), np.array([1.0, 3.0, 4.0, 5.0]))
        array([ 0.25 ,  0.125, -0.5  ])
    """
    above, equal = others[:, None] > curvature, others[:, None] == curvature
    return np.asarray((above + 0.5 * equal).mean(axis=0) - 0.5)


def contrast(curvature: Floats, average: float | Floats) -> Floats:
    """(a - c) / (|a| + |c|), in [-1, 1]: positive where less curved than the average a.

    Where both are positive it is -tanh(ln(c / a) / 2), the log-ratio in bounded form. It is concave
    in c, so that of a random direction, whose c is a on average, its expectation is above 0.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray((average - curvature) / (np.abs(average) + np.abs(curvature)))


def ranks(data: LayerData, mode: str, reach: Reach = (0.0, SMALL)) -> xr.DataArray:
    """The rank of truncations among the layer's random directions, averaged, (seed, layer)."""
    random = _random(data)

    def ranked(c: Floats, *cell: Any) -> Floats:
        others = random[cell]
        return rank(c, others) if others.size else np.full(c.shape, np.nan)

    return _averaged(data, mode, reach, ranked)


def contrasts(data: LayerData, mode: str, reach: Reach = (0.0, SMALL)) -> xr.DataArray:
    """The contrast of truncations with the layer's average, averaged, (seed, layer)."""
    average = _cells(average_curvature(data))
    return _averaged(data, mode, reach, lambda c, *cell: contrast(c, average[cell]))


def random_contrasts(data: LayerData) -> xr.DataArray:
    """Mean contrast of each random direction with the average of the others, (seed, layer)."""
    random = _random(data)

    def cell(layer: str, seed: int) -> float:
        c = random[layer, seed]
        if c.size < 2:
            return float("nan")
        return float(contrast(c, (c.sum() - c) / (c.size - 1)).mean())

    return tabulate(data, cell)


def along(data: LayerData, mode: str, reach: Reach = (0.0, SMALL)) -> xr.DataArray:
    """Curvature along truncations, averaged, nat, (seed, layer)."""
    return _averaged(data, mode, reach, lambda c, *_: c)


def _averaged(
    data: LayerData, mode: str, reach: Reach, number: Callable[..., Floats]
) -> xr.DataArray:
    curves, (low, high) = truncation_curvatures(data, mode), reach

    def cell(layer: str, seed: int) -> float:
        curve = curves[layer, seed]
        within = (curve.x > low) & (curve.x <= high)
        return _mean_over(curve.x[within], number(curve.y[within], layer, seed))

    return _in_every_network(tabulate(data, cell), data)


def _mean_over(x: Floats, y: Floats) -> float:
    """The mean of the piecewise linear curve through the points; of one point, its value."""
    if x.size < 2:
        return float(y[0]) if x.size else float("nan")
    return float(np.trapezoid(y, x) / (x[-1] - x[0]))


def _in_every_network(table: xr.DataArray, data: LayerData) -> xr.DataArray:
    """Without layers in which only some of the measured networks have such a truncation.

    Which networks have one hangs on their spectra, and so perhaps on what is asked.
    """
    measured = data["random_directional_curvature"].notnull().any("direction")
    return table.where((table.notnull() | ~measured).all("seed"))


def _random(data: LayerData) -> dict[tuple[str, int], Floats]:
    """Curvatures along the measured random directions, by layer and seed."""
    directions = _cells(data["random_directional_curvature"])
    return {cell: values[np.isfinite(values)] for cell, values in directions.items()}


def _cells(values: xr.DataArray) -> dict[tuple[str, int], Floats]:
    """What an array holds for each layer and seed."""
    values = values.transpose("layer", "seed", ...)
    cells = product(values["layer"].values.tolist(), values["seed"].values.tolist())
    return dict(zip(cells, values.values.reshape(-1, *values.shape[2:]), strict=True))
