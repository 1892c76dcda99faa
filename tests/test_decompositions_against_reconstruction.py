"""CP, Tucker-2 and tensor trains against their reconstructed kernels, written out as sums."""

import subprocess
import sys

import numpy as np
import pytest
import tensorly

from compressibility.tensors.cp import CP, DIVERGENCE, CPStarts, cp, cp_kernel, cp_starts
from compressibility.tensors.tensor_train import tensor_train
from compressibility.tensors.tucker import tucker2

SHAPE = (6, 5, 3, 2)


@pytest.fixture
def kernel() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(SHAPE)


def relative(kernel: np.ndarray, found: np.ndarray) -> float:
    return float(np.linalg.norm(kernel - found) / np.linalg.norm(kernel))


def test_a_cp_kernel_is_the_sum_of_its_products(kernel: np.ndarray) -> None:
    fit = cp(kernel, 3, np.random.default_rng(1))
    A, B, C, D = fit.factors
    written_out = np.einsum("r,or,ir,hr,wr->oihw", fit.weights, A, B, C, D)
    assert np.allclose(fit.kernel(), written_out, atol=1e-13)
    assert fit.relative_error == pytest.approx(relative(kernel, written_out), rel=1e-12)
    assert fit.largest_component == pytest.approx(fit.weights[0] / np.linalg.norm(kernel))
    assert fit.stored_parameters == 3 * sum(SHAPE)


def test_a_tucker_kernel_is_the_sum_over_its_core(kernel: np.ndarray) -> None:
    fit = tucker2(kernel, (3, 2))
    written_out = np.einsum("abhw,oa,ib->oihw", fit.core, fit.out_factor, fit.in_factor)
    assert np.allclose(fit.kernel(), written_out, atol=1e-13)
    assert fit.relative_error == pytest.approx(relative(kernel, written_out), rel=1e-12)
    assert fit.ranks == (3, 2)
    assert fit.stored_parameters == 3 * 2 * 6 + 6 * 3 + 5 * 2


@pytest.mark.parametrize(("ranks", "found"), [((6, 1), (2, 1)), ((1, 5), (1, 2)), ((6, 5), (6, 5))])
def test_a_tucker_rank_that_the_other_cannot_feed_is_lowered_at_no_loss(
    ranks: tuple[int, int], found: tuple[int, int]
) -> None:
    kernel = np.random.default_rng(2).standard_normal((6, 5, 2, 1))
    fit = tucker2(kernel, ranks)
    assert fit.ranks == found
    full = [
        np.linalg.svd(kernel.swapaxes(0, axis).reshape(n, -1), compute_uv=False)
        for axis, n in ((0, 6), (1, 5))
    ]
    tails = [np.linalg.norm(s[r:]) / np.linalg.norm(s) for s, r in zip(full, ranks, strict=True)]
    assert fit.relative_error == pytest.approx(np.linalg.norm(tails), abs=1e-12)


def test_a_tensor_train_kernel_is_the_product_of_its_cores(kernel: np.ndarray) -> None:
    train = tensor_train(kernel, (4, 3, 2))
    written_out = np.einsum("aob,bic,chd,dwe->oihw", *train.cores)
    assert np.allclose(train.kernel(), written_out, atol=1e-13)
    assert train.relative_error == pytest.approx(relative(kernel, written_out), rel=1e-12)
    assert train.ranks == (4, 3, 2)
    assert train.stored_parameters == 6 * 4 + 4 * 5 * 3 + 3 * 3 * 2 + 2 * 2


