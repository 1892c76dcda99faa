"""The singular value decomposition of a kernel across a cut, and the truncations that it gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from compressibility.tensors.arrays import Array, Floats, Shape
from compressibility.tensors.factors import Factors, require_rank
from compressibility.tensors.modes import (
    Cut,
    as_kernel,
    matricize,
    matrix_shape,
    tensorize,
)
from compressibility.tensors.spectra import Spectrum, scaled


@dataclass(frozen=True, eq=False)
class SchmidtDecomposition(Factors):
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

    @property
    def size(self) -> int:
        """The number of Schmidt values."""
        return len(self.schmidt_values)

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
        require_rank(rank, self.size, self.cut, self.shape)
        matrix = (self.U[:, :rank] * self.schmidt_values[:rank]) @ self.Vh[:rank]
        return tensorize(matrix, self.cut, self.shape)

    def factors(self, rank: int) -> tuple[Floats, Floats]:
        """As for every `Factors`; the Schmidt values are shared evenly, √s to each side."""
        require_rank(rank, self.size, self.cut, self.shape)
        roots = np.sqrt(self.schmidt_values[:rank])
        return self.U[:, :rank] * roots, roots[:, None] * self.Vh[:rank]


def decompose(kernel: Array, cut: Cut | str) -> SchmidtDecomposition:
    """Return the Schmidt decomposition of a kernel across a cut.

    The singular value decomposition is taken in float64 of the kernel scaled by a power of two.

    Args:
        kernel: Kernel of shape (out, in, kh, kw), or (out, in), of any real dtype.
        cut: The cut, or its label.

    Raises:
        ValueError: The array is no kernel, or holds NaN or infinity.
        TypeError: It is no NumPy array.
        UserError: The label names no cut.

    Examples:
        >>> kernel = np.diag([4.0, 3.0])[:, :, None, None]
        >>> decomposition = decompose(kernel, "OUT")
        >>> decomposition.schmidt_values
        array([4., 3.])
        >>> [link.kernel.shape for link in decomposition.chain(1).links]
        [(1, 2, 1, 1), (2, 1, 1, 1)]
    """
    cut, four_way = Cut.of(cut), as_kernel(kernel)
    scaled_kernel, exponent = scaled(four_way)
    U, s, Vh = np.linalg.svd(matricize(scaled_kernel, cut), full_matrices=False)
    out, in_, height, width = four_way.shape
    return SchmidtDecomposition(U, np.ldexp(s, exponent), Vh, cut, (out, in_, height, width))


def truncate(kernel: Array, cut: Cut | str, rank: int) -> Array:
    """Return the nearest kernel with this many Schmidt values across a cut.

    Args:
        kernel: Kernel of shape (out, in, kh, kw), or (out, in).
        cut: The cut, or its label.
        rank: Schmidt values to keep.

    Returns:
        Kernel of the same shape and dtype.

    Raises:
        ValueError: The array is no kernel, holds NaN or infinity, or has fewer Schmidt values.
        TypeError: It is no NumPy array.
        UserError: The label names no cut.

    Examples:
        >>> truncate(np.diag([4.0, 3.0, 1.0]), "OUT", 2).round(12)
        array([[4., 0., 0.],
               [0., 3., 0.],
               [0., 0., 0.]])
    """
    truncated = decompose(kernel, cut).truncated(rank)
    return truncated.astype(kernel.dtype).reshape(kernel.shape)


def stored_parameters(shape: Sequence[int], cut: Cut | str, rank: int) -> int:
    """Return the parameters of the two layers that realise a truncation: rank · (rows + columns).

    Args:
        shape: Shape (out, in, kh, kw) of the kernel, or (out, in).
        cut: The cut, or its label, of (rows, columns) = `matrix_shape`.
        rank: Schmidt values kept, 1 to min(rows, columns).

    Raises:
        ValueError: The rank is out of range, or the shape is no kernel's.
        UserError: The label names no cut.

    Examples:
        >>> stored_parameters((128, 64, 3, 3), "OUT", 8)
        5632
    """
    cut = Cut.of(cut)
    rows, columns = matrix_shape(shape, cut)
    require_rank(rank, min(rows, columns), cut, tuple(shape))
    return rank * (rows + columns)


def compression_ratio(shape: Sequence[int], cut: Cut | str, rank: int) -> float:
    """Return parameters of the kernel / stored parameters; below 1 it is an expansion.

    Args:
        shape: Shape (out, in, kh, kw) of the kernel, or (out, in).
        cut: The cut, or its label.
        rank: Schmidt values kept.

    Raises:
        ValueError: The rank is out of range, or the shape is no kernel's.
        UserError: The label names no cut.

    Examples:
        >>> round(compression_ratio((128, 64, 3, 3), "OUT", 8), 2)
        13.09
    """
    return prod(shape) / stored_parameters(shape, cut, rank)
