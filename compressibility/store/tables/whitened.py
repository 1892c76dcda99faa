"""Truncations of one layer in the metric of what it sees, at the ranks of the plain ones."""

from typing import Final

from compressibility.store.declarations import (
    EXPERIMENT,
    FRACTION,
    NOT_NEGATIVE,
    Family,
    Table,
    Variable,
    at_most,
    flag,
)
from compressibility.store.dimensions import LAYER, MODE, SEED, THRESHOLD
from compressibility.store.tables.answers import answers, rules_of

_SOURCE: Final = "compressibility.tensors.whitened"
_FLAG: Final = flag("whitened_flag", "layer seed", "truncations in the metric of the inputs")
_ALONG: Final = flag(
    "whitened_cut_flag", "layer mode seed", "truncations in the metric of the inputs, by cut"
)
_whitened: Final = Family(("layer", "mode", "threshold", "seed"), _SOURCE, _ALONG)


WHITENED: Final = Table(
    name="whitened",
    what="truncations of one layer at a time in the metric of what the layer sees",
    per=("layer", "seed"),
    dimensions=(LAYER, MODE, THRESHOLD, SEED),
    variables=(
        _whitened("whitened_relative_error", "float64",
                  "relative error, truncated for the outputs",
                  "|K - K'| / |K| (Frobenius) of K' = U_r U_r^T K across the cut, U_r the r "
                  "leading eigenvectors of K C K^T, C the uncentred covariance of what the first "
                  "of the two layers that realise the cut sees of training images, and r the rank "
                  "of the plain truncation to the same threshold.", FRACTION),
        _whitened("whitened_output_error", "float64", "output error, truncated for the outputs",
                  "Root of the mean of |(K - K') x|^2 over that of |K x|^2, x the patches of "
                  "training images that the kernel multiplies, K' as for whitened_relative_error.",
                  NOT_NEGATIVE),
        _whitened("output_error", "float64", "output error of the plain truncation",
                  "The same of the plain truncation to this threshold.", NOT_NEGATIVE),
        *answers(
            _whitened, "whitened", "whitened_",
            state="with this one layer truncated for its outputs",
            change="the truncation", what=", truncated for the outputs",
        ),
        Variable("whitened_n_held_out", ("layer", "seed"), "int64", "1",
                 "number of held-out images",
                 "Images held out of the training images, on which choices are made.", EXPERIMENT,
                 flag=_FLAG.name, bounds=NOT_NEGATIVE),
        _whitened("whitened_held_out_n_correct", "int64",
                  "correct held-out images, truncated for the outputs",
                  "Held-out images whose largest logit is the label's, with this one layer "
                  "truncated for its outputs.", NOT_NEGATIVE),
    ),
    flags=(_FLAG, _ALONG),
    rules=(
        *rules_of("whitened_"),
        at_most("whitened_held_out_n_correct", "whitened_n_held_out"),
    ),
)  # fmt: skip
