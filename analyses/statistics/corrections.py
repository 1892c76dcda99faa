"""The false-discovery rate of many cells, with missing values left missing."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import false_discovery_control

from analyses.statistics.intervals import Floats


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
