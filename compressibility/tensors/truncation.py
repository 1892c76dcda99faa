"""Thresholds, ranks, truncated kernels, and the random perturbation that is matched to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from compressibility.tensors.modes import Array, Cut, Shape, matricize, matrix_shape, tensorize
from compressibility.tensors.spectra import Floats, Spectrum, out_of_range, scaled

THRESHOLDS: Final = (0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""The standard grid of allowed norm losses."""


def rank_at(spectrum: Spectrum, threshold: float) -> int:
    """Return the smallest rank whose norm loss does not exceed a threshold.

    A threshold of 0 keeps full rank, by definition: the control. The zero kernel has rank 1.

    Args:
        spectrum: The Schmidt values.
        threshold: Allowed norm loss, in [0, 1).

    Raises:
        ValueError: The threshold is outside [0, 1).
    """
    return int(ranks_at(spectrum, (threshold,))[0])


def ranks_at(spectrum: Spectrum, thresholds: Sequence[float] | Floats) -> NDArray[np.int64]:
    """Return `rank_at` for several thresholds.

    Args:
        spectrum: The Schmidt values.
        thresholds: T allowed norm losses, each in [0, 1).

    Returns:
        int64, shape (T,).

    Raises:
        ValueError: A threshold is outside [0, 1).
    """
    allowed = np.asarray(thresholds, dtype=np.float64)
    outside = ~((allowed >= 0) & (allowed < 1))
    if outside.any():
        raise ValueError(
            f"threshold {allowed[outside][0]} is outside [0, 1): choose an allowed norm loss from "
            "0 (full rank) to below 1"
        )
    if spectrum.is_zero:
        return np.ones(allowed.shape, dtype=np.int64)
    obeys = spectrum.norm_losses <= allowed[:, None]
    ranks = np.where(allowed == 0, len(spectrum), obeys.argmax(axis=1) + 1)
    return ranks.astype(np.int64)


@dataclass(frozen=True, eq=False)
class SchmidtDecomposition:
    """A kernel across a cut: matricize(K, cut) = U · diag(schmidt_values) · Vh.

    Attributes:
        U: Left Schmidt vectors, orthonormal columns, float64, shape (rows, n).
        schmidt_values: float64, shape (n,), descending.
        Vh: Right Schmidt vectors, orthonormal rows, float64, shape (n, columns).
        cut: The cut.
        shape: Shape (out, in, kh, kw) of the kernel.
    """

    U: Floats
    schmidt_values: Floats
    Vh: Floats
    cut: Cut
    shape: Shape

    @cached_property
    def spectrum(self) -> Spectrum:
        """The Schmidt values as a spectrum."""
        return Spectrum(self.schmidt_values)

    def truncated(self, rank: int) -> Floats:
        """Return the kernel of its first Schmidt values: the nearest one of that rank.

        Args:
            rank: Schmidt values to keep, 1 to n.

        Returns:
            float64, of the kernel's shape. At rank n it is the kernel to rounding, not to the bit.

        Raises:
            ValueError: The rank is not one of 1, …, n.

        Source: Eckart and Young, Psychometrika 1 (1936) 211; Mirsky, Quart. J. Math. 11 (1960) 50.
        """
        self._check(rank)
        matrix = (self.U[:, :rank] * self.schmidt_values[:rank]) @ self.Vh[:rank]
        return tensorize(matrix, self.cut, self.shape)

    def factors(self, rank: int) -> tuple[Floats, Floats]:
        """Return the two matrices whose product is the matrix of the truncated kernel.

        The Schmidt values are shared evenly, √s to each side.

        Args:
            rank: Schmidt values to keep, 1 to n.

        Returns:
            float64 matrices of shapes (rows, rank) and (rank, columns).

        Raises:
            ValueError: The rank is not one of 1, …, n.
        """
        self._check(rank)
        roots = np.sqrt(self.schmidt_values[:rank])
        return self.U[:, :rank] * roots, roots[:, None] * self.Vh[:rank]

    def _check(self, rank: int) -> None:
        _check_rank(rank, self.schmidt_values.size, self.cut, self.shape)


