"""Theorems about CP, Tucker-2 and tensor-train decompositions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compressibility.tensors.cp import CP, canonical, cp, cp_kernel, cp_starts
from compressibility.tensors.formats import format_ranks, in_format
from compressibility.tensors.modes import CUTS, matrix_shape
from compressibility.tensors.spectra import spectrum
from compressibility.tensors.tensor_train import TT_CUTS, TensorTrain, tensor_train
from compressibility.tensors.tucker import Tucker2, tucker2
from property_tests.strategies import (
    EPS,
    SCALES,
    DrawnComponents,
    DrawnKernel,
    SpectrumKind,
    components,
    kernels,
    nonzero_kernels,
    seeds,
)

iterative = settings(max_examples=max(1, settings.default.max_examples // 3))


def tails(drawn: DrawnKernel, cuts: tuple, ranks: tuple[int, ...]) -> np.ndarray:
    """√Σ_{i>r} s_i² / ‖K‖ of each cut."""
    return np.array(
        [spectrum(drawn.array, cut).relative_error(r) for cut, r in zip(cuts, ranks, strict=True)]
    )


def draw_ranks(data: st.DataObject, drawn: DrawnKernel, cuts: tuple) -> tuple[int, ...]:
    sizes = [min(matrix_shape(drawn.array.shape, cut)) for cut in cuts]
    return tuple(data.draw(st.integers(1, size)) for size in sizes)


def relative_error(drawn: DrawnKernel, kernel: np.ndarray) -> float:
    return float(np.linalg.norm(drawn.exact - kernel) / drawn.norm)


@given(nonzero_kernels(), st.data())
def test_the_tensor_train_error_lies_between_the_largest_tail_and_the_root_sum_of_squared_tails(
    drawn: DrawnKernel, data: st.DataObject
) -> None:
    ranks = draw_ranks(data, drawn, TT_CUTS)
    train = tensor_train(drawn.array, ranks)
    bounds = tails(drawn, TT_CUTS, ranks)
    error = relative_error(drawn, train.kernel())
    assert bounds.max() - 100 * EPS <= error <= np.linalg.norm(bounds) + 100 * EPS
    assert abs(error - train.relative_error) <= 100 * EPS
    assert all(found <= asked for found, asked in zip(train.ranks, ranks, strict=True))


@given(nonzero_kernels())
def test_the_tensor_train_of_full_ranks_is_the_kernel(drawn: DrawnKernel) -> None:
    ranks = tuple(min(matrix_shape(drawn.array.shape, cut)) for cut in TT_CUTS)
    assert relative_error(drawn, tensor_train(drawn.array, ranks).kernel()) <= 100 * EPS


@given(nonzero_kernels(), st.data())
def test_all_but_the_last_tensor_train_core_are_orthonormal(
    drawn: DrawnKernel, data: st.DataObject
) -> None:
    train = tensor_train(drawn.array, draw_ranks(data, drawn, TT_CUTS))
    for core in train.cores[:3]:
        matrix = core.reshape(-1, core.shape[2])
        assert np.abs(matrix.T @ matrix - np.eye(core.shape[2])).max() <= 50 * EPS


@iterative
@given(nonzero_kernels(), st.data())
def test_the_tucker_error_lies_between_the_largest_tail_and_the_root_sum_of_squared_tails(
    drawn: DrawnKernel, data: st.DataObject
) -> None:
    ranks = draw_ranks(data, drawn, CUTS[:2])
    fit = tucker2(drawn.array, ranks)
    bounds = tails(drawn, CUTS[:2], ranks)
    error = relative_error(drawn, fit.kernel())
    assert bounds.max() - 100 * EPS <= error <= np.linalg.norm(bounds) + 100 * EPS
    assert abs(error - fit.relative_error) <= 100 * EPS
    assert all(found <= asked for found, asked in zip(fit.ranks, ranks, strict=True))


@iterative
@given(nonzero_kernels(), st.data())
def test_the_tucker_factors_are_orthonormal_and_the_core_is_the_projected_kernel(
    drawn: DrawnKernel, data: st.DataObject
) -> None:
    fit = tucker2(drawn.array, draw_ranks(data, drawn, CUTS[:2]))
    for factor in (fit.out_factor, fit.in_factor):
        assert np.abs(factor.T @ factor - np.eye(factor.shape[1])).max() <= 100 * EPS
    projected = np.einsum("oihw,oa,ib->abhw", drawn.exact, fit.out_factor, fit.in_factor)
    assert np.abs(fit.core - projected).max() <= 2 * drawn.tolerance


@iterative
@given(components(), seeds())
def test_cp_recovers_a_kernel_of_known_rank_and_its_components(
    drawn: DrawnComponents, seed: int
) -> None:
    kernel = cp_kernel(drawn.weights, drawn.factors)
    starts = cp_starts(kernel, drawn.rank, np.random.default_rng(seed), n_starts=4, l2_reg=0)
    best = starts.best
    assert best.relative_error < 1e-6
    assert best.converged
    assert not best.diverged
    weights, factors = canonical(drawn.weights, drawn.factors)
    assert np.allclose(best.weights, weights, rtol=1e-4, atol=0)
    for found, expected in zip(best.factors, factors, strict=True):
        # Where entries tie for the largest magnitude the sign is arbitrary.
        signs = np.sign(np.sum(found * expected, axis=0))
        assert np.abs(found * signs - expected).max() < 1e-4


@given(components(), seeds(), st.data())
def test_a_sum_of_products_is_invariant_to_component_order_and_scale(
    drawn: DrawnComponents, seed: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    order = rng.permutation(drawn.rank)
    scales = np.exp(rng.uniform(-5, 5, (4, drawn.rank))) * rng.choice([-1, 1], (4, drawn.rank))
    factors = [
        (factor * scale)[:, order] for factor, scale in zip(drawn.factors, scales, strict=True)
    ]
    weights = (drawn.weights / scales.prod(axis=0))[order]
    kernel = cp_kernel(drawn.weights, drawn.factors)
    norm = np.linalg.norm(kernel)
    assert np.linalg.norm(cp_kernel(weights, factors) - kernel) <= 200 * EPS * norm

    expected_weights, expected_factors = canonical(drawn.weights, drawn.factors)
    found_weights, found_factors = canonical(weights, factors)
    assert np.allclose(found_weights, expected_weights, rtol=200 * EPS, atol=0)
    for found, expected in zip(found_factors, expected_factors, strict=True):
        assert np.abs(found - expected).max() <= 50 * EPS


@given(components())
def test_the_canonical_form_is_of_the_same_kernel_and_its_own_canonical_form(
    drawn: DrawnComponents,
) -> None:
    kernel = cp_kernel(drawn.weights, drawn.factors)
    weights, factors = canonical(-drawn.weights, drawn.factors)
    norm = np.linalg.norm(kernel)
    assert np.linalg.norm(cp_kernel(weights, factors) + kernel) <= 100 * EPS * norm
    assert (weights > 0).all()
    assert (np.diff(weights) <= 0).all()
    again_weights, again_factors = canonical(weights, factors)
    assert np.allclose(again_weights, weights, rtol=20 * EPS, atol=0)
    for again, factor in zip(again_factors, factors, strict=True):
        assert np.abs(again - factor).max() <= 20 * EPS


@iterative
@given(nonzero_kernels(), st.integers(1, 4), seeds())
def test_a_cp_fit_reports_its_true_error_and_is_never_better_than_a_tucker_fit_can_be(
    drawn: DrawnKernel, rank: int, seed: int
) -> None:
    """A sum of R products has rank R at most across every cut."""
    fit = cp(drawn.array, rank, np.random.default_rng(seed), max_sweeps=30)
    error = relative_error(drawn, fit.kernel())
    assert abs(error - fit.relative_error) <= 1e-10
    assert abs(fit.largest_component - fit.weights[0] / drawn.norm) <= 1e-10
    sizes = [min(matrix_shape(drawn.array.shape, cut)) for cut in CUTS]
    bounds = tails(drawn, CUTS, tuple(min(rank, size) for size in sizes))
    assert error >= bounds.max() - 1e-10


@iterative
@given(components(), st.sampled_from(SCALES), seeds())
def test_cp_of_a_scaled_kernel_is_the_scaled_cp(
    drawn: DrawnComponents, scale: float, seed: int
) -> None:
    kernel = cp_kernel(drawn.weights, drawn.factors)
    power = 2.0 ** np.round(np.log2(scale))
    one, other = (
        cp(k, drawn.rank, np.random.default_rng(seed), max_sweeps=20)
        for k in (kernel, power * kernel)
    )
    assert np.array_equal(power * one.weights, other.weights)
    assert one.relative_error == other.relative_error
    assert all(map(np.array_equal, one.factors, other.factors))


@given(kernels(kinds=(SpectrumKind.ZERO,)).filter(lambda k: not k.array.any()), seeds())
def test_the_zero_kernel_decomposes_into_zero_without_error(drawn: DrawnKernel, seed: int) -> None:
    fit = cp(drawn.array, 2, np.random.default_rng(seed))
    assert (fit.n_sweeps, fit.converged, fit.largest_component) == (0, True, 0)
    for result in (fit, tucker2(drawn.array, (1, 1)), tensor_train(drawn.array, (1, 1, 1))):
        assert result.relative_error == 0
        assert not result.kernel().any()
        assert result.kernel().shape == drawn.array.shape
        assert result.norm_loss == 0
        assert not result.chain().kernel().any()
    assert not fit.diverged


FORMATS = ("CP", "Tucker-2", "tensor train")


def draw_truncation(
    format_: str, drawn: DrawnKernel, data: st.DataObject
) -> CP | Tucker2 | TensorTrain:
    match format_:
        case "CP":
            rng = np.random.default_rng(data.draw(seeds()))
            return cp(drawn.array, data.draw(st.integers(1, 4)), rng, max_sweeps=20)
        case "Tucker-2":
            return tucker2(drawn.array, draw_ranks(data, drawn, CUTS[:2]))
        case _:
            return tensor_train(drawn.array, draw_ranks(data, drawn, TT_CUTS))


@pytest.mark.parametrize("format_", FORMATS)
@given(kernels(), st.data())
def test_the_chain_of_a_truncation_stands_for_its_kernel_and_stores_its_parameters(
    format_: str, drawn: DrawnKernel, data: st.DataObject
) -> None:
    truncation = draw_truncation(format_, drawn, data)
    chain = truncation.chain()
    assert chain.shape == truncation.shape == drawn.array.shape
    assert chain.parameters == truncation.stored_parameters
    # the components of a CP fit may cancel
    size = truncation.weights.sum() if isinstance(truncation, CP) else drawn.norm
    assert np.linalg.norm(chain.kernel() - truncation.kernel()) <= 100 * EPS * size


@pytest.mark.parametrize("format_", FORMATS)
@given(nonzero_kernels(), st.data())
def test_the_norm_loss_of_a_truncation_is_that_of_its_kernel(
    format_: str, drawn: DrawnKernel, data: st.DataObject
) -> None:
    truncation = draw_truncation(format_, drawn, data)
    kept = np.linalg.norm(truncation.kernel()) / drawn.norm
    assert abs(truncation.norm_loss - (1 - kept)) <= 1e-10


@pytest.mark.parametrize("format_", FORMATS[1:])
@iterative
@given(nonzero_kernels(), st.floats(0, 1, exclude_max=True, allow_subnormal=False))
def test_ranks_at_a_threshold_keep_the_norm_loss_within_it(
    format_: str, drawn: DrawnKernel, threshold: float
) -> None:
    name = {"Tucker-2": "Tucker-2", "tensor train": "TT"}[format_]
    [ranks] = format_ranks(drawn.array, name, (threshold,))
    kernel = in_format(drawn.array, name, ranks).kernel()
    assert 1 - np.linalg.norm(kernel) / drawn.norm <= threshold + 100 * EPS
    error = np.sqrt(1 - (1 - threshold) ** 2)
    assert relative_error(drawn, kernel) <= error + 100 * EPS
