"""A kernel across a cut as a product of two matrices, of which the first components are kept."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from compressibility.tensors.arrays import Floats, Shape
from compressibility.tensors.chains import IMAGE_MODES, Chain, Link
from compressibility.tensors.modes import Cut, Mode, tensorize
from compressibility.tensors.spectra import out_of_range


class Factors(ABC):
    """A kernel's matrix as a sum of products, column times row, in the order of what they carry.

    Attributes:
        cut: The cut.
        shape: Shape (out, in, kh, kw) of the kernel.
    """

    cut: Cut
    shape: Shape

    @property
    @abstractmethod
    def size(self) -> int:
        """The number n of components, with which the kernel is whole."""

    @abstractmethod
    def factors(self, rank: int) -> tuple[Floats, Floats]:
        """Return the two matrices whose product is the matrix of the truncated kernel.

        Args:
            rank: Components to keep, 1 to n.

        Returns:
            float64 matrices of shapes (rows, rank) and (rank, columns).

        Raises:
            ValueError: The rank is not one of 1, …, n.
        """

    def truncated(self, rank: int) -> Floats:
        """Return the kernel of the first components, float64, of the kernel's shape.

        Args:
            rank: Components to keep, 1 to n.

        Raises:
            ValueError: The rank is not one of 1, …, n.
        """
        left, right = self.factors(rank)
        return tensorize(left @ right, self.cut, self.shape)

    def chain(self, rank: int) -> Chain:
        """Return the truncated kernel as two small kernels in a row; see `chain_of`.

        Args:
            rank: Components to keep, 1 to n.

        Raises:
            ValueError: The rank is not one of 1, …, n.
        """
        return chain_of(*self.factors(rank), self.cut, self.shape)


def chain_of(left: Floats, right: Floats, cut: Cut, shape: Shape) -> Chain:
    """Return the product of two matrices as two small kernels in a row.

    First the modes on the side without OUT, then those with it. It stores rank · (rows + columns)
    entries, see `compressibility.tensors.schmidt.stored_parameters`.

    Args:
        left: Shape (rows, rank).
        right: Shape (rank, columns).
        cut: Whose matrix the product is.
        shape: Shape (out, in, kh, kw) of the kernel.
    """
    written, other = (
        # (r, OUT, IN, KH, KW), of which the modes of the other side have size 1
        kernels.reshape(-1, *(shape[m.axis] if m in side.modes else 1 for m in Mode))
        for side, kernels in ((cut, left.T), (cut.complement, right))
    )
    with_out, without = cut, cut.complement
    if Mode.OUT not in cut.modes:
        with_out, without, written, other = without, with_out, other, written
    # (OUT, IN, r, KH, KW): of the channels of one input, r counts fastest
    filters = np.moveaxis(written, 0, 2)
    filters = filters.reshape(len(filters), -1, *filters.shape[3:])
    first = Link(other[:, 0], _image_modes(without))
    return Chain((first, Link(filters, _image_modes(with_out))), shape)


def require_rank(rank: int, n: int, cut: Cut, shape: Sequence[int]) -> None:
    """Refuse a rank that a cut does not have.

    Raises:
        ValueError: It is not one of 1, …, n.
    """
    if not 1 <= rank <= n:
        raise ValueError(out_of_range(rank, n, f" of cut {cut.label} of a {tuple(shape)} kernel"))


def _image_modes(side: Cut) -> tuple[Mode, ...]:
    return tuple(mode for mode in side.modes if mode in IMAGE_MODES)
