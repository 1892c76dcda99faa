"""Networks truncated in every layer and trained again: how they answer, and where they move."""

from dataclasses import replace
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from compressibility.store.arms import ARMS
from compressibility.store.cuts import MODES, cut_labels, n_schmidt_values
from compressibility.store.declarations import (
    COUNT,
    EXPERIMENT,
    FRACTION,
    NORM_LOSS,
    NOT_NEGATIVE,
    PAPER,
    Dimension,
    Family,
    Flag,
    Table,
    Variable,
    at_most,
    flag,
)
from compressibility.store.dimensions import LAYER, SEED
from compressibility.store.tables.answers import answers, rules_of
from compressibility.store.view import View

RECOVERY_MODE: Final = Dimension(
    Variable("recovery_mode", ("recovery_mode",), "str", "1", "cut of every layer",
             "Cut along which every measured layer is truncated before the re-training. In a layer "
             "where it equals another cut (same_as) it is that one; where it is trivial the layer "
             "stays as it is.", PAPER),
    "cut along which every layer is truncated before the re-training",
    "labels",
    known=MODES,
)  # fmt: skip

RECOVERY_THRESHOLD: Final = Dimension(
    Variable("recovery_threshold", ("recovery_threshold",), "float64", "1",
             "threshold on the norm loss",
             "Every layer keeps the smallest rank whose norm loss does not exceed it.", PAPER,
             bounds=NORM_LOSS),
    "allowed norm loss of every layer before the re-training",
    "ascending",
)  # fmt: skip

ARM: Final = Dimension(
    Variable("arm", ("arm",), "str", "1", "arm of the re-training",
             "truncated: every layer truncated, all weights free; rank kept: the layers that "
             "realise the truncations in their place, so that no rank can grow; perturbed: the "
             "matched random perturbation of each truncation's norm loss in its place; trained on: "
             "the network as it is; reset: every measured kernel replaced by the entries of its "
             "initial one in random order, the rest kept; fresh: every parameter so replaced. The "
             "last three know no truncation: their answers are the same for every cut and "
             "threshold. All take the same images in the same order.", EXPERIMENT),
    "what the network is when it begins, and what of it may move",
    "labels",
    known=ARMS,
)  # fmt: skip

EPOCH: Final = Dimension(
    Variable("epoch", ("epoch",), "int64", "1", "epochs of the re-training",
             "Epochs done: 0 is before the first.", EXPERIMENT, bounds=NOT_NEGATIVE),
    "epochs of the re-training that are done",
    "ascending",
)  # fmt: skip


def _n_schmidt_values(shapes: NDArray[np.int64], modes: list[str]) -> NDArray[np.int64]:
    """How many Schmidt values a kernel has along what each cut is in it; 0 where it is trivial."""
    held, counts = cut_labels(shapes), n_schmidt_values(shapes)
    return np.array(
        [
            [dict(zip(MODES, row, strict=True)).get(labels[MODES.index(mode)], 0) for mode in modes]
            for labels, row in zip(held.tolist(), counts.tolist(), strict=True)
        ]
    ).reshape(-1, len(modes))


def _is_used(view: View) -> xr.Variable:
    modes = view["recovery_mode"].values.tolist()
    counts = _n_schmidt_values(view.shapes, modes)
    return view["recovery_schmidt_index"] <= xr.Variable(("layer", "recovery_mode"), counts)


RECOVERY_SCHMIDT_INDEX: Final = Dimension(
    Variable("recovery_schmidt_index", ("recovery_schmidt_index",), "int64", "1", "Schmidt index",
             "Position in the descending Schmidt values along the cut of the re-training, from 1.",
             PAPER),
    "position in the descending Schmidt values, from 1",
    "counted",
    exists=_is_used,
    longest=lambda shapes: int(n_schmidt_values(shapes).max(initial=1)),
)  # fmt: skip

