"""A table that the schema does not have yet, along a dimension that no dataset has yet."""

from compressibility.store.declarations import (
    FRACTION,
    NOT_NEGATIVE,
    Dimension,
    Rule,
    Table,
    Variable,
    flag,
)
from compressibility.store.dimensions import LAYER, SEED

_SOURCE = "a test"
_DIMS = ("layer", "epoch", "seed")
_FLAG = flag("recovery_flag", "layer seed", "recovery")

EPOCH = Dimension(
    Variable("epoch", ("epoch",), "int64", "1", "epoch", "Epochs of training, from 1.", _SOURCE),
    "epoch of training",
    "counted",
)
RECOVERY = Table(
    name="recovery",
    what="how a truncated network recovers",
    per=("layer", "seed"),
    dimensions=(LAYER, SEED, EPOCH),
    variables=(
        Variable("recovery_loss", _DIMS, "float64", "nat", "loss", "Loss.", _SOURCE,
                 flag=_FLAG.name, bounds=NOT_NEGATIVE, descends_along="epoch"),
        Variable("recovered_share", _DIMS, "float64", "1", "share", "Share.", _SOURCE,
                 flag=_FLAG.name, bounds=FRACTION),
        Variable("best_share", _DIMS, "float64", "1", "best share", "Best share.", _SOURCE,
                 flag=_FLAG.name, bounds=FRACTION),
    ),
    flags=(_FLAG,),
    rules=(
        Rule("recovered_share", "at most", ("best_share",), lambda view: view["best_share"],
             "exceeds best_share"),
    ),
)  # fmt: skip
