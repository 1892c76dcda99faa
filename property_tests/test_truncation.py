"""Theorems about truncated kernels and about the choice of a rank."""

from math import prod

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from compressibility.tensors.arrays import Shape
from compressibility.tensors.modes import Cut, matricize, matrix_shape
from compressibility.tensors.schmidt import (
    compression_ratio,
    decompose,
    stored_parameters,
    truncate,
)
from compressibility.tensors.spectra import Spectrum
from compressibility.tensors.thresholds import THRESHOLDS, rank_at, ranks_at
from property_tests.strategies import (
    EPS,
    DrawnKernel,
    SpectrumKind,
    cuts,
    kernels,
    nonzero_kernels,
    seeds,
    shapes,
    spectra,
)

thresholds = st.sampled_from(THRESHOLDS) | st.floats(0, 1, exclude_max=True)


def norms(matrix: np.ndarray) -> np.ndarray:
    """Frobenius, spectral and nuclear norm."""
    return np.array([np.linalg.norm(matrix, order) for order in ("fro", 2, "nuc")])


@given(nonzero_kernels(), st.data(), seeds())
def test_no_matrix_of_rank_r_is_closer_than_the_truncation(
    drawn: DrawnKernel, data: st.DataObject, seed: int
) -> None:
    """Eckart–Young–Mirsky: in every unitarily invariant norm; here in three."""
    matrix = matricize(drawn.exact, drawn.cut)
    n = min(matrix.shape)
    rank = data.draw(st.integers(1, n))
    decomposition = decompose(drawn.array, drawn.cut)
    errors = norms(matrix - matricize(decomposition.truncated(rank), drawn.cut))

    rng = np.random.default_rng(seed)
    for nearness in (0.0, 1e-3, 0.1, 1.0, np.inf):  # from the truncation's own space to any space
        basis = rng.standard_normal((matrix.shape[0], rank))
        if nearness < np.inf:
            basis = decomposition.U[:, :rank] + nearness * basis
        Q = np.linalg.qr(basis)[0]
        competitor = Q @ (Q.T @ matrix)  # of all matrices in that space the nearest
        assert np.linalg.matrix_rank(competitor) <= rank
        assert (errors <= norms(matrix - competitor) + n * drawn.tolerance).all()
    left, right = decomposition.factors(rank)
    left = left + 0.01 * np.sqrt(drawn.norm) * rng.standard_normal(left.shape)
    assert (errors <= norms(matrix - left @ right) + n * drawn.tolerance).all()


@given(kernels(), st.data())
def test_a_truncation_has_the_rank_and_the_losses_of_its_spectrum(
    drawn: DrawnKernel, data: st.DataObject
) -> None:
    decomposition = decompose(drawn.array, drawn.cut)
    spectrum = decomposition.spectrum
    rank = data.draw(st.integers(1, len(spectrum)))
    kernel = decomposition.truncated(rank)
    values = np.linalg.svd(matricize(kernel, drawn.cut), compute_uv=False)
    assert (values[rank:] <= drawn.tolerance).all()
    assert np.abs(values[:rank] - spectrum.schmidt_values[:rank]).max() <= drawn.tolerance
    kept = (1 - spectrum.norm_loss(rank)) * drawn.norm
    assert abs(np.linalg.norm(kernel) - kept) <= drawn.tolerance
    error = spectrum.relative_error(rank) * drawn.norm
    assert abs(np.linalg.norm(drawn.exact - kernel) - error) <= drawn.tolerance


@given(kernels(), st.data())
def test_a_truncation_is_orthogonal_to_what_it_leaves(
    drawn: DrawnKernel, data: st.DataObject
) -> None:
    decomposition = decompose(drawn.array, drawn.cut)
    kernel = decomposition.truncated(data.draw(st.integers(1, len(decomposition.spectrum))))
    assert abs(np.vdot(kernel, drawn.exact - kernel)) <= drawn.norm * drawn.tolerance


