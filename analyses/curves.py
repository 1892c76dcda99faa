"""What the analyses read from a layer dataset: truncation curves, paired on network and layer."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from compressibility.tensors.modes import Cut, matrix_shape

Floats = NDArray[np.float64]

LARGEST_NORM_LOSS: Final = 0.5
"""The range the paper's claim is about; beyond it most curves are at chance, and alike."""
SMALL_TEST_SET: Final = 2_000
"""Below this many test images one point of accuracy is a handful of images."""


class NotMeasuredError(Exception):
    """The dataset lacks what an analysis needs; the message says what, in plain words."""


@dataclass(frozen=True, eq=False)
class Curve:
    """y against x at the truncations that exist, x ascending without repetition, both (points,)."""

    x: Floats
    y: Floats

    @classmethod
    def of(cls, x: Floats, y: Floats) -> "Curve":
        """The curve through the measured points; points with a missing coordinate are left out."""
        present = np.isfinite(x) & np.isfinite(y)
        knots, first = np.unique(x[present], return_index=True)
        return cls(knots, y[present][first])

    def __len__(self) -> int:
        """Number of points."""
        return self.x.size

    def at(self, x: Floats) -> Floats:
        """The curve, interpolated linearly; not a number outside its ends."""
        if len(self) == 0:
            return np.full(np.shape(x), np.nan)
        return np.interp(x, self.x, self.y, left=np.nan, right=np.nan)


def common_support(curves: Iterable[Curve], low: float, high: float) -> tuple[float, float] | None:
    """The part of [low, high] on which every curve has values; None where there is none."""
    for curve in curves:
        if len(curve) == 0:
            return None
        low, high = max(low, float(curve.x[0])), min(high, float(curve.x[-1]))
    return (low, high) if low <= high else None


def mean_over(x: Floats, y: Floats) -> float:
    """The mean of the piecewise linear curve through the points; of one point, its value."""
    if x.size == 0:
        return float("nan")
    if x.size == 1 or x[-1] == x[0]:
        return float(y.mean())
    return float(np.trapezoid(y, x) / (x[-1] - x[0]))


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
    support = common_support((curve, other), low, high)
    if support is None:
        return float("nan")
    coarse = min(curve, other, key=lambda c: np.count_nonzero(_inside(c.x, support)))
    knots = coarse.x[_inside(coarse.x, support)]
    if not np.any(knots > 0):
        return float("nan")
    return mean_over(knots, curve.at(knots) - other.at(knots))


def _inside(x: Floats, support: tuple[float, float]) -> NDArray[np.bool_]:
    return (x >= support[0]) & (x <= support[1])


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


def logit(n_correct: Floats, n_images: int) -> Floats:
    """Ln of the odds of a correct answer, with half an image added to either side."""
    return np.log((n_correct + 0.5) / (n_images - n_correct + 0.5))


