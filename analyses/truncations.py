"""Every truncation of every layer, as one table."""

from typing import Final

import numpy as np
from pandas import DataFrame

from compressibility.store.reading import LayerData, NotMeasuredError

COLUMNS: Final = (
    "layer",
    "cut",
    "threshold",
    "rank",
    "norm loss",
    "accuracy",
    "change",
    "parameters",
)
"""Accuracy in %, its change in points, parameters stored in % of the kernel's."""


def truncations(data: LayerData) -> DataFrame:
    """A row for each layer, cut and threshold measured: means over the networks that have it.

    Returns:
        The columns `COLUMNS`, layers in forward order; empty where nothing is truncated.
    """
    try:
        values = {
            "rank": data["rank"],
            "norm loss": data["norm_loss"],
            "accuracy": 100 * (data.accuracy_change + data.baseline_accuracy),
            "change": 100 * data.accuracy_change,
            "parameters": 100 / data["compression_ratio"],
        }
        measured = data.measured
    except NotMeasuredError:
        return DataFrame(columns=list(COLUMNS))
    dims = ("layer", "mode", "threshold", "seed")
    arrays = {name: v.transpose(*dims).values for name, v in values.items()}
    there = measured.transpose("layer", "mode", "seed").values[:, :, None, :]
    there = there & np.isfinite(arrays["change"])
    number = there.sum(axis=-1)
    layer, cut, threshold = np.nonzero(number)
    means = {
        name: (np.where(there, v, 0.0).sum(axis=-1) / np.maximum(number, 1))[layer, cut, threshold]
        for name, v in arrays.items()
    }
    return DataFrame(
        {
            "layer": np.array(data.layers)[layer],
            "cut": np.array(data.modes)[cut],
            "threshold": data.dataset["threshold"].values[threshold],
            **means,
        }
    )
