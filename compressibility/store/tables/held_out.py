"""Truncations of one layer along each cut, answered on held-out images, to choose among them."""

from typing import Final

from compressibility.store.declarations import (
    EXPERIMENT,
    NOT_NEGATIVE,
    Table,
    Variable,
    at_most,
    flag,
)
from compressibility.store.dimensions import LAYER, MODE, SEED, THRESHOLD

_FLAG: Final = flag("held_out_flag", "layer seed", "counts on held-out images")
_ALONG: Final = flag(
    "held_out_cut_flag", "layer mode seed", "counts on held-out images along the cuts"
)


def _count(
    name: str, dims: str, long_name: str, definition: str, flagged: Variable = _FLAG
) -> Variable:
    return Variable(
        name,
        tuple(dims.split()),
        "int64",
        "1",
        long_name,
        definition,
        EXPERIMENT,
        flag=flagged.name,
        bounds=NOT_NEGATIVE,
    )


HELD_OUT: Final = Table(
    name="held_out",
    what="truncations of one layer at a time, answered on images held out of training",
    per=("layer", "seed"),
    dimensions=(LAYER, MODE, THRESHOLD, SEED),
    variables=(
        _count("held_out_n_images", "layer seed", "number of held-out images",
               "Images held out of the training images, on which choices are made that the test "
               "images must not make; the same for every layer."),
        _count("held_out_baseline_n_correct", "layer seed",
               "correct held-out images of the trained network",
               "Held-out images whose largest logit is the label's, with no layer truncated; the "
               "same for every layer."),
        _count("held_out_n_correct", "layer mode threshold seed",
               "correct held-out images",
               "Held-out images whose largest logit is the label's, with this one layer truncated "
               "as on the test images.", _ALONG),
    ),
    flags=(_FLAG, _ALONG),
    rules=(
        at_most("held_out_baseline_n_correct", "held_out_n_images"),
        at_most("held_out_n_correct", "held_out_n_images"),
    ),
)  # fmt: skip
