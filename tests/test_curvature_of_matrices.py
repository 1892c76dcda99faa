"""Eigenvalues, traces and quadratic forms against matrices whose own are known.

What multiplies here is a plain array: a network that is wrongly differentiated cannot hide a wrong
algorithm, nor the other way round.
"""

import math

import numpy as np
import pytest

from compressibility.errors import NumericalError
from compressibility.networks.curvature import (
    Symmetric,
    curvatures_along,
    largest_eigenvalues,
    random_directions,
    trace_estimate,
)


def symmetric(eigenvalues: list[float], seed: int = 0) -> np.ndarray:
    """A matrix of these eigenvalues, in a random basis."""
    n = len(eigenvalues)
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]
    return (Q * eigenvalues) @ Q.T


class Counted:
    """A matrix that tells what it was multiplied with."""

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix
        self.shape = matrix.shape
        self.columns: list[int] = []

    def __matmul__(self, columns: np.ndarray) -> np.ndarray:
        self.columns.append(columns.shape[1] if columns.ndim > 1 else 1)
        return self.matrix @ columns


@pytest.mark.parametrize("seed", range(5))
def test_the_largest_eigenvalues_are_those_of_the_matrix_and_not_the_largest_in_magnitude(
    seed: int,
) -> None:
    known = [9.0, 4.0, 2.0, 0.5, 0.1, 0.0, 0.0, -1.0, -20.0, -30.0, *np.linspace(-1, 1, 30)]
    matrix = symmetric(known, seed)
    found = largest_eigenvalues(matrix, 3, np.random.default_rng(seed), tolerance=1e-10)
    assert found.eigenvalues == pytest.approx([9, 4, 2], rel=1e-9)
    assert np.linalg.norm(found.eigenvectors, axis=1) == pytest.approx(1)
    defects = matrix @ found.eigenvectors.T - found.eigenvectors.T * found.eigenvalues
    assert found.residuals == pytest.approx(np.linalg.norm(defects, axis=0), abs=1e-12)
    assert (found.residuals <= 1e-9 * found.eigenvalues).all()


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_eigenvalues_are_found_at_every_scale(scale: float) -> None:
    matrix = scale * symmetric([5.0, 3.0, 1.0, 0.2, 0.1])
    found = largest_eigenvalues(matrix, 1, np.random.default_rng(0))
    assert found.eigenvalues == pytest.approx([5 * scale], rel=1e-5)


def test_the_zero_matrix_has_zero_eigenvalues() -> None:
    found = largest_eigenvalues(np.zeros((4, 4)), 2, np.random.default_rng(0))
    assert found.eigenvalues.tolist() == found.residuals.tolist() == [0, 0]
    assert np.array_equal(found.eigenvectors @ found.eigenvectors.T, np.eye(2))


def test_eigenvalues_that_were_not_found_are_told_with_size_and_tolerance() -> None:
    crowded = symmetric(np.linspace(1, 1.0001, 200).tolist())
    with pytest.raises(NumericalError, match=r"the 2 largest eigenvalues of the matrix were not f"):
        largest_eigenvalues(crowded, 2, np.random.default_rng(0), tolerance=1e-14, max_restarts=1)
    again = largest_eigenvalues(crowded, 2, np.random.default_rng(0), tolerance=1e-3)
    assert again.eigenvalues == pytest.approx([1.0001, 1.0001], rel=1e-3)


@pytest.mark.parametrize("k", [0, 4])
def test_as_many_eigenvalues_as_rows_or_none_are_refused(k: int) -> None:
    with pytest.raises(ValueError, match=f"{k} eigenvalues of 4 weights: ask for 1 to 3"):
        largest_eigenvalues(np.eye(4), k, np.random.default_rng(0))


@pytest.mark.parametrize("at_once", [None, 1, 2, 3, 100])
def test_curvatures_are_quotients_however_many_are_multiplied_at_once(at_once: int | None) -> None:
    rng = np.random.default_rng(1)
    matrix = symmetric([3.0, -2.0, 1.0, 0.5, 0.0, 0.0])
    directions = rng.standard_normal((7, 2, 3)) * 10.0 ** rng.integers(-180, 180, (7, 1, 1))
    directions[3] = 0
    operator: Symmetric = Counted(matrix)
    found = curvatures_along(operator, directions, at_once=at_once)
    units = directions.reshape(7, 6) / np.abs(directions).max(axis=(1, 2)).clip(1e-300)[:, None]
    expected = np.einsum("pi,ij,pj->p", units, matrix, units) / (units**2).sum(1).clip(1e-300)
    expected[3] = np.nan
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-14, nan_ok=True)
    assert max(operator.columns) <= (at_once or 6)
    assert sum(operator.columns) == 6


def test_directions_that_do_not_fit_are_refused_with_the_size() -> None:
    with pytest.raises(ValueError, match=r"\(3, 5\) have 5 entries each: the matrix takes 4"):
        curvatures_along(np.eye(4), np.ones((3, 5)))
    with pytest.raises(ValueError, match="direction 1 has NaN or infinite entries"):
        curvatures_along(np.eye(2), np.array([[1.0, 2.0], [np.inf, 0.0]]))
    assert curvatures_along(np.eye(4), np.zeros((0, 4))).shape == (0,)


@pytest.mark.parametrize("distribution", ["rademacher", "gaussian"])
def test_the_trace_is_estimated_without_bias(distribution: str) -> None:
    matrix = symmetric([3.0, -2.0, 1.0, 0.5, 0.25, 0.0])
    drawn = random_directions(4000, 6, np.random.default_rng(2), distribution)
    found = trace_estimate(curvatures_along(matrix, drawn), 6)
    assert abs(found.value - np.trace(matrix)) <= 4 * found.standard_error
    squares = (matrix**2).sum()
    off = squares - (matrix.diagonal() ** 2).sum()
    on_sphere = 2 * (6 * squares - np.trace(matrix) ** 2) / 8
    variance = 2 * off if distribution == "rademacher" else on_sphere
    assert found.standard_error == pytest.approx(math.sqrt(variance / 4000), rel=0.1)
