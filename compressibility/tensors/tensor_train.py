"""The tensor train of a kernel."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import sqrt
from typing import Final

import numpy as np

from compressibility.tensors.arrays import Array, Floats, Shape
from compressibility.tensors.chains import Chain, Link
from compressibility.tensors.fitting import four, normalised, on_numpy, require_ranks
from compressibility.tensors.modes import CUTS, Mode

TT_CUTS: Final = (CUTS[0], CUTS[4], CUTS[3])
"""The cuts OUT; OUT,IN; KW, which bound the three ranks of a tensor train, in its order."""


@dataclass(frozen=True, eq=False)
class TensorTrain:
    """K[o,i,h,w] ≈ G₁[o] · G₂[i] · G₃[h] · G₄[w], a product of matrices.

    Attributes:
        cores: float64, shapes (1, out, r₁), (r₁, in, r₂), (r₂, kh, r₃), (r₃, kw, 1).
        relative_error: ‖K − K̂‖/‖K‖, from the reconstructed kernel; 0 for the zero kernel.
    """

    cores: tuple[Floats, Floats, Floats, Floats]
    relative_error: float

    @property
    def ranks(self) -> tuple[int, int, int]:
        """(r₁, r₂, r₃) as they came out: r_k is at most r_{k−1} times the size of mode k."""
        first, second, third, _ = self.cores
        return first.shape[2], second.shape[2], third.shape[2]

    @property
    def shape(self) -> Shape:
        """Shape (out, in, kh, kw) of the kernel."""
        out, in_, height, width = (core.shape[1] for core in self.cores)
        return out, in_, height, width

    @property
    def norm_loss(self) -> float:
        """1 − ‖K̂‖/‖K‖. K̂ is an orthogonal projection of K, so that the error alone tells it."""
        discarded = min(self.relative_error, 1.0) ** 2
        return discarded / (1 + sqrt(1 - discarded))

    @property
    def stored_parameters(self) -> int:
        """Entries of the four cores."""
        return sum(core.size for core in self.cores)

    def kernel(self) -> Floats:
        """Return the reconstructed kernel, float64, shape (out, in, kh, kw)."""
        return _tensor_train_kernel(self.cores)

    def chain(self) -> Chain:
        """Return it as small kernels in a row, of `stored_parameters` entries.

        r₃ filters along KW for each channel of IN in turn; from these along KH to r₂, likewise;
        1×1 from IN·r₂ to r₁; 1×1 to OUT.
        """
        first, second, third, fourth = self.cores
        links = (
            Link(fourth.swapaxes(1, 2)[:, :, None, :], (Mode.KW,)),
            Link(third.swapaxes(1, 2)[..., None], (Mode.KH,)),
            Link(second.reshape(len(second), -1, 1, 1)),
            Link(first[0][:, :, None, None]),
        )
        return Chain(links, self.shape)


def tensor_train(kernel: Array, ranks: tuple[int, int, int]) -> TensorTrain:
    """Return the tensor train of a kernel in the order OUT, IN, KH, KW, by successive SVDs.

    max(tails) ≤ ‖K − K̂‖ ≤ √Σ tails², with the tails √Σ_{i>r} s_i² of the cuts `TT_CUTS`.

    Args:
        kernel: Kernel of shape (out, in, kh, kw), or (out, in), of any real dtype.
        ranks: (r₁, r₂, r₃), each at most the number of Schmidt values of its cut in `TT_CUTS`.

    Raises:
        ValueError: The array is no kernel, holds NaN or infinity, or a rank is out
            of range.

    Source: Oseledets, SIAM J. Sci. Comput. 33 (2011) 2295, Theorem 2.2 (upper bound; the lower
        is Eckart and Young's).

    Examples:
        >>> kernel = np.random.default_rng(0).standard_normal((16, 8, 3, 3))
        >>> train = tensor_train(kernel, (4, 6, 2))
        >>> train.ranks, train.stored_parameters, train.chain().parameters
        ((4, 6, 2), 298, 298)
        >>> tensor_train(kernel, (16, 9, 3)).relative_error < 1e-12
        True
    """
    from tensorly.decomposition import tensor_train as tt_svd

    unit, norm, exponent = normalised(kernel)
    require_ranks(ranks, TT_CUTS, unit.shape)
    with on_numpy():
        cores = four(tt_svd(unit, [1, *ranks, 1]).factors)
    error = float(np.linalg.norm(unit - _tensor_train_kernel(cores)))
    return TensorTrain((*cores[:3], np.ldexp(cores[3] * norm, exponent)), error)


def _tensor_train_kernel(cores: Sequence[Floats]) -> Floats:
    chain = reduce(lambda left, core: np.tensordot(left, core, axes=(-1, 0)), cores)
    return chain[0, ..., 0]
