"""Theorems about the random perturbation that is matched to a truncation."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from compressibility.tensors.perturbations import matched_perturbation
from compressibility.tensors.schmidt import decompose
from property_tests.strategies import DrawnKernel, kernels, nonzero_kernels, seeds

norm_losses = st.sampled_from((0.0, 1e-12, 0.01, 0.5, 0.99)) | st.floats(0, 1, exclude_max=True)


def has_two_entries(drawn: DrawnKernel) -> bool:
    return drawn.array.size > 1


@given(kernels().filter(has_two_entries), norm_losses, seeds())
def test_the_perturbation_has_exactly_the_norm_and_overlap_it_promises(
    drawn: DrawnKernel, norm_loss: float, seed: int
) -> None:
    perturbed = matched_perturbation(drawn.array, norm_loss, np.random.default_rng(seed))
    kept = 1 - norm_loss
    assert perturbed.dtype == np.float64
    assert abs(np.linalg.norm(perturbed) - kept * drawn.norm) <= drawn.tolerance
    overlap = np.vdot(drawn.exact, perturbed)
    assert abs(overlap - kept**2 * drawn.norm**2) <= drawn.tolerance * drawn.norm


@given(nonzero_kernels().filter(has_two_entries), st.data(), seeds())
def test_the_perturbation_is_as_far_from_the_kernel_as_the_truncation(
    drawn: DrawnKernel, data: st.DataObject, seed: int
) -> None:
    decomposition = decompose(drawn.array, drawn.cut)
    spectrum = decomposition.spectrum
    rank = data.draw(st.integers(1, len(spectrum)))
    norm_loss = spectrum.norm_loss(rank)
    perturbed = matched_perturbation(drawn.array, norm_loss, np.random.default_rng(seed))
    distance = np.linalg.norm(drawn.exact - perturbed)
    truncation = np.linalg.norm(drawn.exact - decomposition.truncated(rank))
    assert abs(distance - truncation) <= drawn.tolerance
    overlap = np.vdot(drawn.exact, decomposition.truncated(rank))
    assert abs(np.vdot(drawn.exact, perturbed) - overlap) <= drawn.tolerance * drawn.norm


@given(kernels(), seeds())
def test_the_perturbation_without_norm_loss_is_the_kernel(drawn: DrawnKernel, seed: int) -> None:
    perturbed = matched_perturbation(drawn.array, 0.0, np.random.default_rng(seed))
    assert np.array_equal(perturbed, drawn.exact)


@given(nonzero_kernels().filter(lambda k: k.array.size > 2), seeds())
def test_two_draws_of_a_perturbation_differ_and_one_seed_repeats(
    drawn: DrawnKernel, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    first, second = (matched_perturbation(drawn.array, 0.3, rng) for _ in range(2))
    again = matched_perturbation(drawn.array, 0.3, np.random.default_rng(seed))
    assert np.linalg.norm(first - second) > 1e-6 * drawn.norm
    assert np.array_equal(first, again)
