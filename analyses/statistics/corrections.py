"""Corrections for several comparisons: those of statsmodels, with missing values left missing."""

from collections.abc import Sequence

import numpy as np
from statsmodels.stats.multitest import multipletests

from analyses.statistics.intervals import Floats


def holm(p_values: Sequence[float] | Floats) -> Floats:
    """Holm's step-down p-values of one family; missing ones stay missing and are not counted.

    Source: Holm, Scand. J. Stat. 6 (1979) 65.
    """
    return _adjusted(p_values, "holm")


def benjamini_yekutieli(p_values: Sequence[float] | Floats) -> Floats:
    """False-discovery-rate p-values valid under any dependence, for maps of layers and cuts.

    Missing ones stay missing and are not counted.

    Source: Benjamini and Yekutieli, Ann. Stat. 29 (2001) 1165.
    """
    return _adjusted(p_values, "fdr_by")


def _adjusted(p_values: Sequence[float] | Floats, method: str) -> Floats:
    adjusted = np.array(p_values, dtype=np.float64)
    present = ~np.isnan(adjusted)
    if present.any():
        adjusted[present] = multipletests(adjusted[present], method=method)[1]
    return adjusted
