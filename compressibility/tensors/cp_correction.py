"""The smallest components of a CP fit at the error that it has: what cancels is taken out."""

from collections.abc import Sequence
from functools import reduce

import numpy as np
from scipy.linalg import eigh
from scipy.optimize import brentq

from compressibility.tensors.arrays import Array, Floats
from compressibility.tensors.cp import CP, canonical, cp_kernel
from compressibility.tensors.fitting import normalised


def corrected(fit: CP, kernel: Array, *, max_sweeps: int = 500, tolerance: float = 1e-6) -> CP:
    """Make Σ_r λ_r² of a CP fit as small as it gets at the same relative error.

    Components that nearly cancel one another are large, and small changes of their factors change
    their sum much. Of one mode's factor, the others unit columns, the smallest at a given error
    is a ridge regression whose ridge μ has just that error, found by bisection; the modes take
    turns until the sum of squares settles. It never rises.

    Args:
        fit: A fit of ``kernel``.
        kernel: Shape (out, in, kh, kw), or (out, in), of any real dtype.
        max_sweeps: Sweeps at most; a sweep goes once over the four modes.
        tolerance: Fall of the sum of squares in a sweep, as a share, below which it has settled.

    Returns:
        The corrected fit; the fit itself where it failed outright, is exact to rounding, or errs
        by the whole kernel.

    Raises:
        ValueError: The kernel is not of the fit's shape.

    Source: Phan, Tichavský and Cichocki, IEEE Trans. Signal Process. 67 (2019) 1175
    (arXiv:1709.08349), whose alternating algorithm this is.
    """
    unit, norm, exponent = normalised(kernel)
    if unit.shape != fit.shape:
        raise ValueError(f"a fit of shape {fit.shape} is not one of a {unit.shape} kernel")
    error = fit.relative_error
    if norm == 0 or not np.finfo(np.float64).eps ** 0.5 < error < 1:
        return fit
    factors = list(fit.factors)
    weights = np.ldexp(fit.weights, -exponent) / norm
    sums, settled = [float(weights @ weights)], False
    while not settled and len(sums) <= max_sweeps:
        for mode in range(4):
            factor = _smallest(unit, factors, mode, error)
            weights = np.linalg.norm(factor, axis=0)
            factors[mode] = np.where(weights > 0, factor, factors[mode])
            factors[mode] /= np.where(weights > 0, weights, 1)
        sums.append(float(weights @ weights))
        settled = sums[-2] - sums[-1] <= tolerance * sums[-2]
    weights, ordered = canonical(weights, factors)
    return CP(
        weights=np.ldexp(weights * norm, exponent),
        factors=ordered,
        relative_error=float(np.linalg.norm(unit - cp_kernel(weights, ordered))),
        largest_component=float(weights[0]),
        n_sweeps=len(sums) - 1,
        converged=settled,
    )


def _smallest(unit: Floats, factors: Sequence[Floats], mode: int, error: float) -> Floats:
    """The smallest factor of a mode at an error, the others as they are, shape (size, R).

    With Z the products of the others, (rest, R), and M = K Z, it is M (ZᵀZ + μ)⁻¹; in the
    eigenbasis of ZᵀZ its error is a sum of rational functions of μ, which rises with μ.
    """
    others = [factor for number, factor in enumerate(factors) if number != mode]
    products = reduce(lambda x, y: (x[:, None, :] * y).reshape(-1, x.shape[1]), others)
    values, vectors = eigh(reduce(np.multiply, (factor.T @ factor for factor in others)))
    values = np.maximum(values, 0)
    projected = np.moveaxis(unit, mode, 0).reshape(unit.shape[mode], -1) @ products @ vectors
    squares = np.square(projected).sum(axis=0)

    def excess(log_ridge: float) -> float:
        ridged = values + np.exp(log_ridge)
        left = 1 - float((squares * (2 * ridged - values) / ridged**2).sum())
        return left - error**2

    least, most = np.log(values[-1] * 1e-15), np.log(values[-1] * 1e15)
    ridge = least if excess(least) >= 0 else brentq(excess, least, most, xtol=1e-12)
    factor: Floats = projected / (values + np.exp(ridge)) @ vectors.T
    return factor
