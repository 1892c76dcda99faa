"""The network itself: which weights it has, and how it answers with no layer changed.

Every dataset has this table.
"""

from dataclasses import replace
from typing import Final

from compressibility.store.declarations import (
    AT_LEAST_ONE,
    COUNT,
    EXPERIMENT,
    FRACTION,
    NOT_NEGATIVE,
    PAPER,
    Table,
    Variable,
    flag,
)
from compressibility.store.dimensions import LAYER, SEED
from compressibility.store.tables.answers import accuracy_is

_FLAG: Final = flag("network_flag", "seed", "baseline")


NETWORK: Final = Table(
    name="network",
    what="the trained network, and its answers with no layer changed",
    per=("seed",),
    dimensions=(LAYER, SEED),
    given=(
        Variable("n_images", (), "int64", "1", "number of test images",
                 "Images on which every count, accuracy and loss is taken.", EXPERIMENT,
                 bounds=AT_LEAST_ONE),
    ),
    variables=tuple(
        replace(variable, flag=_FLAG.name)
        for variable in (
            Variable("weights_hash", ("seed",), "str", "1", "hash of the trained weights",
                     "SHA-256 of the trained network's parameters and buffers, after rounding to "
                     "float16.", EXPERIMENT),
            Variable("baseline_n_correct", ("seed",), "int64", "1",
                     "correct test images of the trained network",
                     "Test images whose largest logit is the label's, with no layer truncated.",
                     PAPER, bounds=COUNT),
            Variable("baseline_accuracy", ("seed",), "float64", "1",
                     "accuracy of the trained network", "baseline_n_correct / n_images.", PAPER,
                     bounds=FRACTION),
            Variable("baseline_loss", ("seed",), "float64", "nat",
                     "test loss of the trained network",
                     "Mean cross-entropy over the test images, with no layer truncated.", PAPER,
                     bounds=NOT_NEGATIVE),
        )
    ),
    flags=(_FLAG,),
    rules=(accuracy_is("baseline_accuracy", "baseline_n_correct"),),
)  # fmt: skip
