"""What leaves a kernel's spectra unchanged."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from compressibility.tensors.modes import CUTS, Mode
from compressibility.tensors.perturbations import shuffled
from compressibility.tensors.spectra import spectrum
from property_tests.strategies import SCALES, DrawnKernel, kernels, orthonormal, seeds


def assert_same_spectra(drawn: DrawnKernel, other: np.ndarray, scale: float = 1.0) -> None:
    for cut in CUTS:
        found = spectrum(other, cut).schmidt_values
        expected = scale * spectrum(drawn.array, cut).schmidt_values
        assert np.abs(found - expected).max() <= scale * drawn.tolerance


@given(kernels())
def test_a_cut_and_its_complement_have_one_spectrum(drawn: DrawnKernel) -> None:
    for cut in CUTS:
        one = spectrum(drawn.array, cut).schmidt_values
        other = spectrum(drawn.array, cut.complement).schmidt_values
        assert np.abs(one - other).max() <= drawn.tolerance


@given(kernels(), st.sampled_from(SCALES), st.booleans())
def test_scaling_a_kernel_scales_every_spectrum(
    drawn: DrawnKernel, scale: float, negative: bool
) -> None:
    assert_same_spectra(drawn, (-scale if negative else scale) * drawn.exact, scale)


@given(kernels(), st.sampled_from(Mode), seeds())
def test_permuting_the_channels_of_a_mode_leaves_every_spectrum_unchanged(
    drawn: DrawnKernel, mode: Mode, seed: int
) -> None:
    order = np.random.default_rng(seed).permutation(drawn.array.shape[mode.axis])
    assert_same_spectra(drawn, drawn.array.take(order, axis=mode.axis))


@given(kernels(), st.sampled_from(Mode), seeds())
def test_mixing_a_mode_orthogonally_leaves_every_spectrum_unchanged(
    drawn: DrawnKernel, mode: Mode, seed: int
) -> None:
    size = drawn.array.shape[mode.axis]
    Q = orthonormal(size, size, np.random.default_rng(seed))
    mixed = np.moveaxis(np.tensordot(Q, drawn.exact, axes=(1, mode.axis)), 0, mode.axis)
    assert_same_spectra(drawn, mixed)


@given(kernels())
def test_swapping_height_and_width_swaps_their_cuts(drawn: DrawnKernel) -> None:
    swapped = drawn.array.swapaxes(Mode.KH.axis, Mode.KW.axis)
    partner = dict(zip(CUTS, (CUTS[i] for i in (0, 1, 3, 2, 4, 6, 5)), strict=True))
    for cut in CUTS:
        found = spectrum(swapped, partner[cut]).schmidt_values
        expected = spectrum(drawn.array, cut).schmidt_values
        assert np.abs(found - expected).max() <= drawn.tolerance


@given(kernels(), seeds())
def test_shuffling_keeps_the_weights_and_so_the_norm(drawn: DrawnKernel, seed: int) -> None:
    before = drawn.array.copy()
    other = shuffled(drawn.array, np.random.default_rng(seed))
    assert other.shape == drawn.array.shape
    assert other.dtype == drawn.array.dtype
    assert np.array_equal(np.sort(other, axis=None), np.sort(drawn.array, axis=None))
    assert np.array_equal(drawn.array, before)
