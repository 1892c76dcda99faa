"""Curves compared: their common support, mean differences, the order of their crossings."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analyses.choices import ERRORS, NORM_LOSSES, RATIOS, Reaches, Scale
from analyses.once import once
from analyses.samples import tabulate
from analyses.words import plain
from compressibility.store.curves import Crossing, Curve, curves
from compressibility.store.reading import LayerData

Floats = NDArray[np.float64]

PRIMARY_CUT: Final = "OUT"
"""The cut that the paper's claims are about."""


@dataclass(frozen=True, eq=False)
class Axis:
    """What truncations are made equal in before they are compared.

    Attributes:
        name: Its name, as in "at equal norm loss".
        of: Its values, (layer, mode, threshold, seed).
        reaches: Where comparisons may end; they start at 0, and the last is the one that is tested.
        called: What its values are called, shown to people.
        shown: A value as it is shown to people.
    """

    name: str
    of: Callable[[LayerData], xr.DataArray]
    reaches: Reaches
    called: str
    shown: Callable[[float], float]

    @property
    def highest(self) -> float:
        """Where the comparison ends that is tested."""
        return [*self.reaches.values()][-1]


CurveByCell: TypeAlias = dict[tuple[str, int], Curve]
"""Curves by layer and seed."""
Along: TypeAlias = Callable[[str], CurveByCell]
"""The curves along a cut."""

NORM_LOSS: Final = Axis(
    "norm loss", lambda data: data["norm_loss"], NORM_LOSSES, "norm losses", lambda x: x
)
LARGEST_NORM_LOSS: Final = NORM_LOSS.highest
"""The range the paper's claim is about; beyond it most curves are at chance, and alike."""
PARAMETERS: Final = Axis(
    "parameters", lambda data: data.log2_ratio, RATIOS, "compression ratios", lambda x: 2**x
)
"""Base-2 logarithm of the compression ratio, from a ratio of 1."""
RELATIVE_ERROR: Final = Axis(
    "relative error",
    lambda data: data["relative_error"],
    ERRORS,
    "relative errors",
    lambda x: x,
)


def curves_along(data: LayerData, axis: Axis, y: xr.DataArray, mode: str) -> CurveByCell:
    """The curves of one cut, by layer and seed; without points where the cut is not one.

    Raises:
        NotMeasuredError: The dataset does not have this cut.
    """
    x = data.of_cut(axis.of(data), mode)
    found = curves(x, data.of_cut(y, mode), along="threshold", by=("layer", "seed"))
    return {(layer, seed): curve for (layer, seed), curve in found.items()}


def scaled_curves(data: LayerData, axis: Axis, scale: Scale, mode: str) -> CurveByCell:
    """As `curves_along`, of the changes on a scale; made once for each reading of a dataset.

    Raises:
        NotMeasuredError: The dataset does not have this cut, or what the scale needs.
    """

    def made() -> CurveByCell:
        x = data.of_cut(axis.of(data), mode)
        change = data.of_cut(scale.truncated(data), mode)
        return linked_curves(data, scale, x, change, "threshold")

    return once(data, ("curves", axis.name, scale.name, mode), made)


def scaled_noise(data: LayerData, scale: Scale) -> CurveByCell:
    """As `perturbed_curves`, of the changes on a scale; made once for each reading of a dataset.

    Raises:
        NotMeasuredError: The dataset does not have what the scale needs.
    """

    def made() -> CurveByCell:
        change = scale.perturbed(data)
        return linked_curves(data, scale, change["norm_loss_level"], change, "norm_loss_level")

    return once(data, ("noise", scale.name), made)


def linked_curves(
    data: LayerData, scale: Scale, x: xr.DataArray, y: xr.DataArray, along: str
) -> CurveByCell:
    """Curves of changes y on a scale against x along a dimension, interpolated as the scale is."""
    links = {seed: scale.link(data, seed) for seed in data.seeds}
    found = curves(x, y, along=along, by=("layer", "seed"), link=lambda key: links[key[1]])
    return {(layer, seed): curve for (layer, seed), curve in found.items()}


