"""The choices that an effect may hang on: the scale of the harm, and how far it is averaged.

The primary scale is the share of the accuracy above chance that is kept. Log-odds have no floor,
and weigh most where a network is near chance; accuracy and test loss differ between networks of
different baselines.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import xarray as xr

from compressibility.store.curves import IDENTITY, Floats, Link
from compressibility.store.reading import LayerData


@dataclass(frozen=True)
class Scale:
    """What a change of the answers is measured by, so that above zero is better.

    Attributes:
        name: Its name in tables.
        unit: Its unit.
        counted: The change, of counts of right answers and test losses.
        perturbed: The change under random perturbation, (layer, norm_loss_level, seed).
        link: The scale on which a network's changes are interpolated, by its seed.
    """

    name: str
    unit: str
    counted: Callable[[LayerData, xr.DataArray, xr.DataArray], xr.DataArray]
    perturbed: Callable[[LayerData], xr.DataArray]
    link: Callable[[LayerData, int], Link] = lambda *_: IDENTITY

    def truncated(self, data: LayerData) -> xr.DataArray:
        """The change under truncation, (layer, mode, threshold, seed)."""
        return self.counted(data, data["n_correct"], data["loss"])


def above_chance(data: LayerData) -> xr.DataArray:
    """Accuracy of the untouched networks less that of chance, (seed,); missing at chance or below.

    Raises:
        NotMeasuredError: The dataset does not say how many classes there are.
    """
    lead = data.baseline_accuracy - 1 / data.n_classes
    return lead.where(lead > 0)


def _log_odds_of_kept(data: LayerData, seed: int) -> Link:
    """By log-odds, with half an image added to either side: accuracies fall in the shape of an S.

    Between chords of accuracy, straight or bent, a curve with few points lies on one side of the
    same curve with many, and quiet networks would show that as an effect.
    """
    n, chance = data.n_images, 1 / data.n_classes
    lead = float(above_chance(data).sel(seed=seed))

    def forward(change: Floats) -> Floats:
        right = n * ((1 + change) * lead + chance)
        return np.asarray(np.log((right + 0.5) / (n - right + 0.5)))

    def back(log_odds: Floats) -> Floats:
        right = (n + 1) / (1 + np.exp(-log_odds)) - 0.5
        return np.asarray((right / n - chance) / lead - 1)

    return Link(forward, back)


KEPT: Final = Scale(
    "accuracy above chance that is kept",
    "of the accuracy above chance",
    lambda data, right, _: data.change_of_accuracy(right) / above_chance(data),
    lambda data: data.perturbed_accuracy_change / above_chance(data),
    _log_odds_of_kept,
)
"""(accuracy - 1/C) / (baseline accuracy - 1/C) of C classes, less 1."""
LOG_ODDS: Final = Scale(
    "log-odds of a correct answer",
    "logit",
    lambda data, right, _: data.change_of_logit(right),
    lambda data: data.perturbed_logit_change,
)
LOSS: Final = Scale(
    "test loss, less is better",
    "nat",
    lambda data, _, loss: data["baseline_loss"] - loss,
    lambda data: -data.perturbed_loss_change,
)
PRIMARY: Final = KEPT
SCALES: Final = (PRIMARY, LOG_ODDS, LOSS)

Reaches = Mapping[str, float]
"""Where averages end, by what people read; the last is the primary one."""

NORM_LOSSES: Final[Reaches] = MappingProxyType(
    {f"norm loss to {end}": end for end in (0.1, 0.2, 0.3, 0.5)}
)
RATIOS: Final[Reaches] = MappingProxyType(
    {"ratio to 2": 1.0, "ratio to 4": 2.0, "ratio to 8": 3.0, "any ratio": 64.0}
)
"""Base-2 logarithms of compression ratios."""
ERRORS: Final[Reaches] = MappingProxyType(
    {f"relative error to {end:.2g}": end for end in (0.4, 0.6, 0.75, 0.75**0.5)}
)
"""The last is that of the norm loss 0.5: squared, it is 1 - (1 - 0.5)²."""
