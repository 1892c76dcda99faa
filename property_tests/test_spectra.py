"""Theorems about Schmidt values, their entropies, and what a truncation loses."""

from math import inf, log, sqrt

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from compressibility.tensors.modes import CUTS
from compressibility.tensors.spectra import Spectrum, spectrum
from property_tests.strategies import EPS, SCALES, DrawnKernel, SpectrumKind, kernels, spectra

ORDERS = (0, 1e-3, 0.3, 0.5, 0.9, 1 - 1e-6, 1 - 1e-12, 1, 1 + 1e-12, 1.1, 1.5, 2, 3, 10, 100, inf)


def flat(n: int) -> Spectrum:
    return Spectrum(np.ones(n))


@given(spectra())
def test_kept_norm_and_relative_error_are_the_legs_of_a_right_triangle(drawn: Spectrum) -> None:
    legs = (1 - drawn.norm_losses) ** 2 + drawn.relative_errors**2
    assert np.abs(legs - 1).max() <= 8 * EPS


@given(spectra())
def test_norm_loss_and_relative_error_fall_with_rank_and_vanish_at_full_rank(
    drawn: Spectrum,
) -> None:
    for losses in (drawn.norm_losses, drawn.relative_errors):
        assert (np.diff(losses) <= 0).all()
        assert losses[-1] == 0
        assert losses[0] < 1


@given(spectra())
def test_correlation_loss_falls_with_rank_and_vanishes_at_full_rank(drawn: Spectrum) -> None:
    losses = drawn.correlation_losses
    assert (np.diff(losses) <= 8 * EPS).all()
    assert losses[-1] == 0
    assert losses[0] == (1 if drawn.entropy > 0 else 0)


@given(spectra())
def test_each_further_schmidt_value_raises_the_kept_entropy_by_its_share(drawn: Spectrum) -> None:
    """S_{r+1} − S_r ≥ x ln(1 + 1/r), x = p_{r+1} / Σ_{i≤r+1} p_i: strictly more than nothing."""
    p = drawn.probabilities
    kept = drawn.entropy * (1 - drawn.correlation_losses)
    for r in range(1, len(drawn)):
        share = p[r] / p[: r + 1].sum()
        assert kept[r] - kept[r - 1] >= share * log(1 + 1 / r) - 20 * EPS


@given(spectra())
@example(flat(2))
@example(flat(9))
def test_norm_loss_stays_below_its_ceiling(drawn: Spectrum) -> None:
    assert drawn.norm_losses.max() <= 1 - 1 / sqrt(len(drawn)) + 4 * EPS


@given(st.integers(1, 500))
def test_a_flat_spectrum_reaches_every_ceiling(n: int) -> None:
    s = flat(n)
    assert abs(s.norm_loss(1) - (1 - 1 / sqrt(n))) <= 10 * EPS
    for order in ORDERS:
        assert abs(s.renyi_entropy(order) - log(n)) <= 1e-9 * log(n) + 10 * EPS
    for rank in (s.stable_rank, s.schmidt_number, s.entropic_rank, s.effective_rank):
        assert abs(rank - n) <= 1e-12 * n


@given(spectra())
def test_entropy_lies_between_zero_and_the_logarithm_of_the_number_of_values(
    drawn: Spectrum,
) -> None:
    assert 0 <= drawn.entropy <= log(len(drawn)) + 8 * EPS


@given(spectra())
def test_entropy_is_zero_for_a_product_and_only_for_a_product(drawn: Spectrum) -> None:
    is_product = len(drawn) == 1 or drawn.schmidt_values[1] == 0
    assert (drawn.entropy == 0) == is_product


@given(spectra())
def test_renyi_entropy_does_not_rise_with_its_order(drawn: Spectrum) -> None:
    entropies = np.array([drawn.renyi_entropy(order) for order in ORDERS])
    assert (np.diff(entropies) <= 1e-13 + 20 * EPS * entropies[0]).all()
    assert entropies[-1] >= 0


@given(spectra(), st.floats(-12, -1))
def test_renyi_entropy_is_continuous_at_order_one(drawn: Spectrum, exponent: float) -> None:
    """Its slope there is −½ Var(ln p), at most ½ E(ln p)²."""
    p = drawn.probabilities[drawn.probabilities > 0]
    distance = 10.0**exponent
    for order in (1 - distance, 1 + distance):
        bound = distance * float(p**0.9 @ np.log(p) ** 2) + 40 * EPS
        assert abs(drawn.renyi_entropy(order) - drawn.entropy) <= bound


@given(spectra())
def test_the_ranks_are_the_exponentials_of_renyi_entropies_in_their_order(drawn: Spectrum) -> None:
    ranks = (drawn.stable_rank, drawn.schmidt_number, drawn.entropic_rank)
    for rank, order in zip(ranks, (inf, 2, 1), strict=True):
        assert abs(rank - np.exp(drawn.renyi_entropy(order))) <= 20 * EPS * rank
    slack = 1 + 20 * EPS
    assert 1 <= ranks[0] <= ranks[1] * slack <= ranks[2] * slack**2 <= len(drawn) * slack**3


@given(spectra())
def test_the_effective_rank_is_at_least_the_entropic_rank(drawn: Spectrum) -> None:
    """s/Σs is majorised by s²/Σs²."""
    assert drawn.entropic_rank <= drawn.effective_rank * (1 + 20 * EPS)
    assert drawn.effective_rank <= len(drawn) * (1 + 20 * EPS)


@given(spectra(), st.sampled_from(SCALES))
def test_scaling_scales_the_norm_and_changes_nothing_else(drawn: Spectrum, scale: float) -> None:
    scaled = Spectrum(drawn.schmidt_values * scale)
    assert abs(scaled.norm - scale * drawn.norm) <= 8 * EPS * scale * drawn.norm
    assert np.allclose(scaled.probabilities, drawn.probabilities, rtol=20 * EPS, atol=0)
    assert np.allclose(scaled.norm_losses, drawn.norm_losses, rtol=20 * EPS, atol=0)
    assert np.allclose(scaled.correlation_losses, drawn.correlation_losses, atol=20 * EPS)
    assert abs(scaled.entropy - drawn.entropy) <= 40 * EPS * drawn.entropy


@given(spectra())
def test_probabilities_are_a_descending_distribution(drawn: Spectrum) -> None:
    p = drawn.probabilities
    assert abs(p.sum() - 1) <= 8 * EPS
    assert (np.diff(p) <= 0).all()
    assert (p >= 0).all()


@given(kernels())
def test_every_cut_has_the_norm_of_the_kernel(drawn: DrawnKernel) -> None:
    for cut in CUTS:
        assert abs(spectrum(drawn.array, cut).norm - drawn.norm) <= drawn.tolerance


@given(spectra(kind=SpectrumKind.ZERO))
def test_the_zero_kernel_loses_nothing_and_has_one_value(drawn: Spectrum) -> None:
    assert drawn.norm == 0
    assert drawn.entropy == 0
    assert drawn.stable_rank == drawn.schmidt_number == drawn.entropic_rank == 1
    assert drawn.effective_rank == 1
    for losses in (drawn.norm_losses, drawn.relative_errors, drawn.correlation_losses):
        assert not losses.any()
