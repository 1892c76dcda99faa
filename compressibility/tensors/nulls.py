"""What the spectrum of a kernel without structure looks like: random-matrix nulls."""

from math import log, pi

import numpy as np
from scipy.linalg import eigvalsh_tridiagonal

from compressibility.tensors.arrays import Floats


def gaussian_purity(m: int, n: int) -> float:
    """Return E Σp² of an m×n matrix of independent standard normal entries: (m+n+1)/(mn+2).

    Exact at every size: E tr (WWᵀ)² = mn(m+n+1) and E ‖W‖⁴ = mn(mn+2), and p is independent
    of ‖W‖.

    Args:
        m: Rows.
        n: Columns.

    Raises:
        ValueError: A size is below 1.

    Examples:
        >>> gaussian_purity(1, 9), gaussian_purity(2, 2)
        (1.0, 0.8333333333333334)
    """
    _check(m, n)
    return (m + n + 1) / (m * n + 2)


def gaussian_entropy(m: int, n: int) -> float:
    """Return E S of an m×n matrix of independent standard normal entries, approximately, in nats.

    With m ≤ n: ln m − (m−1)(m+2) / (2(mn+2)), the expansion of S to second order about the flat
    spectrum, S ≈ ln m − (m Σp² − 1)/2, with the exact mean of Σp². Its error is within 0.3 m/n²
    of zero (Monte Carlo, m from 2 to 64): 0.08 at 2×2, 0.0002 at 3×96. (Page's formula is for
    complex entries, and larger.)

    Args:
        m: Rows.
        n: Columns; the order of the two does not matter.

    Raises:
        ValueError: A size is below 1.

    Examples:
        A little below the largest, ln 64:

        >>> round(gaussian_entropy(64, 576), 3), round(log(64), 3)
        (4.102, 4.159)
    """
    _check(m, n)
    m, n = sorted((m, n))
    return log(m) - (m - 1) * (m + 2) / (2 * (m * n + 2))


def marchenko_pastur_edges(m: int, n: int, variance: float = 1.0) -> tuple[float, float]:
    """Return the limiting smallest and largest non-zero eigenvalue of WWᵀ/n, for m ≤ n.

    σ²(1 ∓ √(m/n))², for independent entries of variance σ². A limit for large m: at m = 3 it says
    nothing. In terms of the Schmidt values, the eigenvalues are s²/n; for σ² = 1, m·p in the limit.

    Args:
        m: Rows.
        n: Columns; the order of the two does not matter.
        variance: σ² of the entries.

    Raises:
        ValueError: A size is below 1, or the variance is not positive.

    Source: Marchenko and Pastur, Math. USSR Sb. 1 (1967) 457.

    Examples:
        >>> marchenko_pastur_edges(64, 256)
        (0.25, 2.25)
    """
    _check(m, n)
    if not variance > 0:
        raise ValueError(f"variance {variance} of the entries is not positive")
    m, n = sorted((m, n))
    root = np.sqrt(m / n)
    return float(variance * (1 - root) ** 2), float(variance * (1 + root) ** 2)


def marchenko_pastur_density(eigenvalues: Floats, m: int, n: int, variance: float = 1.0) -> Floats:
    """Return the limiting density of the non-zero eigenvalues of WWᵀ/n, for m ≤ n.

    √((λ₊ − λ)(λ − λ₋)) / (2π σ² (m/n) λ) between the edges λ∓, 0 outside; it integrates to 1.

    Args:
        eigenvalues: Where to take it, any shape.
        m: Rows.
        n: Columns; the order of the two does not matter.
        variance: σ² of the entries.

    Returns:
        float64, of the same shape; infinite at 0 where m = n.

    Raises:
        ValueError: A size is below 1, or the variance is not positive.

    Source: Marchenko and Pastur, Math. USSR Sb. 1 (1967) 457.

    Examples:
        >>> marchenko_pastur_density(np.array([0.1, 0.25, 1.0, 3.0]), 64, 256).round(3)
        array([0.   , 0.   , 0.616, 0.   ])
    """
    lower, upper = marchenko_pastur_edges(m, n, variance)
    m, n = sorted((m, n))
    points = np.asarray(eigenvalues, dtype=np.float64)
    product = np.maximum((upper - points) * (points - lower), 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        density = np.sqrt(product) / (2 * pi * variance * (m / n) * points)
    if lower == 0:
        density = np.where(points == 0, np.inf, density)
    inside: Floats = np.where((points >= lower) & (points <= upper), density, 0.0)
    return inside


def gaussian_schmidt_values(m: int, n: int, rng: np.random.Generator) -> Floats:
    """Draw the Schmidt values of an m×n matrix of independent standard normal entries.

    They are the singular values of a k×k bidiagonal matrix of independent chi variables,
    k = min(m, n): on its diagonal with degrees of freedom N, …, N − k + 1, N = max(m, n), off it
    with k − 1, …, 1. In law that is exact, and it costs O(k²) instead of O(k² N).

    Args:
        m: Rows.
        n: Columns.
        rng: Source of the draw.

    Returns:
        float64, shape (min(m, n),), descending.

    Raises:
        ValueError: A size is below 1.

    Source: Dumitriu and Edelman, J. Math. Phys. 43 (2002) 5830, with β = 1.

    Examples:
        >>> gaussian_schmidt_values(3, 96, np.random.default_rng(0)).shape
        (3,)
    """
    _check(m, n)
    k, larger = sorted((m, n))
    chain = np.empty(2 * k - 1)
    chain[0::2] = np.sqrt(rng.chisquare(np.arange(larger, larger - k, -1)))
    chain[1::2] = np.sqrt(rng.chisquare(np.arange(k - 1, 0, -1)))
    # The Golub-Kahan matrix, bidiagonal entries beside a zero diagonal, has eigenvalues ±s.
    signed = eigvalsh_tridiagonal(np.zeros(2 * k), chain)
    values: Floats = np.maximum(signed[::-1][:k], 0)
    return values


def _check(m: int, n: int) -> None:
    if min(m, n) < 1:
        raise ValueError(f"matrix of size {m}×{n} has no entry: both sizes are at least 1")
