"""The error-preserving correction of CP against its optimality conditions, a formula and scipy."""

from functools import reduce

import numpy as np
import pytest
from scipy.optimize import NonlinearConstraint, minimize

from compressibility.tensors.cp import CP, canonical, cp, cp_kernel
from compressibility.tensors.cp_correction import corrected

SHAPE = (6, 5, 3, 2)


def of_border_rank_two() -> np.ndarray:
    """Of rank three, and a limit of tensors of rank two whose components grow without bound."""
    x, y = np.eye(2)
    terms = [(x, x, y), (x, y, x), (y, x, x)]
    return sum(np.einsum("o,i,h->oih", *term)[..., None] for term in terms)


def scaled_off(kernel: np.ndarray, fit: CP, factor: float) -> CP:
    """The same fit with longer components, and the error that it then has."""
    weights, factors = canonical(factor * fit.weights, fit.factors)
    norm = np.linalg.norm(kernel)
    error = float(np.linalg.norm(kernel - cp_kernel(weights, factors)) / norm)
    return CP(weights, factors, error, float(weights[0] / norm), 0, True)


def total(fit: CP) -> float:
    return float(fit.weights @ fit.weights)


def test_of_one_product_it_is_the_smaller_root_of_a_quadratic() -> None:
    """‖K − λu‖² = ‖K‖² − 2λσ + λ² at the best product u, of weight σ."""
    kernel = np.random.default_rng(0).standard_normal(SHAPE)
    best = cp(kernel, 1, np.random.default_rng(1), l2_reg=0, tolerance=1e-15)
    off = scaled_off(kernel, best, 1.4)
    found = corrected(off, kernel, tolerance=1e-14)
    sigma = best.weights[0]
    assert found.weights[0] == pytest.approx(sigma - 0.4 * sigma, rel=1e-6)
    assert found.relative_error == pytest.approx(off.relative_error, rel=1e-10)


@pytest.mark.parametrize("l2_reg", [0, 1e-5])
def test_each_factor_is_a_ridge_regression_on_the_others_with_one_ridge(l2_reg: float) -> None:
    """The conditions of Karush, Kuhn and Tucker: (K − K̂) Z = μ A for every mode, with one μ."""
    kernel = np.random.default_rng(2).standard_normal(SHAPE)
    fit = cp(kernel, 4, np.random.default_rng(3), l2_reg=l2_reg)
    found = corrected(scaled_off(kernel, fit, 1.05), kernel, max_sweeps=20_000, tolerance=1e-13)
    residual = kernel - found.kernel()
    ridges = []
    for mode in range(4):
        others = [f for number, f in enumerate(found.factors) if number != mode]
        products = reduce(lambda x, y: np.einsum("ir,jr->ijr", x, y).reshape(-1, 4), others)
        gradient = np.moveaxis(residual, mode, 0).reshape(SHAPE[mode], -1) @ products
        factor = found.factors[mode] * found.weights
        ridge = float((gradient * factor).sum() / (factor * factor).sum())
        assert np.abs(gradient - ridge * factor).max() <= 1e-3 * np.abs(gradient).max()
        ridges.append(ridge)
    assert ridges == pytest.approx([ridges[0]] * 4, rel=1e-3)
    assert ridges[0] > 0


@pytest.mark.parametrize("kernel", [of_border_rank_two(), None], ids=["border rank", "drawn"])
def test_no_smaller_components_are_found_by_sequential_quadratic_programming(
    kernel: np.ndarray | None,
) -> None:
    if kernel is None:
        kernel = np.random.default_rng(4).standard_normal((3, 2, 2, 1))
    start = cp(kernel, 2, np.random.default_rng(5), l2_reg=0, max_sweeps=300)
    start = scaled_off(kernel, start, 1.05)
    found = corrected(start, kernel, max_sweeps=20_000, tolerance=1e-12)
    sizes = np.cumsum([2 * n for n in kernel.shape])[:-1]

    def factors(x: np.ndarray) -> list[np.ndarray]:
        return [part.reshape(-1, 2) for part in np.split(x, sizes)]

    def components(x: np.ndarray) -> float:
        return float(np.prod([np.square(f).sum(0) for f in factors(x)], axis=0).sum())

    def error(x: np.ndarray) -> float:
        return float(np.square(kernel - cp_kernel(np.ones(2), factors(x))).sum())

    allowed = (start.relative_error * np.linalg.norm(kernel)) ** 2
    by_scipy = minimize(
        components,
        np.concatenate([(f * start.weights**0.25).ravel() for f in start.factors]),
        method="SLSQP",
        constraints=NonlinearConstraint(error, -np.inf, allowed),
        options={"maxiter": 2000, "ftol": 1e-13},
    )
    assert error(by_scipy.x) <= allowed * (1 + 1e-6)
    assert total(found) <= components(by_scipy.x) * (1 + 1e-4)
    assert total(found) < 0.99 * total(start)


def test_components_that_cancel_are_taken_out() -> None:
    """Two equal and opposite large components, which add nothing, are no more."""
    rng = np.random.default_rng(6)
    kernel = rng.standard_normal(SHAPE)
    fit = cp(kernel, 2, rng)
    extra = [rng.standard_normal((n, 1)) for n in SHAPE]
    factors = [np.hstack([f, e, e]) for f, e in zip(fit.factors, extra, strict=True)]
    weights, ordered = canonical(np.array([*fit.weights, 100.0, -100.0]), factors)
    swollen = CP(weights, ordered, fit.relative_error, float(weights[0]), 0, True)
    found = corrected(swollen, kernel)
    assert swollen.diverged
    assert found.largest_component <= fit.largest_component * 1.01
    assert found.relative_error == pytest.approx(fit.relative_error, rel=1e-9)


def test_what_cannot_be_corrected_is_handed_back() -> None:
    kernel = cp_kernel(np.array([2.0]), [np.ones((n, 1)) for n in SHAPE])
    exact = cp(kernel, 1, np.random.default_rng(7), l2_reg=0)
    assert corrected(exact, kernel) is exact
    zero = cp(np.zeros(SHAPE), 2, np.random.default_rng(8))
    assert corrected(zero, np.zeros(SHAPE)) is zero


def test_a_kernel_of_another_shape_is_refused() -> None:
    fit = cp(np.ones(SHAPE), 1, np.random.default_rng(9))
    with pytest.raises(ValueError, match=r"shape \(6, 5, 3, 2\) is not one of a \(5, 6, 3, 2\)"):
        corrected(fit, np.ones((5, 6, 3, 2)))


def test_the_sensitivity_is_the_mean_squared_change_under_noise() -> None:
    """Against 20,000 draws of noise on the factors, each component shared equally by them."""
    rng = np.random.default_rng(10)
    fit = cp(rng.standard_normal(SHAPE), 3, rng)
    shared = [f * fit.weights**0.25 for f in fit.factors]
    own, sigma = fit.kernel(), 1e-4
    changes = [
        np.square(
            cp_kernel(np.ones(3), [f + sigma * rng.standard_normal(f.shape) for f in shared]) - own
        ).sum()
        for _ in range(20_000)
    ]
    spread = 5 * np.std(changes) / len(changes) ** 0.5
    assert abs(np.mean(changes) - sigma**2 * fit.sensitivity) <= spread
