"""The choices that an effect may hang on: the scale of the harm, and how far it is averaged.

The primary scale is the share of the accuracy above chance that is kept. Log-odds have no floor,
and weigh most where a network is near chance; accuracy and test loss differ between networks of
different baselines.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import xarray as xr

from compressibility.store.reading import LayerData


@dataclass(frozen=True)
class Scale:
    """What a change of the answers is measured by, so that above zero is better.

    Attributes:
        name: Its name in tables.
        unit: Its unit.
        truncated: The change under truncation, (layer, mode, threshold, seed).
        perturbed: The change under random perturbation, (layer, norm_loss_level, seed).
    """

    name: str
    unit: str
    truncated: Callable[[LayerData], xr.DataArray]
    perturbed: Callable[[LayerData], xr.DataArray]


def above_chance(data: LayerData) -> xr.DataArray:
    """Accuracy of the untouched networks less that of chance, (seed,); missing at chance or below.

    Raises:
        NotMeasuredError: The dataset does not say how many classes there are.
    """
    lead = data.baseline_accuracy - 1 / data.n_classes
    return lead.where(lead > 0)


KEPT: Final = Scale(
    "accuracy above chance that is kept",
    "of the accuracy",
    lambda data: data.accuracy_change / above_chance(data),
    lambda data: data.perturbed_accuracy_change / above_chance(data),
)
"""(accuracy - 1/C) / (baseline accuracy - 1/C) of C classes, less 1."""
LOG_ODDS: Final = Scale(
    "log-odds of a correct answer",
    "logit",
    lambda data: data.logit_change,
    lambda data: data.perturbed_logit_change,
)
ACCURACY: Final = Scale(
    "accuracy",
    "of the images",
    lambda data: data.accuracy_change,
    lambda data: data.perturbed_accuracy_change,
)
LOSS: Final = Scale(
    "test loss, less is better",
    "nat",
    lambda data: -data.loss_change,
    lambda data: -data.perturbed_loss_change,
)
SCALES: Final = (KEPT, LOG_ODDS, ACCURACY, LOSS)

Reaches = Mapping[str, float]
"""Where averages end, by what people read; the last is the primary one."""

NORM_LOSSES: Final[Reaches] = MappingProxyType(
    {f"norm loss to {end}": end for end in (0.1, 0.2, 0.3, 0.5)}
)
RATIOS: Final[Reaches] = MappingProxyType(
    {"ratio to 2": 1.0, "ratio to 4": 2.0, "ratio to 8": 3.0, "any ratio": 64.0}
)
"""Base-2 logarithms of compression ratios."""
