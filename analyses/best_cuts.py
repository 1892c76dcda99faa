"""What truncations cost at given norm losses, and each layer's best cut, chosen on held-out images.

Who chooses the best of seven cuts on the images that it is judged on finds one that was lucky
there; so the choice is made on images that neither trained the network nor test it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.stats
import xarray as xr

from analyses.comparing import NORM_LOSS, curves_along
from analyses.samples import Floats
from compressibility.store.reading import LayerData, NotMeasuredError

NO_CUT: Final = ""
"""In place of a cut where none of the layer's reaches a norm loss."""
_ONE_SIDED: Final = float(scipy.stats.norm.ppf(0.95))
_DIMS: Final = ("mode", "seed", "layer", "norm_loss")


def interpolated(data: LayerData, y: xr.DataArray, norm_losses: Sequence[float]) -> xr.DataArray:
    """A change y at given norm losses, (mode, seed, layer, norm_loss).

    Missing where the cut is another one, is not measured, or ends at a smaller norm loss.
    """
    at = np.array(norm_losses, dtype=np.float64)
    shape = (len(data.modes), len(data.seeds), len(data.layers), at.size)
    found = np.full(shape, np.nan)
    for mode, of_cut in zip(data.modes, found, strict=True):
        for (layer, seed), curve in curves_along(data, NORM_LOSS, y, mode).items():
            if len(curve):
                of_cut[data.seeds.index(seed), data.layers.index(layer)] = curve.at(at)
    return _labelled(data, found, norm_losses)


def first_reaching(data: LayerData, y: xr.DataArray, norm_losses: Sequence[float]) -> xr.DataArray:
    """A change y at the first truncation that loses as much of the norm or more.

    Nothing is interpolated. (mode, seed, layer, norm_loss), missing as in `interpolated`.
    """
    dims = ("mode", "seed", "layer", "threshold")
    norm, values = (v.where(data.distinct).transpose(*dims).values for v in (data["norm_loss"], y))
    found = np.full((*norm.shape[:3], len(norm_losses)), np.nan)
    for i, at in enumerate(norm_losses):
        reached = np.where(np.isfinite(values) & (norm >= at), norm, np.inf)
        first = reached.argmin(axis=-1)[..., None]
        there = np.isfinite(np.take_along_axis(reached, first, axis=-1))
        chosen = np.where(there, np.take_along_axis(values, first, axis=-1), np.nan)
        found[..., i] = chosen[..., 0]
    return _labelled(data, found, norm_losses)


def _labelled(data: LayerData, values: Floats, norm_losses: Sequence[float]) -> xr.DataArray:
    labels = (list(data.modes), list(data.seeds), list(data.layers), list(norm_losses))
    return xr.DataArray(values, dict(zip(_DIMS, labels, strict=True)), _DIMS)


def surely_lost(data: LayerData) -> xr.DataArray:
    """Lower end of the one-sided 95 % interval of the change of accuracy over images, of 1.

    (layer, mode, threshold, seed), from the images lost and gained. Source: Bonett and Price,
    J. Educ. Behav. Stat. 37 (2012) 479, adjusted Wald interval for paired proportions.
    """
    n = data.n_images + 2
    lost, gained = ((data[name] + 1) / n for name in ("n_lost", "n_gained"))
    change = gained - lost
    variance = (lost + gained - change**2) / n
    return change - _ONE_SIDED * variance.copy(data=np.sqrt(variance.values))


@dataclass(frozen=True, eq=False)
class Best:
    """The cut of each layer that costs least on the held-out images.

    Attributes:
        change: What it costs on the test images, (seed, layer, norm_loss); missing where no cut
            reaches the norm loss.
        cut: Its label, (seed, layer, norm_loss); empty there.
    """

    change: xr.DataArray
    cut: xr.DataArray


def best(tested: xr.DataArray, held_out: xr.DataArray) -> Best:
    """The cut with the highest accuracy on held-out images, and its change on the test images.

    Of cuts that are alike the first in the order of the modes.

    Args:
        tested: Changes on the test images, (mode, seed, layer, norm_loss).
        held_out: The same on the held-out images.
    """
    there = tested.notnull() & held_out.notnull()
    first = held_out.where(there, -np.inf).argmax("mode")
    any_cut = there.any("mode")
    change = tested.isel(mode=first).where(any_cut)
    labels = tested["mode"].astype(object)[first].where(any_cut, NO_CUT)
    return Best(change.drop_vars("mode"), labels.drop_vars("mode"))


def along(tested: xr.DataArray, cut: str) -> xr.DataArray:
    """The changes along one cut, (seed, layer, norm_loss).

    Raises:
        NotMeasuredError: The dataset does not have this cut.
    """
    if cut not in tested["mode"].values.tolist():
        raise NotMeasuredError(f"this dataset has no cut {cut}")
    return tested.sel(mode=cut, drop=True)
