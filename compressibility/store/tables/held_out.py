"""Truncations of one layer along each cut, answered on held-out images, to choose among them."""

from typing import Final

import xarray as xr

from compressibility.store.declarations import EXPERIMENT, NOT_NEGATIVE, Rule, Table, Variable, flag
from compressibility.store.dimensions import LAYER, MODE, SEED, THRESHOLD
from compressibility.store.view import View

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


def _at_most_all(variable: str) -> Rule:
    images = "held_out_n_images"

    def all_of_them(view: View) -> xr.Variable:
        return view.numbers(images)

    return Rule(variable, "at most", (images,), all_of_them, f"exceeds {images}")


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
    rules=tuple(map(_at_most_all, ("held_out_baseline_n_correct", "held_out_n_correct"))),
)  # fmt: skip
