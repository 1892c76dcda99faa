"""One layer of a dataset along one cut."""

from difflib import get_close_matches

import xarray as xr

from compressibility.store.netcdf import DatasetError
from compressibility.store.schema import MODES, TABLES
from compressibility.tensors.modes import CUTS


def truncations(dataset: xr.Dataset, layer: str, mode: str) -> xr.Dataset:
    """The truncations of one layer along one cut, with dims (threshold, seed).

    A cut that equals another one gives that one's values. A cut may be written by either side,
    its modes in any order.

    Raises:
        DatasetError: There is no such layer or cut, or the cut is trivial in this layer.
    """
    layers = [str(name) for name in dataset["layer"].values]
    if layer not in layers:
        near = get_close_matches(layer, layers, n=1, cutoff=0)
        raise DatasetError(
            f"no layer {layer!r} among the {len(layers)} here: did you mean {near[0]}?"
        )
    sides = {frozenset(side.label.split(",")): c.label for c in CUTS for side in (c, c.complement)}
    mode = sides.get(frozenset(mode.split(",")), mode)
    if mode not in MODES:
        raise DatasetError(f"unknown cut {mode!r}: choose from {'; '.join(MODES)}")
    held = str(dataset["same_as"].sel(layer=layer, mode=mode).item()) or mode
    if held == "trivial":
        raise DatasetError(f"cut {mode} of {layer} is trivial: all of one side has size one")
    names = [v.name for v in TABLES["truncation"].variables if "threshold" in v.dims]
    return dataset[names].sel(layer=layer, mode=held)
