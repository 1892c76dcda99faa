"""Curvature: the eigenvalues, the trace and the quadratic form of a symmetric operator.

The operator need only multiply vectors. That of a network's training loss over the kernels of some
layers is :class:`compressibility.networks.landscape.Hessian`; curvatures are then in nats.
"""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from compressibility.errors import NumericalError
from compressibility.tensors.arrays import Floating, Floats


class Symmetric(Protocol):
    """A real symmetric matrix (D, D), or what multiplies as one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(D, D)."""

    def __matmul__(self, columns: Floats, /) -> Floats:
        """The product with (D,) or (D, P), float64."""


@dataclass(frozen=True)
class Estimate:
    """A mean over random samples.

    Attributes:
        value: The estimate.
        standard_error: Sample standard deviation / sqrt(samples); NaN for a single sample.
        samples: Number of independent samples.
    """

    value: float
    standard_error: float
    samples: int


@dataclass(frozen=True, eq=False)
class Eigenpairs:
    """The largest eigenvalues of a symmetric operator, with their quality.

    Attributes:
        eigenvalues: (k,) float64, descending.
        residuals: (k,) float64, ‖Hv − λv‖: an eigenvalue of H lies within it of λ.
        eigenvectors: (k, D) float64, of unit norm.
    """

    eigenvalues: Floats
    residuals: Floats
    eigenvectors: Floats


def largest_eigenvalues(
    operator: Symmetric,
    k: int,
    rng: np.random.Generator,
    *,
    tolerance: float = 1e-3,
    max_restarts: int | None = None,
) -> Eigenpairs:
    """The ``k`` largest eigenvalues of a symmetric operator.

    Implicitly restarted Lanczos (ARPACK, through scipy), from the operator times a vector drawn
    from ``rng``; if that is zero, so are the eigenvalues.

    Args:
        operator: H, of size D.
        k: How many, below D.
        rng: Source of the starting vector.
        tolerance: Largest residual / eigenvalue. The eigenvalue's own error is of its square.
        max_restarts: Of Lanczos; 10 D where none is given.

    Raises:
        ValueError: ``k`` is out of range.
        NumericalError: Lanczos did not converge.

    Examples:
        >>> matrix = np.diag([5.0, 1.0, 3.0, 2.0])
        >>> found = largest_eigenvalues(matrix, 2, np.random.default_rng(0), tolerance=1e-9)
        >>> found.eigenvalues.round(6), abs(found.eigenvectors[0]).round(6)
        (array([5., 3.]), array([1., 0., 0., 0.]))
    """
    size = operator.shape[0]
    if not 1 <= k < size:
        raise ValueError(f"{k} eigenvalues of {size} weights: ask for 1 to {size - 1}")
    start = operator @ rng.standard_normal(size)
    if not start.any():
        return Eigenpairs(np.zeros(k), np.zeros(k), np.eye(k, size))
    start /= np.linalg.norm(start)  # else the next product may vanish in float32
    try:
        values, vectors = eigsh(
            LinearOperator((size, size), matvec=operator.__matmul__, dtype=np.float64),
            k,
            which="LA",
            v0=start,
            ncv=min(size, 2 * k + 4),  # few: the top eigenvalues stand well apart
            tol=tolerance,
            maxiter=max_restarts,
        )
    except ArpackError as error:
        raise NumericalError(
            f"the {k} largest eigenvalues of {_name(operator)} were not found to a tolerance of "
            f"{tolerance:g}: allow a larger one or more restarts ({error})"
        ) from error
    order = np.argsort(values)[::-1]
    values, vectors = values[order], vectors[:, order]
    residuals = np.linalg.norm(operator @ vectors - vectors * values, axis=0)
    return Eigenpairs(values, residuals, vectors.T)


def curvatures_along(
    operator: Symmetric, directions: Floating, *, at_once: int | None = None
) -> Floats:
    """The curvature dᵀHd/dᵀd along each direction d, which does not depend on its length.

    A truncation to full rank points nowhere (its difference from the kernel is rounding): leave
    it out.

    Args:
        operator: H, of size D.
        directions: (P, D), or (P, ...) with D entries each, such as kernels; (0, ...) for none.
        at_once: Directions to multiply together; all where none is given.

    Returns:
        (P,) float64; NaN along a zero direction.

    Raises:
        ValueError: A direction has the wrong number of entries, or NaN or infinite ones.

    Examples:
        >>> matrix = np.diag([5.0, 1.0])
        >>> curvatures_along(matrix, np.array([[0.0, 7.0], [1.0, 1.0], [0.0, 0.0]]))
        array([ 1.,  3., nan])
    """
    directions = _as_rows(directions, operator)
    curvatures = np.full(len(directions), np.nan)
    moving = np.flatnonzero(directions.any(axis=1))
    step = at_once or max(1, len(moving))
    for start in range(0, len(moving), step):
        some = moving[start : start + step]
        rows = directions[some].astype(np.float64)
        rows /= np.abs(rows).max(axis=1, keepdims=True)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        curvatures[some] = np.einsum("pd,dp->p", rows, operator @ rows.T)
    return curvatures


def random_directions(
    count: int,
    size: int,
    rng: np.random.Generator,
    distribution: Literal["rademacher", "gaussian"] = "rademacher",
) -> Floats:
    """``count`` random directions (count, size), float64, with entries of mean 0, variance 1.

    For both distributions dᵀHd/dᵀd has the expectation trace(H) / size.

    Raises:
        ValueError: ``count`` is below 1.
    """
    if count < 1:
        raise ValueError(f"{count} random directions asked for: at least 1 is needed")
    if distribution == "gaussian":
        return rng.standard_normal((count, size))
    return rng.choice(np.array([-1.0, 1.0]), (count, size))


def trace_estimate(curvatures: Floats, size: int) -> Estimate:
    """The trace of a ``size`` × ``size`` matrix from dᵀHd/dᵀd along random directions.

    Source: M. F. Hutchinson, Commun. Stat. Simul. Comput. 18 (1989) 1059.

    Examples:
        >>> matrix, rng = np.diag([5.0, 1.0, 3.0]), np.random.default_rng(0)
        >>> along = curvatures_along(matrix, random_directions(10, 3, rng))
        >>> estimate = trace_estimate(along, 3)
        >>> round(estimate.value, 12), round(estimate.standard_error, 12), estimate.samples
        (9.0, 0.0, 10)
    """
    n = len(curvatures)
    spread = float(np.std(curvatures, ddof=1)) if n > 1 else math.nan
    return Estimate(size * float(np.mean(curvatures)), size * spread / math.sqrt(n), n)


def _as_rows(directions: Floating, operator: Symmetric) -> Floating:
    size, entries = operator.shape[0], math.prod(directions.shape[1:])
    if len(directions) and entries != size:
        raise ValueError(
            f"directions of shape {directions.shape} have {entries} entries each: "
            f"{_name(operator)} takes {size}"
        )
    rows = directions.reshape(len(directions), size)
    if not (finite := np.isfinite(rows).all(axis=1)).all():
        raise ValueError(
            f"direction {np.argmin(finite)} has NaN or infinite entries: {_name(operator)} takes "
            "finite ones"
        )
    return rows


def _name(operator: Symmetric) -> str:
    return "the matrix" if isinstance(operator, np.ndarray) else str(operator)
