"""Corrections for several comparisons, with missing values left missing."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import false_discovery_control
from statsmodels.stats.multitest import multipletests

from analyses.statistics.intervals import Floats


def holm(p_values: Sequence[float] | Floats) -> Floats:
    """Holm's step-down p-values of one family; missing ones stay missing and are not counted.

    Source: Holm, Scand. J. Stat. 6 (1979) 65.
    """
    adjusted = np.array(p_values, dtype=np.float64)
    present = ~np.isnan(adjusted)
    if present.sum() > 1:  # of one there is nothing to correct, and statsmodels collects garbage
        adjusted[present] = multipletests(adjusted[present], method="holm")[1]
    return adjusted


def benjamini_yekutieli(p_values: Sequence[float] | Floats) -> Floats:
    """False-discovery-rate p-values valid under any dependence, for maps of layers and cuts.

    Missing ones stay missing and are not counted.

    Source: Benjamini and Yekutieli, Ann. Stat. 29 (2001) 1165.
    """
    adjusted = np.array(p_values, dtype=np.float64)
    present = ~np.isnan(adjusted)
    if present.any():
        adjusted[present] = false_discovery_control(adjusted[present], method="by")
    return adjusted
