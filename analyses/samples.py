"""One number per network, from a table of networks by layers, and what had to be left out."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analyses.once import once
from compressibility.store.reading import LayerData, NotMeasuredError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sample:
    """One number per network, the mean over its layers unless said otherwise.

    Attributes:
        values: The numbers, (networks,).
        table: What they were made from, complete, (seed, layer).
        present: Where there is a number at all, before the table was made complete, (seed, layer).
        left_out: What the table does without, in words.
        is_mean: Whether the numbers are the means of the table over its layers.
    """

    values: Floats
    table: xr.DataArray
    present: xr.DataArray
    left_out: tuple[str, ...] = ()
    is_mean: bool = True

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the networks."""
        return tuple(self.table["seed"].values.tolist())

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers of the table."""
        return tuple(self.table["layer"].values.tolist())

    def with_values(self, values: Floats) -> "Sample":
        """The same networks and layers with another number for each network."""
        return replace(self, values=values, is_mean=False)


def sample(table: xr.DataArray, missing: str | None = None) -> Sample:
    """Mean over layers for each network, over a complete part of a table (seed, layer).

    Networks are comparable only over the same layers. Layers without any value (the cut does not
    exist there, or nothing was measured) and networks without any are dropped first; of what
    remains, either the incomplete networks or the incomplete layers, whichever costs fewer values.

    Args:
        table: Numbers, with NaN where there is none.
        missing: What to say where there is no number at all.

    Raises:
        NotMeasuredError: Nothing complete remains.
    """
    table = table.transpose("seed", "layer")
    present = table.notnull()
    there = present.values
    if missing is not None and not there.any():
        raise NotMeasuredError(missing)
    seeds, layers = (np.asarray(there.any(axis)) for axis in (1, 0))
    whole_seeds = seeds & there[:, layers].all(axis=1)
    whole_layers = layers & there[seeds].all(axis=0)
    if whole_seeds.sum() * layers.sum() >= seeds.sum() * whole_layers.sum():
        kept_seeds, kept_layers = whole_seeds, layers
    else:
        kept_seeds, kept_layers = seeds, whole_layers
    complete = table if there.all() else table[kept_seeds, kept_layers]
    if complete.size == 0:
        raise NotMeasuredError("no network has been measured on the layers this needs")
    left_out = []
    if lost := _labels(table, "seed", ~kept_seeds):
        left_out.append(f"networks not (wholly) measured: seed {', '.join(lost)}")
    if lost := _labels(table, "layer", layers & ~kept_layers):
        left_out.append(f"layers measured in some networks only: {', '.join(lost)}")
    numbers = np.ascontiguousarray(complete.values)
    return Sample(numbers.mean(axis=1), complete, present, tuple(left_out))


def of_networks(values: xr.DataArray, missing: str) -> Sample:
    """One number for each network as a whole, of values (seed,) with gaps.

    Args:
        values: Numbers, with NaN where there is none.
        missing: What to say where there is no number at all.

    Raises:
        NotMeasuredError: There is no number at all.
    """
    return sample(values.expand_dims(layer=["all"]), missing)


def over_own_layers(table: xr.DataArray, missing: str) -> Sample:
    """Mean of each network over the layers that it has, of a table (seed, layer) with gaps.

    For shares of layers, where a layer that cannot be asked is no gap of the measurement.

    Args:
        table: Numbers, with NaN where there is none.
        missing: What to say where there is no number at all.

    Raises:
        NotMeasuredError: There is no number at all.
    """
    table = table.transpose("seed", "layer")
    present = table.notnull()
    there = present.any("layer").values
    if not there.any():
        raise NotMeasuredError(missing)
    kept = table[there]
    lost = _labels(table, "seed", ~there)
    left_out = (f"networks not measured: seed {', '.join(lost)}",) if lost else ()
    return Sample(kept.mean("layer").values, kept, present, left_out, is_mean=False)


def _labels(table: xr.DataArray, dim: str, chosen: NDArray[np.bool_]) -> list[str]:
    return [str(label) for label in table[dim].values[chosen]]


def tabulate(data: LayerData, cell: Callable[[str, int], float]) -> xr.DataArray:
    """The table (seed, layer) of a number computed for each network and layer, by their labels."""
    values = [[cell(layer, seed) for layer in data.layers] for seed in data.seeds]
    empty = once(data, "cells", lambda: _empty(data))
    return empty.copy(data=np.array(values, dtype=np.float64).reshape(empty.shape))


def _empty(data: LayerData) -> xr.DataArray:
    labels = {"seed": list(data.seeds), "layer": list(data.layers)}
    return xr.DataArray(np.nan, labels, ("seed", "layer"))
