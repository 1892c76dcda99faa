"""The Hessian of the training loss with respect to all measured kernels."""

from dataclasses import replace
from typing import Final

from compressibility.store.declarations import NOT_NEGATIVE, Table, Variable, flag
from compressibility.store.dimensions import EIGENVALUE_INDEX, SEED

ARPACK: Final = "curvlinops and ARPACK"
HUTCHINSON: Final = "Hutchinson, Commun. Stat. Simul. Comput. 18 (1989) 1059"

_FLAG: Final = flag("hessian_flag", "seed", "network's Hessian")

HESSIAN: Final = Table(
    name="hessian",
    what="top eigenvalues and trace of the network's Hessian",
    per=("seed",),
    dimensions=(SEED, EIGENVALUE_INDEX),
    variables=tuple(
        replace(variable, flag=_FLAG.name)
        for variable in (
            Variable("hessian_eigenvalue", ("eigenvalue_index", "seed"), "float64", "nat",
                     "top Hessian eigenvalue",
                     "Largest eigenvalues of the Hessian of the mean training loss with respect "
                     "to all measured kernels, in evaluation mode, on a fixed set of training "
                     "images.", ARPACK, descends_along="eigenvalue_index"),
            Variable("hessian_eigenvalue_residual", ("eigenvalue_index", "seed"), "float64", "nat",
                     "residual of the Hessian eigenvalue",
                     "|H v - lambda v| for the unit eigenvector v: an eigenvalue lies within it "
                     "of lambda.", ARPACK, bounds=NOT_NEGATIVE),
            Variable("hessian_trace", ("seed",), "float64", "nat", "Hessian trace",
                     "Trace of the Hessian of the mean training loss with respect to all measured "
                     "kernels, estimated from random directions in the space of all of them.",
                     HUTCHINSON),
            Variable("hessian_trace_standard_error", ("seed",), "float64", "nat",
                     "standard error of the Hessian trace",
                     "Standard error over the random directions.", HUTCHINSON,
                     bounds=NOT_NEGATIVE),
        )
    ),
    flags=(_FLAG,),
)  # fmt: skip
