"""Random-matrix nulls against draws of dense Gaussian matrices, and against integration.

Every comparison is at five standard errors of its draws, all from fixed generators.
"""

from itertools import pairwise
from math import isinf, log

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import ks_2samp

from compressibility.tensors.nulls import (
    gaussian_entropy,
    gaussian_purity,
    gaussian_schmidt_values,
    marchenko_pastur_density,
    marchenko_pastur_edges,
)
from compressibility.tensors.perturbations import shuffled

SIZES = [(1, 4), (2, 2), (3, 8), (8, 3), (5, 5), (3, 96)]


def dense(m: int, n: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    return np.linalg.svd(rng.standard_normal((draws, m, n)), compute_uv=False)


@pytest.mark.parametrize(("m", "n"), SIZES)
def test_the_mean_purity_is_exact(m: int, n: int) -> None:
    s = dense(m, n, 20_000, np.random.default_rng(1))
    purity = np.sum(s**4, axis=1) / np.sum(s**2, axis=1) ** 2
    error = purity.std() / np.sqrt(len(purity))
    assert abs(purity.mean() - gaussian_purity(m, n)) <= 5 * error + 1e-14


@pytest.mark.parametrize(("m", "n"), [*SIZES, (2, 8), (9, 36)])
def test_the_mean_entropy_is_within_its_stated_error(m: int, n: int) -> None:
    s = dense(m, n, 10_000, np.random.default_rng(2))
    p = s**2 / np.sum(s**2, axis=1, keepdims=True)
    entropy = -np.sum(p * np.log(p), axis=1)
    error = 5 * entropy.std() / np.sqrt(len(entropy))
    stated = 0.3 * min(m, n) / max(m, n) ** 2
    assert abs(entropy.mean() - gaussian_entropy(m, n)) <= error + stated
    assert gaussian_entropy(m, n) == gaussian_entropy(n, m)
    assert gaussian_entropy(m, n) <= log(min(m, n))


def test_the_entropy_of_three_by_ninety_six_is_the_real_one_not_pages() -> None:
    assert gaussian_entropy(3, 96) == pytest.approx(1.0814, abs=1e-4)


@pytest.mark.parametrize(("m", "n"), SIZES)
def test_drawn_schmidt_values_are_those_of_dense_matrices(m: int, n: int) -> None:
    """Kolmogorov–Smirnov on each value, and their joint moments."""
    rng = np.random.default_rng(3)
    drawn = np.array([gaussian_schmidt_values(m, n, rng) for _ in range(3000)])
    expected = dense(m, n, 3000, rng)
    assert drawn.shape == expected.shape
    assert (np.diff(drawn, axis=1) <= 0).all()
    for index in range(min(m, n)):
        assert ks_2samp(drawn[:, index], expected[:, index]).pvalue > 1e-4
    norms, quartic = np.sum(drawn**2, axis=1), np.sum(drawn**4, axis=1)
    assert abs(norms.mean() - m * n) <= 5 * np.sqrt(2 * m * n / 3000)
    error = quartic.std() / np.sqrt(3000)
    assert abs(quartic.mean() - m * n * (m + n + 1)) <= 5 * error


@pytest.mark.parametrize(
    ("m", "n", "variance"), [(200, 800, 1.0), (800, 200, 4.0), (100, 900, 0.1)]
)
def test_the_marchenko_pastur_density_has_unit_weight_and_the_variance_as_mean(
    m: int, n: int, variance: float
) -> None:
    lower, upper = marchenko_pastur_edges(m, n, variance)

    def density(x: float) -> float:
        return float(marchenko_pastur_density(np.array(x), m, n, variance))

    assert quad(density, lower, upper)[0] == pytest.approx(1, abs=1e-6)
    mean = quad(lambda x: x * density(x), lower, upper)[0]
    assert mean == pytest.approx(variance, rel=1e-6)
    outside = marchenko_pastur_density(np.array([0.0, lower / 2, 2 * upper]), m, n, variance)
    assert not outside.any()


def test_the_marchenko_pastur_law_is_that_of_a_large_matrix() -> None:
    m, n = 400, 1000
    eigenvalues = gaussian_schmidt_values(m, n, np.random.default_rng(4)) ** 2 / n
    lower, upper = marchenko_pastur_edges(m, n)
    assert (lower, upper) == pytest.approx((eigenvalues[-1], eigenvalues[0]), rel=0.05)
    grid = np.linspace(lower, upper, 9)
    counts = np.histogram(eigenvalues, grid)[0] / m

    def density(x: float) -> float:
        return float(marchenko_pastur_density(np.array(x), m, n))

    expected = [quad(density, a, b)[0] for a, b in pairwise(grid)]
    assert np.abs(counts - expected).max() < 0.02


def test_the_density_of_a_square_matrix_diverges_at_zero() -> None:
    assert marchenko_pastur_edges(7, 7) == (0, 4)
    assert isinf(marchenko_pastur_density(np.array(0.0), 7, 7))


def test_a_shuffle_reaches_every_place_equally() -> None:
    rng = np.random.default_rng(6)
    kernel = np.arange(6).reshape(1, 2, 3, 1)
    places = np.array([shuffled(kernel, rng).ravel() for _ in range(6000)])
    for place in range(6):
        counts = np.bincount(places[:, place], minlength=6)
        assert np.abs(counts - 1000).max() <= 5 * np.sqrt(1000 * 5 / 6)


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: gaussian_purity(0, 3),
        lambda: gaussian_entropy(3, 0),
        lambda: marchenko_pastur_edges(0, 1),
        lambda: gaussian_schmidt_values(0, 1, np.random.default_rng(0)),
    ],
    ids=["purity", "entropy", "edges", "values"],
)
def test_a_matrix_without_entries_is_refused(attempt: object) -> None:
    with pytest.raises(ValueError, match="both sizes are at least 1"):
        attempt()


@pytest.mark.parametrize("variance", [0.0, -1.0, np.nan])
def test_a_variance_that_is_not_positive_is_refused(variance: float) -> None:
    with pytest.raises(ValueError, match="is not positive"):
        marchenko_pastur_density(np.ones(1), 3, 3, variance)