def decompose(kernel: Array, cut: Cut) -> SchmidtDecomposition:
    """Return the Schmidt decomposition of a kernel across a cut.

    The singular value decomposition is taken in float64 of the kernel scaled by a power of two.

    Args:
        kernel: Kernel of shape (out, in, kh, kw), of any real dtype.
        cut: The cut.

    Raises:
        ValueError: The array does not have four modes, or holds NaN or infinity.
    """
    scaled_kernel, exponent = scaled(kernel)
    U, s, Vh = np.linalg.svd(matricize(scaled_kernel, cut), full_matrices=False)
    out, in_, height, width = kernel.shape
    return SchmidtDecomposition(U, np.ldexp(s, exponent), Vh, cut, (out, in_, height, width))


def truncate(kernel: Array, cut: Cut, rank: int) -> Array:
    """Return the nearest kernel with this many Schmidt values across a cut.

    Args:
        kernel: Kernel of shape (out, in, kh, kw).
        cut: The cut.
        rank: Schmidt values to keep.

    Returns:
        Kernel of the same shape and dtype.

    Raises:
        ValueError: The array is no kernel, holds NaN or infinity, or has fewer Schmidt values.
    """
    return decompose(kernel, cut).truncated(rank).astype(kernel.dtype)


def stored_parameters(shape: Sequence[int], cut: Cut, rank: int) -> int:
    """Return the parameters of the two layers that realise a truncation: rank · (rows + columns).

    Args:
        shape: Shape (out, in, kh, kw) of the kernel.
        cut: The cut, of (rows, columns) = `matrix_shape`.
        rank: Schmidt values kept, 1 to min(rows, columns).

    Raises:
        ValueError: The rank is out of range, or the shape does not have four modes.
    """
    rows, columns = matrix_shape(shape, cut)
    _check_rank(rank, min(rows, columns), cut, tuple(shape))
    return rank * (rows + columns)


def compression_ratio(shape: Sequence[int], cut: Cut, rank: int) -> float:
    """Return parameters of the kernel / stored parameters; below 1 it is an expansion.

    Args:
        shape: Shape (out, in, kh, kw) of the kernel.
        cut: The cut.
        rank: Schmidt values kept.

    Raises:
        ValueError: The rank is out of range, or the shape does not have four modes.
    """
    return prod(shape) / stored_parameters(shape, cut, rank)


def matched_perturbation(kernel: Array, norm_loss: float, rng: np.random.Generator) -> Floats:
    """Return a random kernel with the norm and the overlap of a truncation, and nothing else of it.

    K′ = (1−ν)² K + (1−ν) √(1−(1−ν)²) ‖K‖ N with a random N of unit norm, orthogonal to K and
    uniformly distributed. Then ‖K′‖ = (1−ν)‖K‖ and ⟨K, K′⟩ = (1−ν)²‖K‖², as for a truncation
    K_r, an orthogonal projection of K, at norm loss ν; so ‖K − K′‖ is the truncation's too.

    Args:
        kernel: Kernel of any shape and real dtype.
        norm_loss: ν, in [0, 1).
        rng: Source of N.

    Returns:
        float64, of the kernel's shape; the kernel itself at ν = 0, zero for the zero kernel.

    Raises:
        ValueError: ν is outside [0, 1); the kernel holds NaN or infinity; or it has a single
            entry, to which nothing is orthogonal.
    """
    if not 0 <= norm_loss < 1:
        raise ValueError(f"norm loss {norm_loss} is outside [0, 1): choose one from 0 to below 1")
    direction, exponent = scaled(kernel)
    if norm_loss == 0 or not direction.any():
        return np.ldexp(direction, exponent)
    if direction.size == 1:
        raise ValueError(
            f"kernel of shape {direction.shape} has one entry, to which nothing is orthogonal: "
            "its only perturbation is that of norm loss 0"
        )
    norm = np.linalg.norm(direction)
    unit = direction / norm
    noise = rng.standard_normal(direction.shape)
    for _ in range(2):  # the second pass removes what rounding left of K after the first
        noise /= np.linalg.norm(noise)
        noise -= np.vdot(unit, noise) * unit
    noise /= np.linalg.norm(noise)
    kept = 1 - norm_loss
    perturbed = kept**2 * direction + kept * sqrt(norm_loss * (1 + kept)) * norm * noise
    return np.ldexp(perturbed, exponent)


def _check_rank(rank: int, n: int, cut: Cut, shape: Sequence[int]) -> None:
    if not 1 <= rank <= n:
        raise ValueError(out_of_range(rank, n, f" of cut {cut.label} of a {tuple(shape)} kernel"))
