"""The arms of a re-training: what a network is when it begins, and what of it may move."""

from typing import Final

TRUNCATED: Final = "truncated"
RANK_KEPT: Final = "rank kept"
PERTURBED: Final = "perturbed"
TRAINED_ON: Final = "trained on"
RESET: Final = "reset"
FRESH: Final = "fresh"

ARMS: Final = (TRUNCATED, RANK_KEPT, PERTURBED, TRAINED_ON, RESET, FRESH)
"""Labels of the arms, in the order of the dimension ``arm``."""

WITHOUT_A_CUT: Final = (TRAINED_ON, RESET, FRESH)
"""Those that no truncation enters: one re-training stands for every cut and threshold."""
