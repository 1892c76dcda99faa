"""Ranks, truncations and parameter counts against values worked out by hand."""

import numpy as np
import pytest

from compressibility.tensors.modes import CUTS, Cut
from compressibility.tensors.perturbations import matched_perturbation
from compressibility.tensors.schmidt import (
    compression_ratio,
    decompose,
    stored_parameters,
    truncate,
)
from compressibility.tensors.spectra import Spectrum
from compressibility.tensors.thresholds import THRESHOLDS, rank_at, ranks_at

DIAGONAL = np.diag([4.0, 3.0, 0.0])[:, :, None, None]


def test_a_diagonal_kernel_loses_its_smallest_entries() -> None:
    assert np.allclose(truncate(DIAGONAL, CUTS[0], 1)[:, :, 0, 0], np.diag([4, 0, 0]))
    assert np.allclose(truncate(DIAGONAL, CUTS[0], 2), DIAGONAL)


@pytest.mark.parametrize(("threshold", "rank"), [(0, 3), (1e-9, 2), (0.19, 2), (0.21, 1), (0.9, 1)])
def test_a_threshold_gives_the_smallest_rank_that_obeys_it(threshold: float, rank: int) -> None:
    """Norm losses 1/5, 0, 0."""
    assert rank_at(Spectrum(np.array([4.0, 3.0, 0.0])), threshold) == rank


def test_a_threshold_met_exactly_is_obeyed() -> None:
    """Four equal values: ν = 1/2 at rank 1, exactly in binary."""
    assert rank_at(Spectrum(np.ones(4)), 0.5) == 1


def test_the_grid_is_that_of_the_datasets() -> None:
    assert len(THRESHOLDS) == 14
    assert THRESHOLDS[0] == 0
    assert THRESHOLDS[-1] == 0.9
    assert ranks_at(Spectrum(np.zeros(5)), THRESHOLDS).tolist() == [1] * 14


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("OUT", 2 * (64 + 32 * 9)),
        ("IN", 2 * (32 + 64 * 9)),
        ("KH", 2 * 3 * (1 + 64 * 32)),
        ("OUT,IN", 2 * (9 + 64 * 32)),
        ("OUT,KH", 2 * 3 * (32 + 64)),
        ("OUT,KW", 2 * 3 * (32 + 64)),
    ],
)
def test_stored_parameters_follow_the_layers_that_realise_a_cut(label: str, expected: int) -> None:
    shape = (64, 32, 3, 3)
    assert stored_parameters(shape, Cut.parse(label), 2) == expected
    assert compression_ratio(shape, Cut.parse(label), 2) == 64 * 32 * 9 / expected


def test_integer_kernels_are_truncated_in_float64() -> None:
    kernel = np.arange(24).reshape(4, 6, 1, 1)
    assert decompose(kernel, CUTS[0]).truncated(2) == pytest.approx(kernel, abs=1e-12)


@pytest.mark.parametrize("label", ["OUT,KW", "KW,OUT", "KH,IN"])
def test_a_cut_goes_by_its_name(label: str) -> None:
    kernel = np.random.default_rng(0).standard_normal((4, 3, 2, 3)).astype(np.float32)
    assert decompose(kernel, label).cut == CUTS[6]
    assert np.array_equal(truncate(kernel, label, 2), truncate(kernel, CUTS[6], 2))
    assert stored_parameters(kernel.shape, label, 2) == 2 * (4 * 3 + 3 * 2)


def test_a_linear_layers_matrix_is_truncated_as_the_kernel_that_it_is() -> None:
    matrix = np.diag([4.0, 3.0, 1.0]).astype(np.float32)
    truncated = truncate(matrix, "OUT", 2)
    assert truncated.dtype == np.float32
    assert np.allclose(truncated, np.diag([4, 3, 0]))
    assert decompose(matrix, "IN").shape == (3, 3, 1, 1)
    assert compression_ratio(matrix.shape, "OUT", 1) == 9 / 6


def test_what_is_no_array_is_refused_with_what_to_pass() -> None:
    for attempt in (lambda: decompose([[1.0]], "OUT"), lambda: truncate([[1.0]], "OUT", 1)):
        with pytest.raises(TypeError, match="kernel is a list: pass a NumPy array"):
            attempt()


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_no_scale_over_or_underflows(scale: float) -> None:
    kernel = np.random.default_rng(0).standard_normal((4, 3, 3, 3))
    for rank in (1, 3, 9):
        plain = truncate(kernel, CUTS[6], rank)
        assert np.allclose(truncate(scale * kernel, CUTS[6], rank) / scale, plain, atol=1e-13)
        left, right = decompose(scale * kernel, CUTS[6]).factors(rank)
        assert np.linalg.norm(left) == pytest.approx(np.linalg.norm(right))
    rng = np.random.default_rng(1)
    perturbed = matched_perturbation(scale * kernel, 0.5, rng) / scale
    assert np.linalg.norm(perturbed) == pytest.approx(np.linalg.norm(kernel) / 2)


def test_the_perturbations_direction_is_uniform_over_what_is_orthogonal_to_the_kernel() -> None:
    """E NNᵀ = (1 − K̂K̂ᵀ)/(d − 1), against 4,000 draws."""
    kernel = np.arange(1.0, 7.0).reshape(3, 2, 1, 1)
    rng = np.random.default_rng(5)
    kept, norm = 0.7, np.linalg.norm(kernel)
    noise = np.array([matched_perturbation(kernel, 0.3, rng) for _ in range(4000)]) - (
        kept**2 * kernel
    )
    vectors = noise.reshape(4000, 6) / (kept * np.sqrt(1 - kept**2) * norm)
    unit = kernel.ravel() / norm
    expected = (np.eye(6) - np.outer(unit, unit)) / 5
    assert np.abs(vectors.T @ vectors / 4000 - expected).max() < 0.02
    assert np.abs(vectors.mean(axis=0)).max() < 0.03


@pytest.mark.parametrize("threshold", [-0.1, 1, 1.5, np.nan])
def test_a_threshold_outside_its_interval_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match=r"threshold .* is outside \[0, 1\)"):
        rank_at(Spectrum(np.ones(3)), threshold)
    with pytest.raises(ValueError, match=r"norm loss .* is outside \[0, 1\)"):
        matched_perturbation(np.ones((2, 2, 1, 1)), threshold, np.random.default_rng(0))


def test_a_rank_above_the_schmidt_values_is_refused_with_their_number() -> None:
    said = r"rank 12 exceeds the 8 Schmidt values of cut OUT of a \(8, 6, 3, 3\) kernel"
    kernel = np.ones((8, 6, 3, 3))
    for attempt in (
        lambda: truncate(kernel, CUTS[0], 12),
        lambda: decompose(kernel, CUTS[0]).factors(12),
        lambda: stored_parameters(kernel.shape, CUTS[0], 12),
    ):
        with pytest.raises(ValueError, match=said):
            attempt()


def test_a_kernel_with_nan_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1 of 6 entries .* at index \[0, 2, 0, 0\]"):
        decompose(np.array([[1, 2, np.inf], [0, 0, 0]])[:, :, None, None], CUTS[1])


def test_a_single_entry_has_no_perturbation_but_itself() -> None:
    entry = np.full((1, 1, 1, 1), 3.0)
    assert np.array_equal(matched_perturbation(entry, 0.0, np.random.default_rng(0)), entry)
    with pytest.raises(ValueError, match="has one entry"):
        matched_perturbation(np.ones((1, 1, 1, 1)), 0.5, np.random.default_rng(0))