_RUN: Final = ("recovery_mode", "recovery_threshold", "arm", "epoch", "seed")
_FLAG: Final = flag("recovery_flag", " ".join(_RUN), "re-trainings", reasons=(Flag.DIVERGED,))
_HELD_OUT: Final = flag("recovery_held_out_flag", "arm seed", "held-out images")
_STATISTICS: Final = flag(
    "recovery_statistics_flag",
    " ".join(_RUN),
    "answers with batch-norm statistics estimated anew",
    reasons=(Flag.DIVERGED, Flag.NO_BATCH_NORM),
)
_of_runs: Final = Family(_RUN, PAPER, _FLAG)
_with_statistics: Final = Family(_RUN, PAPER, _STATISTICS)
_BY_LAYER: Final = (*_RUN[:-1], "layer", "seed")
_BY_VALUE: Final = (*_RUN[:-1], "layer", "recovery_schmidt_index", "seed")


RECOVERY: Final = Table(
    name="recovery",
    what="networks truncated in every layer, or changed otherwise, and trained again",
    per=("arm", "seed"),
    dimensions=(
        SEED,
        ARM,
        RECOVERY_MODE,
        RECOVERY_THRESHOLD,
        EPOCH,
        LAYER,
        RECOVERY_SCHMIDT_INDEX,
    ),
    variables=(
        Variable("recovery_n_held_out", ("arm", "seed"), "int64", "1", "number of held-out images",
                 "Images held out of the training images, on which choices are made; the same for "
                 "every arm.", EXPERIMENT, flag=_HELD_OUT.name, bounds=NOT_NEGATIVE),
        *answers(
            _of_runs, "recovery", "recovery_", state="after so many epochs",
            change="the change and the re-training", what=" after re-training",
        ),
        _of_runs("recovery_held_out_n_correct", "int64",
                 "correct held-out images after re-training",
                 "Held-out images whose largest logit is the label's, after so many epochs.",
                 NOT_NEGATIVE),
        _with_statistics("recovery_re_estimated_n_correct", "int64",
                 "correct test images, batch-norm statistics estimated anew",
                 "As recovery_n_correct, with every batch norm's statistics estimated from "
                 "training images without a step of training: at epoch 0 what they alone bring "
                 "back.", COUNT),
        _with_statistics("recovery_re_estimated_loss", "float64",
                 "test loss, batch-norm statistics estimated anew",
                 "As recovery_loss, with every batch norm's statistics estimated from training "
                 "images without a step of training.", NOT_NEGATIVE, units="nat"),
        _of_runs("recovery_norm_loss", "float64", "norm loss beyond the truncation's rank",
                 "Norm loss of the kernel's truncation to the rank to which the trained kernel "
                 "was truncated: 0 right after the truncation, and as large as what has returned "
                 "of the discarded Schmidt values. 0 where the cut is trivial.", FRACTION,
                 dims=_BY_LAYER),
        _of_runs("recovery_distance", "float64", "relative distance from the start",
                 "|K - K_0| / |K_0| (Frobenius), K_0 the kernel at epoch 0 of the arm; |K - K_0| "
                 "where K_0 is zero.", NOT_NEGATIVE, dims=_BY_LAYER),
        _of_runs("recovery_distance_to_trained", "float64",
                 "relative distance from the trained kernel",
                 "|K - K_t| / |K_t| (Frobenius), K_t the trained kernel before any change; "
                 "|K - K_t| where K_t is zero.", NOT_NEGATIVE, dims=_BY_LAYER),
        replace(
            _of_runs("recovery_schmidt_value", "float64", "Schmidt value after re-training",
                     "Singular value of the kernel's matricization along the cut after so many "
                     "epochs, in float64, descending.", NOT_NEGATIVE,
                     dims=_BY_VALUE),
            descends_along="recovery_schmidt_index",
        ),
    ),
    flags=(_FLAG, _STATISTICS, _HELD_OUT),
    rules=(
        *rules_of("recovery_"),
        at_most("recovery_held_out_n_correct", "recovery_n_held_out"),
    ),
)  # fmt: skip