@pytest.mark.parametrize("window", [(), (1, 1)], ids=["matrix", "pointwise"])
def test_a_linear_layer_decomposes_as_its_matrix(window: tuple[int, ...]) -> None:
    weight = np.random.default_rng(3).standard_normal((6, 5, *window))
    U, s, Vh = np.linalg.svd(weight.reshape(6, 5))
    nearest = ((U[:, :2] * s[:2]) @ Vh[:2]).reshape(6, 5, 1, 1)
    fits = (
        tucker2(weight, (2, 2)),
        tensor_train(weight, (2, 1, 1)),
        cp(weight, 2, np.random.default_rng(1), l2_reg=0, tolerance=0, max_sweeps=3000),
    )
    for fit in fits:
        assert fit.shape == (6, 5, 1, 1)
        assert np.allclose(fit.kernel(), nearest, atol=1e-6)


def test_exact_fits_have_an_error_of_rounding_not_of_cancellation(kernel: np.ndarray) -> None:
    assert tucker2(kernel, (6, 5)).relative_error < 1e-14
    assert tensor_train(kernel, (6, 6, 2)).relative_error < 1e-14
    product = np.einsum("o,i,h,w->oihw", *(np.arange(1.0, n + 1) for n in SHAPE))
    assert cp(product, 1, np.random.default_rng(0), l2_reg=0).relative_error < 1e-14


def test_the_starts_of_a_generator_differ_and_its_seed_repeats_them(kernel: np.ndarray) -> None:
    starts, again = (
        cp_starts(kernel, 4, np.random.default_rng(7), n_starts=3, max_sweeps=5) for _ in range(2)
    )
    errors = [fit.relative_error for fit in starts.fits]
    assert len(set(errors)) == 3
    assert errors == [fit.relative_error for fit in again.fits]
    assert starts.spread == max(errors) - min(errors)
    assert starts.best.relative_error == min(errors)


def test_sweeps_are_counted_and_convergence_is_told(kernel: np.ndarray) -> None:
    short = cp(kernel, 3, np.random.default_rng(1), max_sweeps=9)
    assert (short.n_sweeps, short.converged) == (9, False)
    long = cp(kernel, 3, np.random.default_rng(1), max_sweeps=2000, tolerance=1e-6)
    assert 9 < long.n_sweeps < 2000
    assert long.converged
    assert long.relative_error < short.relative_error
    once = tucker2(kernel, (3, 2), max_sweeps=1)
    assert (once.n_sweeps, once.converged) == (1, False)
    stopped = tucker2(kernel, (3, 2), max_sweeps=3, tolerance=1e-14)
    assert (stopped.n_sweeps, stopped.converged) == (3, False)
    settled = tucker2(kernel, (3, 2), max_sweeps=1000)
    assert settled.converged
    assert settled.relative_error <= once.relative_error


def border_rank_two() -> np.ndarray:
    """a⊗a⊗b + a⊗b⊗a + b⊗a⊗a: rank 3, and as near as one likes to kernels of rank 2."""
    a, b = np.eye(2)
    sums = sum(np.einsum("o,i,h->oih", *v) for v in ((a, a, b), (a, b, a), (b, a, a)))
    return np.asarray(sums)[..., None]


def test_components_that_cancel_are_measured_and_ridge_keeps_them_small() -> None:
    """De Silva and Lim 2008: no best rank-2 approximation exists, the components diverge."""
    largest = [
        cp(
            border_rank_two(),
            2,
            np.random.default_rng(0),
            l2_reg=ridge,
            max_sweeps=sweeps,
            tolerance=0,
        ).largest_component
        for ridge, sweeps in ((0, 60), (0, 600), (1e-2, 600))
    ]
    assert 1.5 * largest[0] < largest[1]
    assert largest[1] > 3
    assert largest[2] < 1.5


def test_a_fit_that_fails_outright_is_told_and_never_best() -> None:
    """Two components of one entry are parallel: without ridge the equations are singular."""
    failed = cp(np.ones((1, 1, 1, 1)), 2, np.random.default_rng(0), l2_reg=0)
    assert failed.diverged
    assert not failed.converged
    assert np.isnan(failed.relative_error)
    assert np.isnan(failed.largest_component)
    assert np.isnan(failed.weights).all()
    sound = cp(np.ones((1, 1, 1, 1)), 2, np.random.default_rng(0))
    assert not sound.diverged
    assert CPStarts((failed, sound)).best is sound


