"""Controls: spectra of initial and shuffled weights, and perturbations without structure."""

from typing import Final

from compressibility.store.declarations import (
    COUNT,
    EXPERIMENT,
    NOT_NEGATIVE,
    Table,
    Variable,
    flag,
)
from compressibility.store.dimensions import (
    LAYER,
    MODE,
    NORM_LOSS_LEVEL,
    SCHMIDT_INDEX,
    SEED,
    WEIGHTS,
)
from compressibility.store.tables.spectra import norm_of_the_spectrum, spectra

_FLAG: Final = flag("controls_flag", "layer seed", "controls")
_PART: Final = ("initial", "shuffled")
_DIMS: Final = ("layer", "norm_loss_level", "seed")

CONTROLS: Final = Table(
    name="controls",
    what="spectra of initial and shuffled weights, and matched random perturbations",
    per=("layer", "seed"),
    dimensions=(LAYER, MODE, SEED, WEIGHTS, SCHMIDT_INDEX, NORM_LOSS_LEVEL),
    variables=(
        *spectra(_PART, _FLAG.name),
        Variable("perturbed_n_correct", _DIMS, "int64", "1",
                 "correct test images under the matched random perturbation",
                 "As n_correct, with the kernel K replaced by "
                 "(1-v)^2 K + (1-v) sqrt(1-(1-v)^2) |K| N: a random N of unit norm, orthogonal to "
                 "K, so that norm and overlap are a truncation's.", EXPERIMENT, flag=_FLAG.name,
                 bounds=COUNT),
        Variable("perturbed_loss", _DIMS, "float64", "nat",
                 "test loss under the matched random perturbation",
                 "As loss, with the kernel replaced as for perturbed_n_correct. Missing where "
                 "controls_precision is lower than float32.", EXPERIMENT, flag=_FLAG.name,
                 bounds=NOT_NEGATIVE, float32_only=True),
    ),
    flags=(_FLAG,),
    rules=(norm_of_the_spectrum(_PART),),
)  # fmt: skip
