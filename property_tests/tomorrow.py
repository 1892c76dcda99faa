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
_DIMS = ("layer", "temperature", "seed")
_FLAG = flag("distillation_flag", "layer seed", "distillation")

TEMPERATURE = Dimension(
    Variable(
        "temperature",
        ("temperature",),
        "int64",
        "1",
        "temperature",
        "Number of the temperature, from 1.",
        _SOURCE,
    ),
    "temperature of a distillation",
    "counted",
)  # fmt: skip
DISTILLATION = Table(
    name="distillation",
    what="a network distilled",
    per=("layer", "seed"),
    dimensions=(LAYER, SEED, TEMPERATURE),
    variables=(
        Variable("distillation_loss", _DIMS, "float64", "nat", "loss", "Loss.", _SOURCE,
                 flag=_FLAG.name, bounds=NOT_NEGATIVE, descends_along="temperature"),
        Variable("distilled_share", _DIMS, "float64", "1", "share", "Share.", _SOURCE,
                 flag=_FLAG.name, bounds=FRACTION),
        Variable("best_share", _DIMS, "float64", "1", "best share", "Best share.", _SOURCE,
                 flag=_FLAG.name, bounds=FRACTION),
    ),
    flags=(_FLAG,),
    rules=(
        Rule("distilled_share", "at most", ("best_share",), lambda view: view["best_share"],
             "exceeds best_share"),
    ),
)  # fmt: skip