def fit_of(error: float, diverged: bool) -> CP:
    factors = tuple(np.ones((1, 1)) for _ in range(4))
    return CP(np.ones(1), factors, error, 2 * DIVERGENCE if diverged else 1.0, 1, True)


def test_the_best_start_is_the_nearest_that_did_not_diverge() -> None:
    assert [fit_of(0.1, diverged).diverged for diverged in (True, False)] == [True, False]
    fits = fit_of(np.nan, True), fit_of(0.1, True), fit_of(0.3, False), fit_of(0.2, False)
    assert CPStarts(fits).best is fits[3]
    assert CPStarts(fits[:2]).best is fits[1]
    assert CPStarts(fits).spread == pytest.approx(0.2)
    assert np.isnan(CPStarts(fits[:1]).spread)
    assert CPStarts(fits[1:]).spread == pytest.approx(0.2)


def test_tensorlys_global_backend_neither_matters_nor_changes(kernel: np.ndarray) -> None:
    expected = cp(kernel, 2, np.random.default_rng(0), max_sweeps=5).kernel()
    assert tensorly.get_backend() == "numpy"
    with tensorly.backend_context("pytorch"):
        found = cp(kernel, 2, np.random.default_rng(0), max_sweeps=5).kernel()
        assert tucker2(kernel, (2, 2)).core.dtype == np.float64
        assert tensor_train(kernel, (2, 2, 2)).cores[0].dtype == np.float64
        assert tensorly.get_backend() == "pytorch"
    assert np.array_equal(found, expected)
    assert tensorly.get_backend() == "numpy"


def test_importing_the_mathematics_of_a_kernel_loads_neither_tensorly_nor_torch() -> None:
    program = (
        "import sys, compressibility.tensors.modes, compressibility.tensors.schmidt, "
        "compressibility.tensors.nulls, compressibility.tensors.cp, "
        "compressibility.tensors.tucker, compressibility.tensors.tensor_train; "
        "sys.exit(bool({'tensorly', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("attempt", "said"),
    [
        (lambda k: tucker2(k, (7, 1)), r"rank 7 exceeds the 6 Schmidt values of cut OUT of"),
        (lambda k: tucker2(k, (1, 0)), "rank 0 keeps nothing of cut IN of"),
        (lambda k: tensor_train(k, (1, 7, 1)), "rank 7 exceeds the 6 Schmidt values of cut OUT,IN"),
        (lambda k: tensor_train(k, (1, 1)), "2 ranks .* do not fit: .* OUT; OUT,IN; KW"),
        (lambda k: cp(k, 0, np.random.default_rng(0)), "CP rank 0 has no component"),
        (lambda k: cp_starts(k, 1, np.random.default_rng(0), n_starts=0), "0 starts give no fit"),
        (lambda k: cp(k * np.nan, 1, np.random.default_rng(0)), "180 of 180 entries"),
        (lambda k: tucker2(k[0], (1, 1)), "is no kernel"),
        (lambda k: cp(k[0], 1, np.random.default_rng(0)), "is no kernel"),
    ],
    ids=[
        "tucker rank too large",
        "tucker rank zero",
        "train rank too large",
        "train rank missing",
        "cp rank zero",
        "no start",
        "nan",
        "tucker of three modes",
        "cp of three modes",
    ],
)
def test_what_cannot_be_decomposed_is_refused(
    kernel: np.ndarray, attempt: object, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        attempt(kernel)


def test_a_cp_kernel_needs_no_unit_columns() -> None:
    factors = [np.full((n, 1), 2.0) for n in (2, 3, 1, 1)]
    assert np.array_equal(cp_kernel(np.array([0.5]), factors), np.full((2, 3, 1, 1), 8.0))
