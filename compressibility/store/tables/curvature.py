"""The Hessian's block of one layer: its size, and the curvature along truncations."""

from typing import Final

from compressibility.store.declarations import (
    NOT_NEGATIVE,
    PAPER,
    Bounds,
    Flag,
    Table,
    Variable,
    flag,
)
from compressibility.store.dimensions import DIRECTION, LAYER, MODE, SEED, THRESHOLD
from compressibility.store.tables.hessian import ARPACK, HUTCHINSON

_FLAG: Final = flag("curvature_flag", "layer seed", "layer's Hessian")
_ALONG: Final = flag(
    "directional_curvature_flag",
    "layer mode threshold seed",
    "curvature along the truncations",
    reasons=(Flag.NO_DIRECTION,),
)


def _row(
    name: str,
    dims: str,
    long_name: str,
    definition: str,
    source: str,
    *,
    flagged: Variable = _FLAG,
    bounds: Bounds | None = None,
) -> Variable:
    return Variable(
        name,
        tuple(dims.split()),
        "float64",
        "nat",
        long_name,
        definition,
        source,
        flag=flagged.name,
        bounds=bounds,
    )


CURVATURE: Final = Table(
    name="curvature",
    what="the Hessian's block of one layer, and the curvature along its truncations",
    per=("layer", "seed"),
    dimensions=(LAYER, MODE, THRESHOLD, SEED, DIRECTION),
    variables=(
        _row("hessian_layer_eigenvalue", "layer seed", "top Hessian eigenvalue of the layer",
             "Largest eigenvalue of the Hessian's block of this layer's kernel.", ARPACK),
        _row("hessian_layer_trace", "layer seed", "Hessian trace of the layer",
             "Trace of the Hessian's block of this layer's kernel, estimated from random "
             "directions.", HUTCHINSON),
        _row("hessian_layer_trace_standard_error", "layer seed",
             "standard error of the Hessian trace of the layer",
             "Standard error over the random directions.", HUTCHINSON, bounds=NOT_NEGATIVE),
        _row("random_directional_curvature", "layer direction seed",
             "curvature along a random direction",
             "d'Hd / d'd along a random direction d of the layer's weights: the layer's average "
             "direction, with expectation trace / number of weights.", HUTCHINSON),
        _row("directional_curvature", "layer mode threshold seed",
             "curvature along the truncation",
             "d'Hd / d'd along the truncation d = K_r - K, at the trained weights.", PAPER,
             flagged=_ALONG),
    ),
    flags=(_FLAG, _ALONG),
)  # fmt: skip
