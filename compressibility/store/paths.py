"""Straight paths between weights, and the weights between which they run."""

from typing import Final

from compressibility.store.arms import TRAINED_ON, TRUNCATED

TRAINED: Final = "trained"
RECOVERED: Final = "recovered"

STATES: Final = (TRAINED, TRUNCATED, RECOVERED, TRAINED_ON)
"""Labels of the weights at which the loss is looked at, in the order of ``state``."""

TO_RECOVERED: Final = "to recovered"
THROUGH_TRUNCATED: Final = "through truncated"
TO_TRAINED_ON: Final = "to trained on"
BETWEEN_RETRAININGS: Final = "between re-trainings"
TO_ANOTHER_NETWORK: Final = "to another network"

PATHS: Final = (
    TO_RECOVERED,
    THROUGH_TRUNCATED,
    TO_TRAINED_ON,
    BETWEEN_RETRAININGS,
    TO_ANOTHER_NETWORK,
)
"""Labels of the paths, in the order of ``path``."""

AS_STORED: Final = "as stored"
ESTIMATED_ANEW: Final = "estimated anew"

STATISTICS: Final = (AS_STORED, ESTIMATED_ANEW)
"""Which batch-norm statistics a network answers with, in the order of ``statistics``."""
