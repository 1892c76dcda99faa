"""What fits of a kernel by tensorly share: a kernel of unit norm, ranks in range, NumPy beneath.

They run in float64, on the kernel scaled to unit norm. The relative error is always computed anew
from the reconstructed kernel: the one that tensorly reports is the root of a difference of
squares, and wrong below 1e-8.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from compressibility.tensors.arrays import Array, Floats
from compressibility.tensors.modes import Cut, as_kernel, matrix_shape
from compressibility.tensors.spectra import out_of_range, scaled


def normalised(kernel: Array) -> tuple[Floats, float, int]:
    """Return a kernel as (u, norm, e), with kernel = u · norm · 2^e and ‖u‖ = 1.

    The zero kernel has norm 0, and u = 0.

    Args:
        kernel: Kernel of shape (out, in, kh, kw), or (out, in).

    Raises:
        ValueError: The array is no kernel, or holds NaN or infinity.

    Examples:
        >>> u, norm, exponent = normalised(np.array([[3.0, 4.0]]))
        >>> u.ravel(), norm * 2**exponent
        (array([0.6, 0.8]), 5.0)
    """
    values, exponent = scaled(as_kernel(kernel))
    norm = float(np.linalg.norm(values))
    return values / (norm or 1.0), norm, exponent


def require_ranks(ranks: Sequence[int], cuts: Sequence[Cut], shape: Sequence[int]) -> None:
    """Refuse ranks that are not one for each cut, of 1 to its number of Schmidt values.

    Raises:
        ValueError: With the cut and its number of Schmidt values.
    """
    if len(ranks) != len(cuts):
        raise ValueError(
            f"{len(ranks)} ranks {tuple(ranks)} do not fit: give one for each of the cuts "
            f"{'; '.join(cut.label for cut in cuts)}"
        )
    for rank, cut in zip(ranks, cuts, strict=True):
        n = min(matrix_shape(shape, cut))
        if not 1 <= rank <= n:
            where = f" of cut {cut.label} of a {tuple(shape)} kernel"
            raise ValueError(out_of_range(rank, n, where))


def four(arrays: Sequence[Any]) -> tuple[Floats, Floats, Floats, Floats]:
    """Return four arrays, one for each mode, in float64."""
    first, second, third, fourth = (np.asarray(array, dtype=np.float64) for array in arrays)
    return first, second, third, fourth


@contextmanager
def on_numpy() -> Iterator[None]:
    """Compute on NumPy whatever tensorly's global backend is (importing some packages sets it)."""
    import tensorly

    with tensorly.backend_context("numpy", local_threadsafe=True):
        yield
