"""Truncations in the metric of what a layer sees: the best for its outputs, not for its weights.

A layer whose inputs have the uncentred covariance C gives outputs M x; of all M' of rank r, the
mean of |M x − M' x|² is least for M' = U_r U_rᵀ M, U_r the r leading eigenvectors of M C Mᵀ. That
is the truncation of the whitened M C^(1/2), brought back; since nothing is inverted, C may be of
any rank.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from compressibility.tensors.arrays import Floats, Shape
from compressibility.tensors.factors import Factors, require_rank
from compressibility.tensors.modes import Cut, Mode
from compressibility.tensors.schmidt import SchmidtDecomposition


@dataclass(frozen=True, eq=False)
class WhitenedDecomposition(Factors):
    """A kernel across a cut, as directions of its outputs in the order of what they carry.

    Attributes:
        left: float64, shape (rows, n).
        right: float64, shape (n, columns); the matrix of the kernel is left @ right, and the one
            of the two that is on the side of OUT has orthonormal vectors.
        energies: What each direction carries, the mean of its squared output, float64, shape (n,),
            descending.
        cut: The cut.
        shape: Shape (out, in, kh, kw) of the kernel.
    """

    left: Floats
    right: Floats
    energies: Floats
    cut: Cut
    shape: Shape

    @property
    def size(self) -> int:
        """The number of directions."""
        return len(self.energies)

    def factors(self, rank: int) -> tuple[Floats, Floats]:
        """As for every `Factors`; the components are directions."""
        require_rank(rank, self.size, self.cut, self.shape)
        return self.left[:, :rank], self.right[:rank]

    @cached_property
    def lost(self) -> Floats:
        """Share of the outputs' mean square that is lost at rank 1, …, n, in the cut's metric."""
        total = self.energies.sum()
        kept = np.cumsum(self.energies)
        return np.clip(1 - kept / total, 0, 1) if total > 0 else np.zeros_like(kept)


def whitened(decomposition: SchmidtDecomposition, covariance: Floats) -> WhitenedDecomposition:
    """Return the decomposition of the same kernel in the metric of what the first factor sees.

    Args:
        decomposition: Of the kernel across the cut.
        covariance: Uncentred, of the inputs on the side of the cut without OUT, in the order of
            its modes: symmetric, positive semidefinite, of any rank, shape (m, m).

    Raises:
        ValueError: The covariance has another shape.

    Source: for the cut OUT, Zhang et al., Accelerating very deep convolutional networks,
    arXiv 1505.06798, section 3.1 (there of centred outputs).

    Examples:
        >>> from compressibility.tensors.schmidt import decompose
        >>> kernel = np.diag([4.0, 3.0])[:, :, None, None]
        >>> seen = whitened(decompose(kernel, "OUT"), np.diag([0.0, 1.0]))
        >>> seen.truncated(1)[:, :, 0, 0]  # the first input is never there
        array([[0., 0.],
               [0., 3.]])
    """
    with_out = Mode.OUT in decomposition.cut.modes
    outer, inner = (
        (decomposition.U, decomposition.Vh) if with_out else (decomposition.Vh.T, decomposition.U.T)
    )
    scaled = decomposition.schmidt_values[:, None] * inner
    m = scaled.shape[1]
    if covariance.shape != (m, m):
        raise ValueError(f"the covariance has shape {covariance.shape}: it must be {(m, m)}")
    energies, directions = np.linalg.eigh(scaled @ covariance @ scaled.T)
    energies, directions = energies[::-1], directions[:, ::-1]
    outer, inner = outer @ directions, directions.T @ scaled
    left, right = (outer, inner) if with_out else (inner.T, outer.T)
    return WhitenedDecomposition(
        left, right, np.clip(energies, 0, None), decomposition.cut, decomposition.shape
    )


def covariance_seen(patches: Floats, cut: Cut) -> Floats:
    """The covariance of what the first of two layers sees, from that of whole patches.

    Along modes that the first layer does not have, the diagonal is averaged.

    Args:
        patches: Uncentred covariance of the patches that a convolution multiplies with its kernel,
            shape (in, kh, kw, in, kh, kw).
        cut: The cut that the two layers realise.

    Returns:
        Of the modes on the side without OUT, in the order of the axes, shape (m, m).
    """
    side = cut.complement if Mode.OUT in cut.modes else cut
    seen = patches
    axes = [Mode.IN, Mode.KH, Mode.KW]
    for mode in axes.copy():
        if mode not in side.modes:
            place = axes.index(mode)
            diagonal = np.diagonal(seen, axis1=place, axis2=place + len(axes))
            seen = diagonal.mean(axis=-1)
            axes.remove(mode)
    m = int(np.sqrt(seen.size))
    return seen.reshape(m, m)


def output_errors(kernel: Floats, others: Sequence[Floats], patches: Floats) -> Floats:
    """The roots of the mean squared changes of a layer's outputs, relative to the outputs.

    Args:
        kernel: Shape (out, in, kh, kw).
        others: In its place, each of the same shape.
        patches: Uncentred covariance of the patches, shape (in, kh, kw, in, kh, kw).

    Returns:
        One for each other, float64; 0 where the kernel gives no output at all.
    """
    covariance = patches.reshape(kernel[0].size, -1)

    def mean_square(change: Floats) -> float:
        matrix = change.reshape(len(kernel), -1)
        return max(0.0, float(np.sum((matrix @ covariance) * matrix)))

    whole = mean_square(kernel)
    if whole == 0:
        return np.zeros(len(others))
    return np.array([(mean_square(kernel - other) / whole) ** 0.5 for other in others])
