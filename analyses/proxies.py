"""What tells, without an evaluation, how much accuracy a truncation loses."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import xarray as xr

from analyses.comparing import LARGEST_NORM_LOSS
from analyses.statistics import rank_correlation
from compressibility.store.reading import LayerData

FEWEST: Final = 3
"""Of fewer truncations there is no rank correlation."""


def rank_correlations(
    data: LayerData,
    lost: xr.DataArray,
    proxies: Mapping[str, xr.DataArray],
    *,
    pooled: bool = False,
) -> xr.DataArray:
    """Rank correlations of what is lost with each proxy, by layer, (proxy, seed, layer).

    Over the distinct truncations of the layer, or of all layers as if they were one, with norm
    loss above 0 and up to 0.5; the full-rank control and repeated ranks are left out. Not a number
    where fewer than three remain, or those of one cut of one layer.

    Args:
        data: The dataset.
        lost: What is lost, (layer, mode, threshold, seed).
        proxies: By name, of the same dimensions.
        pooled: Over all layers.
    """
    dims = ("seed", "layer", "mode", "threshold")
    rank, norm, cost, change, *values = (
        array.transpose(*dims).values
        for array in (data["rank"], data["norm_loss"], lost, data.logit_change, *proxies.values())
    )
    repeated = np.zeros(rank.shape, dtype=bool)
    repeated[..., 1:] = rank[..., 1:] == rank[..., :-1]
    present = np.isfinite(norm) & np.isfinite(change) & np.all(np.isfinite(values), axis=0)
    chosen = present & ~repeated & (norm > 0) & (norm <= LARGEST_NORM_LOSS)
    if pooled:
        cost, chosen, *values = (
            v.reshape(len(v), 1, -1, v.shape[-1]) for v in (cost, chosen, *values)
        )
    found = np.full((len(values), *chosen.shape[:2]), np.nan)
    for place in np.ndindex(chosen.shape[:2]):
        here = chosen[place]
        if here.sum() >= FEWEST and here.any(axis=-1).sum() > 1:
            for x, of_proxy in zip(values, found, strict=True):
                of_proxy[place] = rank_correlation(x[place][here], cost[place][here])
    labels = {
        "proxy": list(proxies),
        "seed": list(data.seeds),
        "layer": ["all"] if pooled else list(data.layers),
    }
    return xr.DataArray(found, labels, tuple(labels))


def first_less_second(found: xr.DataArray) -> xr.DataArray:
    """The rank correlation with the first of two proxies less that with the second."""
    first, second = found["proxy"].values
    return found.sel(proxy=first, drop=True) - found.sel(proxy=second, drop=True)
