"""Decompositions of a kernel in tensor formats, of ranks that follow from an allowed norm loss."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from compressibility.errors import UserError, nearest
from compressibility.tensors.arrays import Array
from compressibility.tensors.modes import CUTS, TRIVIAL, Cut, as_kernel, same_as
from compressibility.tensors.spectra import spectrum
from compressibility.tensors.tensor_train import TT_CUTS, TensorTrain, tensor_train
from compressibility.tensors.thresholds import ranks_at, require_thresholds
from compressibility.tensors.tucker import Tucker2, tucker2

TUCKER, TT = FORMATS = ("Tucker-2", "TT")
"""Tucker-2 over the modes OUT and IN; the tensor train in the order OUT, IN, KH, KW."""

BONDS: Final[Mapping[str, tuple[Cut, ...]]] = MappingProxyType({TUCKER: CUTS[:2], TT: TT_CUTS})
"""The cuts that the ranks of a format belong to, in its order."""


def format_ranks(kernel: Array, format_name: str, thresholds: Sequence[float]) -> NDArray[np.int64]:
    """Return the ranks of a format that keep its norm loss within allowed ones.

    A norm loss of at most τ is a squared relative error of at most τ(2 − τ). It is shared equally
    among the cuts of the format that differ in this kernel: each bond has the smallest rank whose
    own squared error, Σ_{i>r} s_i² / ‖K‖² across its cut, is within the share. The squared error of
    the decomposition is at most the sum of those. A threshold of 0 keeps full rank.

    Args:
        kernel: Kernel of shape (out, in, kh, kw), or (out, in), of any real dtype.
        format_name: One of `FORMATS`.
        thresholds: T allowed norm losses, each in [0, 1).

    Returns:
        Shape (T, bonds), in the order of `BONDS`.

    Raises:
        UserError: There is no such format, or a threshold is outside [0, 1).
        ValueError: The array is no kernel, or holds NaN or infinity.

    Source: De Lathauwer, De Moor and Vandewalle, SIAM J. Matrix Anal. Appl. 21 (2000) 1253,
        Property 10; Oseledets, SIAM J. Sci. Comput. 33 (2011) 2295, Theorem 2.2.

    Examples:
        >>> kernel = np.zeros((4, 4, 3, 3))
        >>> kernel[:, :, 1, 1] = np.diag([4.0, 3.0, 0.0, 0.0])
        >>> format_ranks(kernel, "Tucker-2", (0, 0.1, 0.5))
        array([[4, 4],
               [2, 2],
               [1, 1]])
    """
    cuts, allowed = BONDS[require_format(format_name)], require_thresholds(thresholds)
    shape = as_kernel(kernel).shape
    sharing = max(len({same_as(shape, cut) for cut in cuts} - {TRIVIAL}), 1)
    squared_errors = allowed * (2 - allowed) / sharing
    below_one = np.nextafter(1.0, 0.0)  # to which rounding may bring what is allowed
    norm_losses = np.minimum(squared_errors / (1 + np.sqrt(1 - squared_errors)), below_one)
    return np.stack([ranks_at(spectrum(kernel, cut), norm_losses) for cut in cuts], axis=1)


def in_format(kernel: Array, format_name: str, ranks: Sequence[int]) -> Tucker2 | TensorTrain:
    """Return the decomposition of a kernel in a format; see `tucker2` and `tensor_train`.

    Args:
        kernel: Kernel of shape (out, in, kh, kw), or (out, in), of any real dtype.
        format_name: One of `FORMATS`.
        ranks: One for each of its `BONDS`.

    Raises:
        UserError: There is no such format.
        ValueError: The array is no kernel, holds NaN or infinity, or the ranks do not fit.

    Examples:
        >>> kernel = np.random.default_rng(0).standard_normal((16, 8, 3, 3))
        >>> in_format(kernel, "TT", (4, 6, 2)).stored_parameters
        298
    """
    chosen: Any = tuple(ranks)  # of the wrong number they are refused below
    if require_format(format_name) == TUCKER:
        return tucker2(kernel, chosen)
    return tensor_train(kernel, chosen)


def require_format(name: str) -> str:
    """Return the name of a format.

    Raises:
        UserError: There is none of that name.
    """
    if name not in FORMATS:
        raise UserError(f"unknown tensor format {name!r}: {nearest(name, FORMATS)}")
    return name