@dataclass(frozen=True, eq=False)
class Sweep:
    """The arrays of one dataset, by name instead of by order: (layer, mode, threshold, seed)."""

    dataset: xr.Dataset

    def values(self, name: str, *dims: str) -> Floats:
        """A float variable in the order of ``dims``.

        Raises:
            NotMeasuredError: if the dataset does not have it.
        """
        if name not in self.dataset.variables:
            raise NotMeasuredError(f"this dataset has no variable {name}")
        return np.asarray(self.dataset[name].transpose(*dims).values, dtype=np.float64)

    def _cut_values(self, name: str) -> Floats:
        return self.values(name, "layer", "mode", "threshold", "seed")

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Layer names, in forward order."""
        return tuple(str(name) for name in self.dataset["layer"].values)

    @cached_property
    def modes(self) -> tuple[str, ...]:
        """Cut labels."""
        return tuple(str(name) for name in self.dataset["mode"].values)

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the networks."""
        return tuple(int(seed) for seed in self.dataset["seed"].values)

    @cached_property
    def n_images(self) -> int:
        """Test images."""
        if "n_images" not in self.dataset.variables or int(self.dataset["n_images"]) < 1:
            raise NotMeasuredError("the dataset does not say how many test images were used")
        return int(self.dataset["n_images"])

    @cached_property
    def relative_depth(self) -> Floats:
        """0 for the first layer, 1 for the last, (layer,)."""
        return self.values("relative_depth", "layer")

    @cached_property
    def shapes(self) -> NDArray[np.int64]:
        """Kernel sizes OUT, IN, KH, KW, (layer, 4)."""
        names = ("out_channels", "in_channels", "kernel_height", "kernel_width")
        return np.stack([self.dataset[name].values for name in names], axis=-1)

    def matrix_shape(self, layer: int, mode: str) -> tuple[int, int]:
        """Rows and columns of the kernel of this layer across this cut."""
        out, in_, height, width = (int(size) for size in self.shapes[layer])
        return matrix_shape((out, in_, height, width), Cut.parse(mode))

    @cached_property
    def distinct(self) -> NDArray[np.bool_]:
        """Where a cut is neither trivial nor equal to an earlier one, (layer, mode)."""
        same_as = self.dataset["same_as"].transpose("layer", "mode").values
        return np.asarray(same_as == np.array(self.modes, dtype=object))

    @cached_property
    def measured_layers(self) -> list[int]:
        """Places of the layers of which any spectrum is measured; all, if there is none."""
        spectra = self.values("schmidt_value", "layer", "weights", "mode", "seed", "schmidt_index")
        measured = np.isfinite(spectra).any(axis=(1, 2, 3, 4))
        return np.flatnonzero(measured if measured.any() else ~measured).tolist()

    def mode_index(self, mode: str) -> int:
        """Position of a cut.

        Raises:
            NotMeasuredError: if the dataset does not have it.
        """
        if mode not in self.modes:
            raise NotMeasuredError(f"this dataset has no cut {mode}")
        return self.modes.index(mode)

    @cached_property
    def baseline_n_correct(self) -> Floats:
        """Correct answers of the trained networks, (seed,)."""
        return np.where((c := self.values("baseline_n_correct", "seed")) < 0, np.nan, c)

    @cached_property
    def baseline_accuracy(self) -> Floats:
        """Accuracy of the trained networks, (seed,)."""
        return self.baseline_n_correct / self.n_images

    @cached_property
    def norm_loss(self) -> Floats:
        """Achieved norm loss."""
        return self._cut_values("norm_loss")

    @cached_property
    def correlation_loss(self) -> Floats:
        """Correlation loss."""
        return self._cut_values("correlation_loss")

    @cached_property
    def log2_ratio(self) -> Floats:
        """Base-2 logarithm of the compression ratio."""
        ratio = self._cut_values("compression_ratio")
        return np.log2(ratio, out=np.full(ratio.shape, np.nan), where=ratio > 0)

    @cached_property
    def n_correct(self) -> Floats:
        """Correct answers, missing where not measured."""
        return np.where((c := self._cut_values("n_correct")) < 0, np.nan, c)

    @cached_property
    def logit_change(self) -> Floats:
        """Log-odds of a correct answer, after minus before."""
        return logit(self.n_correct, self.n_images) - logit(self.baseline_n_correct, self.n_images)

    @cached_property
    def accuracy_change(self) -> Floats:
        """Accuracy after minus before, in points of 1."""
        return (self.n_correct - self.baseline_n_correct) / self.n_images

    @cached_property
    def loss_change(self) -> Floats:
        """Test loss after minus before, nats."""
        return self._cut_values("loss") - self.values("baseline_loss", "seed")

    @cached_property
    def perturbed_levels(self) -> Floats:
        """Norm losses of the matched random perturbation, with the 0 at which nothing changes."""
        return np.concatenate([[0.0], self.values("norm_loss_level", "norm_loss_level")])

    def _perturbed(self, change: Floats) -> Floats:
        unchanged = np.where(np.isnan(change).all(axis=1, keepdims=True), np.nan, 0.0)
        return np.concatenate([unchanged, change], axis=1)

    @cached_property
    def _perturbed_counts(self) -> Floats:
        counts = self.values("perturbed_n_correct", "layer", "norm_loss_level", "seed")
        return np.where(counts < 0, np.nan, counts)

    @cached_property
    def perturbed_logit_change(self) -> Floats:
        """As `logit_change`, under the random perturbation, (layer, level, seed)."""
        after = logit(self._perturbed_counts, self.n_images)
        return self._perturbed(after - logit(self.baseline_n_correct, self.n_images))

    @cached_property
    def perturbed_accuracy_change(self) -> Floats:
        """As `accuracy_change`, under the random perturbation, (layer, level, seed)."""
        return self._perturbed((self._perturbed_counts - self.baseline_n_correct) / self.n_images)

    @cached_property
    def perturbed_loss_change(self) -> Floats:
        """As `loss_change`, under the random perturbation, (layer, level, seed)."""
        after = self.values("perturbed_loss", "layer", "norm_loss_level", "seed")
        return self._perturbed(after - self.values("baseline_loss", "seed"))

    @property
    def allowance(self) -> float:
        """δ: 5 points of accuracy where the test set is small, else 1."""
        return 0.05 if self.n_images < SMALL_TEST_SET else 0.01

    def curve(self, x: Floats, y: Floats, layer: int, mode: int, seed: int) -> Curve:
        """One cut's curve of y against x, both of shape (layer, mode, threshold, seed)."""
        return Curve.of(x[layer, mode, :, seed], y[layer, mode, :, seed])

    def perturbed_curve(self, y: Floats, layer: int, seed: int) -> Curve:
        """The random perturbation's curve of y against norm loss."""
        return Curve.of(self.perturbed_levels, y[layer, :, seed])


