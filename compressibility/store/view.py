"""A dataset under inspection: its bare variables, and how a violation is told."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from compressibility.store.cuts import MODES, cut_labels, n_schmidt_values
from compressibility.tensors.modes import TRIVIAL

MISSING_INTEGER: Final = -1


class SchemaError(ValueError):
    """A dataset that violates the schema; one line names the variable, what is wrong, and where."""


@dataclass(frozen=True, eq=False)
class View:
    """The variables of a dataset without coordinates: they broadcast by the names of dimensions."""

    variables: Mapping[str, xr.Variable]

    @classmethod
    def of(cls, dataset: xr.Dataset, names: Iterable[str]) -> "View":
        """The view of some of a dataset's variables, without their attributes."""
        found = {name: dataset.variables[name] for name in names}
        return cls({name: xr.Variable(each.dims, each.values) for name, each in found.items()})

    def __getitem__(self, name: str) -> xr.Variable:
        """The variable of this name."""
        return self.variables[name]

    def numbers(self, name: str) -> xr.Variable:
        """The variable in float64, with NaN for what is missing."""
        values = self[name]
        if values.dtype.kind != "i":
            return values
        numbers = values.values.astype(np.float64)
        numbers[values.values == MISSING_INTEGER] = np.nan
        return xr.Variable(values.dims, numbers)

    @property
    def tells_of_layers(self) -> bool:
        """Whether the shapes of the kernels are in view, as they are not in a shard's."""
        return "out_channels" in self.variables

    @cached_property
    def shapes(self) -> NDArray[np.int64]:
        """Sizes of the modes OUT, IN, KH, KW of each kernel, shape (layers, 4)."""
        sizes = ("out_channels", "in_channels", "kernel_height", "kernel_width")
        return np.stack([self[name].values for name in sizes], axis=1)

    @cached_property
    def cut_exists(self) -> xr.Variable:
        """Whether the label stands for a cut of its own, along (layer, mode)."""
        return self["same_as"] == self["mode"]

    @cached_property
    def cut_is_trivial(self) -> xr.Variable:
        """Whether one side of the cut has no mode larger than one, along (layer, mode)."""
        return self["same_as"] == TRIVIAL

    @cached_property
    def cut_labels(self) -> xr.Variable:
        """What ``same_as`` must say by the shapes of the kernels, along (layer, mode)."""
        return xr.Variable(("layer", "mode"), cut_labels(self.shapes)[:, self._modes])

    @cached_property
    def n_schmidt_values(self) -> xr.Variable:
        """How many Schmidt values each cut has, along (layer, mode)."""
        return xr.Variable(("layer", "mode"), n_schmidt_values(self.shapes)[:, self._modes])

    @cached_property
    def _modes(self) -> list[int]:
        return [MODES.index(str(label)) for label in self["mode"].values]

    def refuse(self, name: str, violated: xr.Variable, what: str) -> None:
        """Raise for the first place of a variable where a rule is violated, if there is one.

        Args:
            name: The variable.
            violated: Boolean; it counts wherever it holds along the variable's dimensions, at
                any entry of other dimensions.
            what: What is wrong with the value, to follow it.

        Raises:
            SchemaError: The rule is violated: ``name at layer conv2, seed 3: 9 exceeds the …``.
        """
        if not violated.values.any():
            return
        variable = self[name]
        violated = violated.any([d for d in violated.dims if d not in variable.dims])
        everywhere = violated | xr.zeros_like(variable, dtype=bool)
        found = np.argwhere(everywhere.transpose(*variable.dims).values)
        index = {str(d): int(i) for d, i in zip(variable.dims, found[0], strict=True)}
        labels = ", ".join(f"{d} {self[d].values[i]}" for d, i in index.items())
        place = f" at {labels}" if labels else ""
        others = f" (and {len(found) - 1} more like it)" if len(found) > 1 else ""
        value = variable.isel(index).values.item()
        shown = repr(value) if isinstance(value, str) else value
        raise SchemaError(f"{name}{place}: {shown} {what}{others}")
