"""One reading of a layer dataset: labelled arrays, found by name and never by position.

Counts are floats with NaN in place of -1, cuts that stand for another one are told apart, and what
a dataset does not hold (a partial one, or one without some quantity) is named when it is asked for.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import xarray as xr

from compressibility.errors import UserError, nearest
from compressibility.store.cache import default
from compressibility.store.classes import n_classes
from compressibility.store.curves import crossing, curves
from compressibility.store.netcdf import open_dataset
from compressibility.store.schema import MISSING_INTEGER, Flag
from compressibility.tensors.modes import TRIVIAL, Cut, matrix_shape

SMALL_TEST_SET: Final = 2_000
"""Below this many test images one point of accuracy is a handful of images."""
_SIZES: Final = ("out_channels", "in_channels", "kernel_height", "kernel_width")
_TRUNCATION: Final = (
    "rank",
    "norm_loss",
    "relative_error",
    "correlation_loss",
    "compression_ratio",
    "n_correct",
    "n_lost",
    "n_gained",
    "accuracy",
    "loss",
)


class NotMeasuredError(UserError):
    """The dataset lacks what is asked for; the message says what, in plain words."""


@dataclass(frozen=True)
class Coverage:
    """How many (layer, cut, network) are measured, of how many that exist."""

    n_measured: int
    n_existing: int

    @property
    def is_whole(self) -> bool:
        """Whether all are measured."""
        return self.n_measured == self.n_existing


def logit(n_correct: xr.DataArray, n_images: int) -> xr.DataArray:
    """Ln of the odds of a correct answer, with half an image added to either side."""
    odds = (n_correct + 0.5) / (n_images - n_correct + 0.5)
    return odds.copy(data=np.log(odds.values))


@dataclass(frozen=True, eq=False)
class LayerData:
    """A layer dataset as it is read: ``data["n_correct"]`` has NaN where nothing is measured."""

    dataset: xr.Dataset

    def __contains__(self, name: str) -> bool:
        """Whether the dataset has a variable of this name."""
        return name in self.dataset.variables

    def __getitem__(self, name: str) -> xr.DataArray:
        """A variable or coordinate, in float64, with NaN in place of -1.

        It has the labels of its dimensions and no other coordinates.

        Raises:
            NotMeasuredError: The dataset does not have it.
        """
        values = self._found(name)
        if values.dtype.kind in "iu":
            values = values.where(values != MISSING_INTEGER)
        return values.astype(np.float64)

    def has_table(self, name: str) -> bool:
        """Whether the dataset has a table, such as ``controls``, measured or not."""
        return f"{name}_key" in self

    def _found(self, name: str) -> xr.DataArray:
        if name not in self:
            raise NotMeasuredError(f"this dataset has no variable {name}")
        return self.dataset[name].reset_coords(drop=True)

    def of_weights(self, name: str, weights: str) -> xr.DataArray:
        """The part of a variable for the trained, the initial or the shuffled weights.

        Raises:
            NotMeasuredError: The dataset has no such variable, or not for these weights.
        """
        values = self[name]
        if weights not in values["weights"].values.tolist():
            raise NotMeasuredError(f"this dataset has no {weights} weights")
        return values.sel(weights=weights)

    def of_cut(self, values: xr.DataArray, mode: str) -> xr.DataArray:
        """Values along one cut, missing in layers where that cut is another one or trivial.

        Raises:
            NotMeasuredError: The dataset does not have this cut.
        """
        if mode not in self.modes:
            raise NotMeasuredError(f"this dataset has no cut {mode}")
        return values.sel(mode=mode).where(self.distinct.sel(mode=mode))

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Layer names, in forward order."""
        return tuple(self.dataset["layer"].values.tolist())

    @cached_property
    def modes(self) -> tuple[str, ...]:
        """Cut labels; none in a dataset without any table of cuts."""
        return tuple(self.dataset["mode"].values.tolist()) if "mode" in self else ()

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the networks."""
        return tuple(self.dataset["seed"].values.tolist())

    @cached_property
    def n_images(self) -> int:
        """Test images.

        Raises:
            NotMeasuredError: The dataset does not say how many.
        """
        if "n_images" not in self or int(self.dataset["n_images"]) < 1:
            raise NotMeasuredError("the dataset does not say how many test images were used")
        return int(self.dataset["n_images"])

    @cached_property
    def n_classes(self) -> int:
        """Classes of the test images.

        Raises:
            NotMeasuredError: The dataset does not say how many.
        """
        found = n_classes(self.dataset.attrs)
        if found is None:
            raise NotMeasuredError(
                "the dataset does not say how many classes its images have: set its attribute "
                "n_classes"
            )
        return found

    def shape(self, layer: str) -> tuple[int, int, int, int]:
        """Sizes of the modes OUT, IN, KH, KW of a layer's kernel."""
        return self._shapes[layer]

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, int, int, int]]:
        sizes = zip(*(self.dataset[name].values.tolist() for name in _SIZES), strict=True)
        return dict(zip(self.layers, sizes, strict=True))

    def matrix_shape(self, layer: str, mode: str) -> tuple[int, int]:
        """Rows and columns of the kernel of this layer across this cut."""
        return matrix_shape(self.shape(layer), Cut.parse(mode))

    @cached_property
    def distinct(self) -> xr.DataArray:
        """Where a cut is neither trivial nor equal to an earlier one, boolean, (layer, mode).

        Raises:
            NotMeasuredError: The dataset has no table of cuts.
        """
        return self._found("same_as") == self.dataset["mode"]

    @cached_property
    def measured(self) -> xr.DataArray:
        """Where the truncations of a cut are measured, boolean, (layer, mode, seed).

        Raises:
            NotMeasuredError: The dataset has no table of truncations.
        """
        return (self._found("truncation_flag") == Flag.MEASURED.value) & self.distinct

    @cached_property
    def coverage(self) -> Coverage:
        """How much of what could be truncated is measured; nothing of nothing without the table."""
        if "truncation_flag" not in self:
            return Coverage(0, 0)
        existing = int(self.distinct.sum()) * len(self.seeds)
        return Coverage(int(self.measured.sum()), existing)

    @cached_property
    def measured_layers(self) -> tuple[str, ...]:
        """The layers of which any spectrum is measured; all, if there is none."""
        if "schmidt_value" not in self:
            return self.layers
        values = self["schmidt_value"]
        has = values.notnull().any([dim for dim in values.dims if dim != "layer"])
        return tuple(has["layer"].values[has.values].tolist()) or self.layers

    @cached_property
    def baseline_accuracy(self) -> xr.DataArray:
        """Accuracy of the trained networks, (seed,)."""
        return self["baseline_n_correct"] / self.n_images

    @cached_property
    def log2_ratio(self) -> xr.DataArray:
        """Base-2 logarithm of the compression ratio, (layer, mode, threshold, seed)."""
        ratio = self["compression_ratio"]
        return ratio.copy(data=np.log2(ratio.where(ratio > 0).values))

    def change_of_accuracy(self, counts: xr.DataArray) -> xr.DataArray:
        """Accuracy of some counts of right answers minus the untouched network's, of 1."""
        return (counts - self["baseline_n_correct"]) / self.n_images

    def change_of_logit(self, counts: xr.DataArray) -> xr.DataArray:
        """Log-odds of some counts of right answers minus the untouched network's."""
        before = logit(self["baseline_n_correct"], self.n_images)
        return logit(counts, self.n_images) - before

    @cached_property
    def accuracy_change(self) -> xr.DataArray:
        """Accuracy after minus before, in points of 1, (layer, mode, threshold, seed)."""
        return self.change_of_accuracy(self["n_correct"])

    @cached_property
    def held_out_accuracy_change(self) -> xr.DataArray:
        """As `accuracy_change`, on the held-out images; missing where there are none.

        Raises:
            NotMeasuredError: The dataset has no counts on held-out images.
        """
        images = self["held_out_n_images"]
        change = self["held_out_n_correct"] - self["held_out_baseline_n_correct"]
        return change / images.where(images > 0)

    @cached_property
    def logit_change(self) -> xr.DataArray:
        """Log-odds of a correct answer, after minus before, (layer, mode, threshold, seed)."""
        return self.change_of_logit(self["n_correct"])

    @cached_property
    def loss_change(self) -> xr.DataArray:
        """Test loss after minus before, nats, (layer, mode, threshold, seed)."""
        return self["loss"] - self["baseline_loss"]

    @cached_property
    def perturbed_accuracy_change(self) -> xr.DataArray:
        """As `accuracy_change`, under the random perturbation, (layer, norm_loss_level, seed).

        At the norm loss 0, which is put in front of the measured ones, nothing changes.
        """
        return _with_no_change(self.change_of_accuracy(self["perturbed_n_correct"]))

    @cached_property
    def perturbed_logit_change(self) -> xr.DataArray:
        """As `logit_change`, under the random perturbation; see `perturbed_accuracy_change`."""
        return _with_no_change(self.change_of_logit(self["perturbed_n_correct"]))

    @cached_property
    def perturbed_loss_change(self) -> xr.DataArray:
        """As `loss_change`, under the random perturbation; see `perturbed_accuracy_change`."""
        return _with_no_change(self["perturbed_loss"] - self["baseline_loss"])

    @property
    def allowance(self) -> float:
        """δ in points of 1: 0.05 where the test set is small, else 0.01."""
        return 0.05 if self.n_images < SMALL_TEST_SET else 0.01

    def critical_norm_loss(self, points: float = 1) -> xr.Dataset:
        """Where accuracy first falls more than δ below the untouched network's, cut by cut.

        The change of accuracy against the achieved norm loss is interpolated linearly between the
        truncations. A curve that ends before it crosses is right-censored: its value, the last
        norm loss measured, is then a lower bound only. Below 2,000 test images take 5 points.

        Args:
            points: δ in points of accuracy, above 0.

        Returns:
            ``critical_norm_loss`` in [0, 1), float64, NaN where the cut does not exist or is not
            measured; and ``censored``, boolean; both (layer, mode, seed).

        Raises:
            NotMeasuredError: The dataset has no truncations.
            ValueError: δ is not positive.
        """
        if not points > 0:
            raise ValueError(f"points is {points}: accuracy falls by more than 0 points")
        dims = ("layer", "mode", "seed")
        achieved = self["norm_loss"].where(self.distinct)
        curve = curves(achieved, self.accuracy_change, along="threshold", by=dims)
        shape = tuple(self.dataset.sizes[dim] for dim in dims)
        found = [crossing(curve[key], points / 100) for key in curve]
        values = np.array([c.value for c in found]).reshape(shape)
        ended = np.array([c.censored for c in found], dtype=bool).reshape(shape)
        told = {"units": "1", "source": "arXiv 2403.14379"}
        fall = f"accuracy first falls more than {points:g} points below the baseline"
        names = [name for name in self.dataset.coords if set(self.dataset[name].dims) <= set(dims)]
        return xr.Dataset(
            {
                "critical_norm_loss": (
                    dims,
                    values,
                    {"long_name": "critical norm loss", "definition": f"Where {fall}."} | told,
                ),
                "censored": (
                    dims,
                    ended,
                    {
                        "long_name": "right-censored",
                        "definition": f"No truncation was found at which {fall}; the value is the "
                        "largest norm loss measured, a lower bound.",
                    }
                    | told,
                ),
            },
            coords={name: self.dataset[name] for name in names},
        )

    def along(self, layer: str, mode: str) -> xr.Dataset:
        """The truncations of one layer along one cut, missing where not measured.

        A cut that equals another one in this layer gives that one's values, and is then named so
        by the coordinate ``mode``. A cut may be written by either side, its modes in any order.

        Returns:
            The variables of a truncation, float64, (threshold, seed).

        Raises:
            UserError: There is no such layer or cut, or the cut is trivial in this layer.
        """
        if layer not in self.layers:
            raise UserError(
                f"no layer {layer!r} among the {len(self.layers)} here: "
                f"{nearest(layer, self.layers)}"
            )
        label = Cut.parse(mode).label
        if label not in self.modes:
            raise NotMeasuredError(f"this dataset has no cut {label}")
        held = str(self._found("same_as").sel(layer=layer, mode=label).item()) or label
        if held == TRIVIAL:
            raise UserError(f"cut {label} of {layer} is trivial: all of one side has size one")
        if held not in self.modes:
            raise NotMeasuredError(
                f"cut {label} of {layer} is the cut {held}, which this dataset does not have"
            )
        chosen = {name: self[name].sel(layer=layer, mode=held) for name in _TRUNCATION}
        return xr.Dataset(chosen)

    def mean_along(self, layer: str, mode: str) -> xr.Dataset:
        """Means over the measured networks of `along`, (threshold,), and ``n_seeds`` of them.

        The loss is missing where one of the measured networks has none.
        """
        chosen = self.along(layer, mode)
        measured = chosen["rank"].notnull()
        means = chosen.mean("seed")
        whole = (chosen["loss"].notnull() == measured).all("seed")
        return means.assign(
            loss=means["loss"].where(whole), n_seeds=measured.any("threshold").sum()
        )


def _with_no_change(change: xr.DataArray) -> xr.DataArray:
    """Changes under the perturbation, with the level 0 at which none is, where any is measured."""
    first = change.isel(norm_loss_level=[0])
    unchanged = xr.zeros_like(first).where(change.notnull().any("norm_loss_level"))
    unchanged = unchanged.assign_coords(norm_loss_level=[0.0])
    return xr.concat([unchanged, change], "norm_loss_level").transpose(*change.dims)


def read(name: str) -> LayerData:
    """A stored layer dataset, by its path or by the name of its experiment.

    Raises:
        UserError: There is none, or it is damaged.
    """
    return LayerData(open_dataset(default().find(name)))