@dataclass(frozen=True, eq=False)
class Sample:
    """One number per network, from a table of seeds by layers, and what had to be left out."""

    values: Floats
    seeds: tuple[int, ...]
    layers: tuple[str, ...]
    table: Floats
    """The numbers averaged, (seeds, layers)."""
    left_out: tuple[str, ...]


def sample(sweep: Sweep, table: Floats) -> Sample:
    """Mean over layers for each network, over a complete part of the table (seed, layer).

    Networks are comparable only over the same layers. Layers without any value (the cut does not
    exist there, or nothing was measured) and networks without any are dropped first; of what
    remains, either the incomplete networks or the incomplete layers, whichever costs fewer values.

    Raises:
        NotMeasuredError: if nothing complete remains.
    """
    present = np.isfinite(table)
    layers, seeds = np.flatnonzero(present.any(axis=0)), np.flatnonzero(present.any(axis=1))
    inner = present[np.ix_(seeds, layers)]
    whole_seeds, whole_layers = seeds[inner.all(axis=1)], layers[inner.all(axis=0)]
    if whole_seeds.size * layers.size >= seeds.size * whole_layers.size:
        kept_seeds, kept_layers = whole_seeds, layers
    else:
        kept_seeds, kept_layers = seeds, whole_layers
    if kept_seeds.size * kept_layers.size == 0:
        raise NotMeasuredError("no network has been measured on the layers this needs")
    left_out = []
    if lost := [sweep.seeds[s] for s in range(len(sweep.seeds)) if s not in kept_seeds]:
        left_out.append(f"networks not (wholly) measured: seed {', '.join(map(str, lost))}")
    if lost_layers := [sweep.layers[i] for i in layers if i not in kept_layers]:
        left_out.append(f"layers measured in some networks only: {', '.join(lost_layers)}")
    complete = table[np.ix_(kept_seeds, kept_layers)]
    return Sample(
        complete.mean(axis=1),
        tuple(sweep.seeds[s] for s in kept_seeds),
        tuple(sweep.layers[i] for i in kept_layers),
        complete,
        tuple(left_out),
    )


def tabulate(sweep: Sweep, cell: Callable[[int, int], float]) -> Floats:
    """The table (seed, layer) of a number computed for each network and layer."""
    return np.array(
        [
            [cell(layer, seed) for layer in range(len(sweep.layers))]
            for seed in range(len(sweep.seeds))
        ]
    ).reshape(len(sweep.seeds), len(sweep.layers))