def perturbed_curves(change: xr.DataArray) -> CurveByCell:
    """The random perturbation's curves against norm loss, by layer and seed."""
    level = change["norm_loss_level"]
    found = curves(level, change, along="norm_loss_level", by=("layer", "seed"))
    return {(layer, seed): curve for (layer, seed), curve in found.items()}


def scored(
    data: LayerData, first: CurveByCell, second: CurveByCell, score: Callable[[Curve, Curve], float]
) -> xr.DataArray:
    """One score of a curve against another for each network and layer, (seed, layer).

    Missing where either has no points.
    """

    def cell(layer: str, seed: int) -> float:
        curve, other = first[layer, seed], second[layer, seed]
        return score(curve, other) if len(curve) and len(other) else float("nan")

    return tabulate(data, cell)


def common_support(curves: Iterable[Curve], low: float, high: float) -> tuple[float, float] | None:
    """The part of [low, high] on which every curve has values; None where there is none."""
    for curve in curves:
        if len(curve) == 0:
            return None
        low, high = max(low, float(curve.x[0])), min(high, float(curve.x[-1]))
    return (low, high) if low <= high else None


def mean_difference(
    curve: Curve, other: Curve, low: float = 0.0, high: float = LARGEST_NORM_LOSS
) -> float:
    """Mean of ``curve - other`` over their common support within [low, high].

    The difference is taken where the curve with fewer points really has them, so that only the
    finer curve is interpolated, and averaged along x. (Interpolating a cut with three truncations
    against one with fifty would make any bent curve look like a difference between the cuts.)
    Points at which both keep the whole kernel count, as differences of zero. Not a number without
    common support, or where the coarser curve has no truncation inside it.
    """
    coarse, finer = _by_points(curve, other, low, high)
    if not np.any(coarse.x > 0):
        return float("nan")
    mean = Curve(coarse.x, coarse.y - finer.at(coarse.x)).mean()
    return mean if finer is other else -mean


def reach(curve: Curve, other: Curve, low: float = 0.0, high: float = LARGEST_NORM_LOSS) -> float:
    """The last point that `mean_difference` averages; not a number where there is none."""
    coarse, _ = _by_points(curve, other, low, high)
    return float(coarse.x[-1]) if np.any(coarse.x > 0) else float("nan")


def ends_in_words(axis: Axis, ends: xr.DataArray) -> str:
    """Where averages end, (seed, layer): the least and the largest of the layers' means."""
    means = ends.mean("seed")
    low, high = (plain(axis.shown(float(end))) for end in (means.min(), means.max()))
    return low if low == high else f"{low} to {high}"


def _by_points(curve: Curve, other: Curve, low: float, high: float) -> tuple[Curve, Curve]:
    """The curve with fewer points on the common support, these points alone; and the finer one."""
    support = common_support((curve, other), low, high)
    if support is None:
        return Curve(np.empty(0), np.empty(0)), other
    first, second = (c.x[_inside(c.x, support)] for c in (curve, other))
    coarse, x, finer = (
        (curve, first, other) if len(first) <= len(second) else (other, second, curve)
    )
    return Curve(x, coarse.y[_inside(coarse.x, support)]), finer


def _inside(x: Floats, support: tuple[float, float]) -> NDArray[np.bool_]:
    return (x >= support[0]) & (x <= support[1])


def later(crossing: Crossing, other: Crossing) -> float:
    """+1 where the first crossing surely comes later, -1 where surely earlier, else 0.

    Only the brackets are compared, so censoring and coarse grids can hide an order, not invent
    one: Gehan, Biometrika 52 (1965) 203, for interval-censored pairs. Not a number where missing.
    """
    if np.isnan(crossing.value) or np.isnan(other.value):
        return float("nan")
    return float(crossing.last_good >= other.first_bad) - float(
        other.last_good >= crossing.first_bad
    )


def mean_curve(curves: Sequence[Curve], low: float, high: float, points: int = 60) -> Curve | None:
    """All networks' curves on one grid over their common support: y is (networks, points)."""
    present = [c for c in curves if len(c)]
    if not present:
        return None
    low = max(low, *(c.x[0] for c in present)) if present else low
    high = min(high, *(c.x[-1] for c in present))
    if low > high:
        return None
    x = np.linspace(low, high, points)
    return Curve(x, np.stack([c.at(x) for c in present]))
