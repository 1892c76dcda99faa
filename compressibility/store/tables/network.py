"""The network itself: which weights it has, and how it answers with no layer changed.

Every dataset has this table.
"""

from dataclasses import replace
from typing import Final

import xarray as xr

from compressibility.store.declarations import (
    AT_LEAST_ONE,
    COUNT,
    EXPERIMENT,
    FRACTION,
    NOT_NEGATIVE,
    PAPER,
    Rule,
    Table,
    Variable,
    flag,
)
from compressibility.store.dimensions import LAYER, SEED
from compressibility.store.view import View

ROUNDING: Final = 1e-9

_FLAG: Final = flag("network_flag", "seed", "baseline")


def accuracy_is(variable: str, count: str) -> Rule:
    """An accuracy is its count over the number of images."""

    def share(view: View) -> xr.Variable:
        return view.numbers(count) / view.numbers("n_images")

    return Rule(
        variable,
        "equals",
        (count, "n_images"),
        share,
        f"is not {count} / n_images",
        tolerance=ROUNDING,
    )


def counts_of(prefix: str = "") -> tuple[Rule, ...]:
    """The counts of a changed network add up with the baseline's.

    Args:
        prefix: What the names ``n_correct``, ``n_lost`` and ``n_gained`` begin with.
    """
    before = "baseline_n_correct"
    correct, lost, gained = (f"{prefix}n_{what}" for what in ("correct", "lost", "gained"))
    return (
        Rule(lost, "at most", (before,), lambda view: view.numbers(before), f"exceeds {before}"),
        Rule(
            gained,
            "at most",
            (before, "n_images"),
            lambda view: view.numbers("n_images") - view.numbers(before),
            f"exceeds n_images - {before}",
        ),
        Rule(
            correct,
            "equals",
            (before, lost, gained),
            lambda view: view.numbers(before) + view.numbers(gained) - view.numbers(lost),
            f"is not {before} + {gained} - {lost}",
        ),
    )


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
