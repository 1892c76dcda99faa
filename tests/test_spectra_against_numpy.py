"""Spectra against their definitions, written out in NumPy, and against exact rational values."""

from fractions import Fraction
from math import exp, inf, log, sqrt

import numpy as np
import pytest

from compressibility.tensors.modes import CUTS, Cut, matricize
from compressibility.tensors.spectra import Spectrum, scaled, spectrum


@pytest.fixture
def kernel() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((6, 5, 3, 3))


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.label)
def test_every_quantity_follows_its_definition(kernel: np.ndarray, cut: Cut) -> None:
    s = np.linalg.svd(matricize(kernel, cut), compute_uv=False)
    p = s**2 / np.sum(s**2)
    found = spectrum(kernel, cut)
    assert np.allclose(found.schmidt_values, s, rtol=1e-13)
    assert np.allclose(found.probabilities, p, rtol=1e-12)
    assert found.norm == pytest.approx(np.linalg.norm(kernel), rel=1e-13)
    assert found.entropy == pytest.approx(-np.sum(p * np.log(p)), rel=1e-12)
    assert found.stable_rank == pytest.approx(np.sum(s**2) / s[0] ** 2, rel=1e-12)
    assert found.schmidt_number == pytest.approx(1 / np.sum(p**2), rel=1e-12)
    assert found.entropic_rank == pytest.approx(exp(-np.sum(p * np.log(p))), rel=1e-12)
    q = s / s.sum()
    assert found.effective_rank == pytest.approx(exp(-np.sum(q * np.log(q))), rel=1e-12)
    for order in (0, 0.3, 0.6, 0.99, 1.2, 1.6, 2, 7, 30):
        expected = np.log(np.sum(p**order)) / (1 - order)
        assert found.renyi_entropy(order) == pytest.approx(expected, rel=1e-11)
    assert found.renyi_entropy(inf) == pytest.approx(-log(p[0]), rel=1e-12)
    for rank in range(1, len(s) + 1):
        kept = p[:rank] / p[:rank].sum()
        entropy = -np.sum(kept * np.log(kept))
        norm_loss = 1 - np.linalg.norm(s[:rank]) / np.linalg.norm(s)
        assert found.norm_loss(rank) == pytest.approx(norm_loss, abs=1e-14)
        error = np.linalg.norm(s[rank:]) / np.linalg.norm(s)
        assert found.relative_error(rank) == pytest.approx(error, rel=1e-12)
        loss = 1 - entropy / found.entropy
        assert found.correlation_loss(rank) == pytest.approx(loss, abs=1e-13)
    assert found.norm_losses.shape == found.correlation_losses.shape == s.shape


def test_three_four_is_the_right_triangle_of_fifths() -> None:
    s = Spectrum(np.array([4.0, 3.0]))
    assert s.norm == 5
    assert s.norm_loss(1) == pytest.approx(1 / 5, rel=1e-15)
    assert s.relative_error(1) == pytest.approx(3 / 5, rel=1e-15)
    assert s.stable_rank == pytest.approx(25 / 16, rel=1e-15)
    assert s.schmidt_number == pytest.approx(625 / (256 + 81), rel=1e-15)
    entropy = -(16 / 25) * log(16 / 25) - (9 / 25) * log(9 / 25)
    assert s.entropy == pytest.approx(entropy, rel=1e-15)
    assert s.correlation_losses.tolist() == [1, 0]


@pytest.mark.parametrize("small", [1e-3, 1e-6, 1e-9, 1e-30, 1e-100])
def test_small_losses_keep_all_their_digits(small: float) -> None:
    """Against the exact discarded weight; 1 − √(1 − ε) would be 0 from 1e-9 on."""
    s = Spectrum(np.array([1.0, small]))
    square = Fraction(small) ** 2
    weight = float(square / (1 + square))
    assert s.relative_error(1) == pytest.approx(sqrt(weight), rel=1e-14, abs=0)
    assert s.norm_loss(1) == pytest.approx(weight / 2 + weight**2 / 8, rel=1e-14 + weight**2, abs=0)
    first_order = weight * (1 - log(weight))
    assert s.entropy == pytest.approx(first_order, rel=1e-14 + weight, abs=0)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.label)
def test_no_scale_over_or_underflows(kernel: np.ndarray, cut: Cut, scale: float) -> None:
    found, plain = spectrum(kernel * scale, cut), spectrum(kernel, cut)
    assert np.allclose(found.schmidt_values / scale, plain.schmidt_values, rtol=1e-13)
    assert found.norm / scale == pytest.approx(plain.norm, rel=1e-13)
    assert np.allclose(found.norm_losses, plain.norm_losses, rtol=1e-12)
    assert found.entropy == pytest.approx(plain.entropy, rel=1e-12)


def test_float32_kernels_are_decomposed_in_float64(kernel: np.ndarray) -> None:
    single = kernel.astype(np.float32)
    exact = np.linalg.svd(matricize(single.astype(np.float64), CUTS[0]), compute_uv=False)
    assert np.allclose(spectrum(single, CUTS[0]).schmidt_values, exact, rtol=1e-13)


def test_scaling_is_by_a_power_of_two_and_loses_no_bit() -> None:
    values = np.array([0.1, -3.7e17, 2e-5])
    array, exponent = scaled(values)
    assert 0.5 <= np.abs(array).max() < 1
    assert np.array_equal(array * 2.0**exponent, values)
    assert scaled(np.zeros(3))[1] == 0


def test_a_kernel_with_nan_is_refused_with_the_number_and_the_first_place(
    kernel: np.ndarray,
) -> None:
    kernel[2, 1, 0, 2] = np.nan
    kernel[3, 0, 0, 0] = -np.inf
    with pytest.raises(ValueError, match=r"2 of 270 entries .* \(nan\) at index \[2, 1, 0, 2\]"):
        spectrum(kernel, CUTS[3])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "at least one value"),
        ([[1.0]], "at least one value"),
        ([1.0, 2.0], "value 2.0 at index 1"),
        ([2.0, -1.0], "value -1.0 at index 1"),
        ([np.nan, 1.0], "value nan at index 0"),
        ([np.inf, 1.0], "value inf at index 0"),
    ],
)
def test_what_is_no_spectrum_is_refused(values: list[float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Spectrum(np.array(values))


def test_a_spectrum_cannot_be_changed() -> None:
    values = np.array([2.0, 1.0])
    s = Spectrum(values)
    values[0] = 5
    assert s.schmidt_values[0] == 2
    with pytest.raises(ValueError, match="read-only"):
        s.schmidt_values[0] = 5


@pytest.mark.parametrize("loss", ["norm_loss", "relative_error", "correlation_loss"])
@pytest.mark.parametrize(
    ("rank", "said"), [(4, "rank 4 exceeds the 3 Schmidt values"), (0, "rank 0 keeps nothing")]
)
def test_a_rank_out_of_range_is_refused(loss: str, rank: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        getattr(Spectrum(np.ones(3)), loss)(rank)


@pytest.mark.parametrize("order", [-1, np.nan])
def test_an_order_below_zero_is_refused(order: float) -> None:
    with pytest.raises(ValueError, match="out of range"):
        Spectrum(np.ones(3)).renyi_entropy(order)