@given(kernels(), st.data())
def test_truncating_twice_is_truncating_once(drawn: DrawnKernel, data: st.DataObject) -> None:
    n = min(matrix_shape(drawn.array.shape, drawn.cut))
    rank, other = data.draw(st.integers(1, n)), data.draw(st.integers(1, n))
    spectrum = decompose(drawn.array, drawn.cut).spectrum
    smallest = min(rank, other)
    once = truncate(drawn.exact, drawn.cut, smallest)
    twice = truncate(truncate(drawn.exact, drawn.cut, rank), drawn.cut, other)
    # Among equal Schmidt values the kept vectors are arbitrary: only the norms must agree.
    s = spectrum.schmidt_values
    gap = s[smallest - 1] - s[smallest] if smallest < n else s[-1]
    if gap > 1e-3 * drawn.norm:
        assert np.linalg.norm(once - twice) <= 1e4 * drawn.tolerance
    assert abs(np.linalg.norm(once) - np.linalg.norm(twice)) <= drawn.tolerance


@given(kernels())
def test_full_rank_gives_the_kernel_back(drawn: DrawnKernel) -> None:
    n = min(matrix_shape(drawn.array.shape, drawn.cut))
    full = truncate(drawn.array, drawn.cut, n)
    assert full.dtype == drawn.array.dtype
    rounding = drawn.tolerance + np.finfo(drawn.array.dtype).eps * drawn.norm
    assert np.linalg.norm(full.astype(np.float64) - drawn.exact) <= rounding


@given(kernels())
def test_the_schmidt_vectors_are_orthonormal(drawn: DrawnKernel) -> None:
    d = decompose(drawn.array, drawn.cut)
    identity = np.eye(d.schmidt_values.size)
    assert np.abs(d.U.T @ d.U - identity).max() <= 50 * EPS
    assert np.abs(d.Vh @ d.Vh.T - identity).max() <= 50 * EPS


@given(kernels(), st.data())
def test_the_two_factors_are_balanced_and_their_product_is_the_truncation(
    drawn: DrawnKernel, data: st.DataObject
) -> None:
    d = decompose(drawn.array, drawn.cut)
    rank = data.draw(st.integers(1, len(d.spectrum)))
    left, right = d.factors(rank)
    rows, columns = matrix_shape(drawn.array.shape, drawn.cut)
    assert left.shape == (rows, rank)
    assert right.shape == (rank, columns)
    assert np.abs(left @ right - matricize(d.truncated(rank), drawn.cut)).max() <= drawn.tolerance
    assert np.abs(left.T @ left - right @ right.T).max() <= drawn.tolerance


@given(spectra(), thresholds)
def test_the_chosen_rank_is_the_smallest_that_obeys_its_threshold(
    drawn: Spectrum, threshold: float
) -> None:
    rank = rank_at(drawn, threshold)
    assert drawn.norm_loss(rank) <= threshold
    if threshold > 0 and rank > 1:
        assert drawn.norm_loss(rank - 1) > threshold


@given(spectra())
def test_threshold_zero_keeps_full_rank_of_all_but_the_zero_kernel(drawn: Spectrum) -> None:
    assert rank_at(drawn, 0) == (len(drawn) if drawn.norm > 0 else 1)


@given(spectra(kind=SpectrumKind.ZERO), thresholds)
def test_the_zero_kernel_has_rank_one_at_every_threshold(drawn: Spectrum, threshold: float) -> None:
    assert rank_at(drawn, threshold) == 1


@given(spectra(), st.lists(thresholds, min_size=1, max_size=20))
def test_ranks_fall_as_their_thresholds_rise(drawn: Spectrum, allowed: list[float]) -> None:
    ranks = ranks_at(drawn, sorted(allowed))
    assert ranks.dtype == np.int64
    assert (np.diff(ranks) <= 0).all()
    assert ranks.tolist() == [rank_at(drawn, threshold) for threshold in sorted(allowed)]


@given(shapes(), cuts(), st.data())
def test_stored_parameters_are_the_entries_of_the_two_factors(
    shape: Shape, cut: Cut, data: st.DataObject
) -> None:
    rank = data.draw(st.integers(1, min(matrix_shape(shape, cut))))
    left, right = decompose(np.ones(shape), cut).factors(rank)
    stored = stored_parameters(shape, cut, rank)
    assert stored == left.size + right.size
    assert compression_ratio(shape, cut, rank) == prod(shape) / stored


@given(shapes(), cuts())
def test_full_rank_never_compresses(shape: Shape, cut: Cut) -> None:
    assert compression_ratio(shape, cut, min(matrix_shape(shape, cut))) < 1
