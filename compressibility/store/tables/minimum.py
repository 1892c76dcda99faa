"""Where re-training leads: the loss along paths from the trained weights, and at their ends."""

from typing import Final

from compressibility.store.declarations import (
    COUNT,
    EXPERIMENT,
    NOT_NEGATIVE,
    PAPER,
    Bounds,
    Dimension,
    Dtype,
    Flag,
    Table,
    Variable,
    flag,
)
from compressibility.store.dimensions import SEED
from compressibility.store.paths import PATHS, STATES, STATISTICS
from compressibility.store.tables.hessian import ARPACK, HUTCHINSON

_BARRIER: Final = "Frankle et al., arXiv 1912.05671"

PATH: Final = Dimension(
    Variable("path", ("path",), "str", "1", "path in the space of weights",
             "Straight lines between all weights and statistics of two networks. to recovered: "
             "from the trained network to itself with every layer truncated and trained again; "
             "through truncated: the same ends by way of the truncated network, reached at 0.5; to "
             "trained on: to itself trained on for as long; between re-trainings: from there to "
             "itself trained on with the images in another order; to another network: to one drawn "
             "anew and trained by the same recipe for as many epochs as planned.", EXPERIMENT),
    "path between two networks",
    "labels",
    known=PATHS,
)  # fmt: skip
PATH_POINT: Final = Dimension(
    Variable("path_point", ("path_point",), "float64", "1", "place on the path",
             "0 at its beginning, 1 at its end.", EXPERIMENT, bounds=Bounds(0, 1)),
    "place on the path, from 0 to 1",
    "ascending",
)  # fmt: skip
STATISTICS_OF: Final = Dimension(
    Variable("statistics", ("statistics",), "str", "1", "batch-norm statistics",
             "as stored: on the line, as the weights are; estimated anew: those of training images "
             "with these weights.", "Jordan et al., arXiv 2211.08403"),
    "which batch-norm statistics the network answers with",
    "labels",
    known=STATISTICS,
)  # fmt: skip
STATE: Final = Dimension(
    Variable("state", ("state",), "str", "1", "weights at which the loss is looked at",
             "trained: the network as it is; truncated: every layer truncated; recovered: that "
             "trained again; trained on: the first trained on for as long. Everywhere batch-norm "
             "statistics are estimated anew.", EXPERIMENT),
    "weights at which the loss is looked at",
    "labels",
    known=STATES,
)  # fmt: skip

_PATH_FLAG: Final = flag(
    "path_flag", "path path_point statistics seed", "paths", reasons=(Flag.NO_BATCH_NORM,)
)
_STATE_FLAG: Final = flag("state_flag", "state seed", "weights")


def _on_paths(
    name: str, dtype: Dtype, units: str, long_name: str, definition: str, bounds: Bounds
) -> Variable:
    dims = ("path", "path_point", "statistics", "seed")
    return Variable(
        name, dims, dtype, units, long_name, definition, _BARRIER, flag=_PATH_FLAG.name,
        bounds=bounds,
    )  # fmt: skip


def _of_states(
    name: str, units: str, long_name: str, definition: str, source: str, bounds: Bounds | None
) -> Variable:
    return Variable(
        name, ("state", "seed"), "float64", units, long_name, definition, source,
        flag=_STATE_FLAG.name, bounds=bounds,
    )  # fmt: skip


MINIMUM: Final = Table(
    name="minimum",
    what="the loss on paths from the trained weights to re-trained ones, and its curvature there",
    per=("seed",),
    dimensions=(SEED, PATH, PATH_POINT, STATISTICS_OF, STATE),
    variables=(
        _on_paths("path_loss", "float64", "nat", "test loss on the path",
                  "Mean cross-entropy over the test images.", NOT_NEGATIVE),
        _on_paths("path_n_correct", "int64", "1", "correct test images on the path",
                  "Test images whose largest logit is the label's.", COUNT),
        _on_paths("path_training_loss", "float64", "nat", "training loss on the path",
                  "Mean cross-entropy over the first training images, not augmented.",
                  NOT_NEGATIVE),
        _of_states("state_training_loss", "nat", "training loss",
                   "Mean cross-entropy over the first training images, not augmented.",
                   EXPERIMENT, NOT_NEGATIVE),
        _of_states("state_gradient_norm", "nat", "norm of the gradient",
                   "Euclidean norm of the gradient of the training loss by all measured kernels: "
                   "0 at a minimum.", EXPERIMENT, NOT_NEGATIVE),
        _of_states("state_logit_norm", "1", "mean norm of the logits",
                   "Mean over the training images of the Euclidean norm of the logits, less their "
                   "mean: small ones flatten the loss.", EXPERIMENT, NOT_NEGATIVE),
        _of_states("state_eigenvalue", "nat", "top Hessian eigenvalue",
                   "Largest eigenvalue of the Hessian of the training loss over all measured "
                   "kernels.", ARPACK, None),
        _of_states("state_trace", "nat", "Hessian trace",
                   "Trace of that Hessian, estimated from random directions, the same at every "
                   "state.", HUTCHINSON, None),
        _of_states("state_relative_trace", "nat", "relative Hessian trace",
                   "Trace of D'HD, with D each kernel's norm over the root of its number of "
                   "entries, from the same directions: batch norm makes the answers independent of "
                   "a kernel's norm, and so is this number.", PAPER, None),
    ),
    flags=(_PATH_FLAG, _STATE_FLAG),
)  # fmt: skip
