"""CP, Tucker-2 and tensor-train decompositions of a kernel, each with its health.

tensorly fits them, in float64, on the kernel scaled to unit norm. The relative error is always
computed anew from the reconstructed kernel: the one that tensorly reports is the root of a
difference of squares, and wrong below 1e-8.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import numpy as np

from compressibility.tensors.arrays import Array, Floats
from compressibility.tensors.modes import CUTS, Cut, matrix_shape
from compressibility.tensors.spectra import out_of_range, scaled

DIVERGENCE: Final = 10.0
"""Largest component norm / ‖K‖ above which a CP fit counts as diverged: its components cancel."""

TT_CUTS: Final = (CUTS[0], CUTS[4], CUTS[3])
"""The cuts OUT; OUT,IN; KW, which bound the three ranks of a tensor train, in its order."""


@dataclass(frozen=True, eq=False)
class CP:
    """A sum of R products, K[o,i,h,w] ≈ Σ_r λ_r A[o,r] B[i,r] C[h,r] D[w,r], and how it was found.

    In canonical form (see `canonical`). Where the fit failed outright, weights, factors and
    relative error are NaN and it counts as diverged.

    Attributes:
        weights: λ, non-negative and descending, float64, shape (R,).
        factors: A, B, C, D of unit columns, float64, shapes (out, R), (in, R), (kh, R), (kw, R).
        relative_error: ‖K − K̂‖/‖K‖, from the reconstructed kernel; 0 for the zero kernel.
        largest_component: Largest λ / ‖K‖. Far above 1, components cancel one another: the fit
            degenerates, as in de Silva and Lim, SIAM J. Matrix Anal. Appl. 30 (2008) 1084.
        n_sweeps: Sweeps of alternating least squares.
        converged: Whether the error had settled before the last allowed sweep.
    """

    weights: Floats
    factors: tuple[Floats, Floats, Floats, Floats]
    relative_error: float
    largest_component: float
    n_sweeps: int
    converged: bool

    @property
    def diverged(self) -> bool:
        """Whether the fit failed outright or its largest component exceeds `DIVERGENCE`."""
        return not self.largest_component <= DIVERGENCE

    @property
    def stored_parameters(self) -> int:
        """Entries of the four factors, the weights absorbed in one: R (out + in + kh + kw)."""
        return sum(factor.size for factor in self.factors)

    def kernel(self) -> Floats:
        """Return the reconstructed kernel, float64, shape (out, in, kh, kw)."""
        return cp_kernel(self.weights, self.factors)


@dataclass(frozen=True, eq=False)
class CPStarts:
    """CP fits of one kernel from several random starts.

    Attributes:
        fits: One fit a start, at least one.
    """

    fits: tuple[CP, ...]

    @property
    def best(self) -> CP:
        """The fit of the smallest relative error among those not diverged, if any is not."""
        return min(
            self.fits, key=lambda fit: (fit.diverged, np.nan_to_num(fit.relative_error, nan=np.inf))
        )

    @property
    def spread(self) -> float:
        """Largest minus smallest relative error over the starts; NaN if a fit failed outright."""
        return float(np.ptp([fit.relative_error for fit in self.fits]))


def cp(
    kernel: Array,
    rank: int,
    rng: np.random.Generator,
    *,
    max_sweeps: int = 500,
    tolerance: float = 1e-8,
    l2_reg: float = 1e-5,
) -> CP:
    """Fit a CP decomposition from one random start, by alternating least squares.

    Args:
        kernel: Kernel of shape (out, in, kh, kw), of any real dtype.
        rank: Number of components, at least 1.
        rng: Source of the start: factors of uniformly distributed unit columns.
        max_sweeps: Sweeps at most.
        tolerance: Change of the relative error in a sweep below which the fit has converged.
        l2_reg: Ridge on the factors of the kernel scaled to unit norm. It keeps the components
            from growing and cancelling, but slows the sweeps and leaves a relative error of some
            10 to 50 times itself on a kernel that has an exact fit.

    Raises:
        ValueError: The array does not have four modes, holds NaN or infinity, or the rank is
            below 1.

    Source: Kolda and Bader, SIAM Review 51 (2009) 455, section 3.4.
    """
    from tensorly.decomposition import parafac

    unit, norm, exponent = _unit(kernel)
    if rank < 1:
        raise ValueError(f"CP rank {rank} has no component: choose at least 1")
    start = [_unit_columns(rng.standard_normal((size, rank))) for size in unit.shape]
    if norm == 0:
        weights, factors = canonical(np.zeros(rank), start)
        return CP(weights, factors, 0.0, 0.0, 0, True)

    errors: list[float] = []
    with _numpy_backend(), np.errstate(all="ignore"):  # what overflows is reported as diverged
        try:
            fitted_weights, fitted_factors = parafac(
                unit,
                rank,
                n_iter_max=max_sweeps,
                init=(np.ones(rank), start),
                tol=max(tolerance, float(np.finfo(np.float64).tiny)),
                l2_reg=l2_reg,
                linesearch=True,
                callback=lambda _, error: errors.append(float(error)),
            )
        except np.linalg.LinAlgError:
            fitted_weights, fitted_factors = np.full(rank, np.nan), start
    n_sweeps = max(len(errors) - 1, 0)  # the first error is that of the start
    if not all(np.isfinite(array).all() for array in (fitted_weights, *fitted_factors)):
        nothing = [np.full_like(factor, np.nan) for factor in start]
        return CP(np.full(rank, np.nan), _four(nothing), np.nan, np.nan, n_sweeps, False)

    weights, factors = canonical(fitted_weights, fitted_factors)
    return CP(
        weights=np.ldexp(weights * norm, exponent),
        factors=factors,
        relative_error=float(np.linalg.norm(unit - cp_kernel(weights, factors))),
        largest_component=float(weights[0]),
        n_sweeps=n_sweeps,
        converged=n_sweeps < max_sweeps,
    )


def cp_starts(
    kernel: Array,
    rank: int,
    rng: np.random.Generator,
    *,
    n_starts: int = 3,
    max_sweeps: int = 500,
    tolerance: float = 1e-8,
    l2_reg: float = 1e-5,
) -> CPStarts:
    """Fit a CP decomposition from several random starts; see `cp`.

    Args:
        kernel: Kernel of shape (out, in, kh, kw), of any real dtype.
        rank: Number of components, at least 1.
        rng: Source of the starts, one after the other.
        n_starts: Number of starts, at least 1.
        max_sweeps: Sweeps at most, each start.
        tolerance: Change of the relative error in a sweep below which a fit has converged.
        l2_reg: Ridge on the factors.

    Raises:
        ValueError: As for `cp`, or there is no start.
    """
    if n_starts < 1:
        raise ValueError(f"{n_starts} starts give no fit: choose at least 1")
    return CPStarts(
        tuple(
            cp(kernel, rank, rng, max_sweeps=max_sweeps, tolerance=tolerance, l2_reg=l2_reg)
            for _ in range(n_starts)
        )
    )


def cp_kernel(weights: Floats, factors: Sequence[Floats]) -> Floats:
    """Return the kernel Σ_r λ_r A[o,r] B[i,r] C[h,r] D[w,r].

    Args:
        weights: λ, shape (R,).
        factors: A, B, C, D, shapes (out, R), (in, R), (kh, R), (kw, R).
    """
    first, *others = factors
    columns = reduce(lambda x, y: (x[:, None, :] * y).reshape(-1, weights.size), others)
    matrix: Floats = (first * weights) @ columns.T
    return matrix.reshape([factor.shape[0] for factor in factors])


def canonical(
    weights: Floats, factors: Sequence[Floats]
) -> tuple[Floats, tuple[Floats, Floats, Floats, Floats]]:
    """Return the same sum of products, freed of the order, scale and signs of its components.

    Unit columns; weights non-negative and descending; the entry of largest magnitude positive in
    each column of the factors of IN, KH and KW. A component with a zero column has weight zero
    and keeps that column.

    Args:
        weights: λ, shape (R,).
        factors: Factors of OUT, IN, KH, KW, R columns each.

    Returns:
        Weights and factors, float64.
    """
    lengths = [np.linalg.norm(factor, axis=0) for factor in factors]
    units = [
        factor / np.where(length > 0, length, 1)
        for factor, length in zip(factors, lengths, strict=True)
    ]
    signed = np.asarray(weights, dtype=np.float64) * np.prod(lengths, axis=0)
    signs = [
        np.where(np.take_along_axis(unit, np.abs(unit).argmax(axis=0)[None], axis=0)[0] < 0, -1, 1)
        for unit in units[1:]
    ]
    units[1:] = [unit * sign for unit, sign in zip(units[1:], signs, strict=True)]
    units[0] = units[0] * np.prod(signs, axis=0) * np.where(signed < 0, -1, 1)
    order = np.argsort(-np.abs(signed), kind="stable")
    return np.abs(signed)[order], _four([unit[:, order] for unit in units])


@dataclass(frozen=True, eq=False)
class Tucker2:
    """K[o,i,h,w] ≈ Σ_ab G[a,b,h,w] A[o,a] B[i,b], and how it was found.

    Attributes:
        core: G, float64, shape (r_out, r_in, kh, kw).
        out_factor: A of orthonormal columns, float64, shape (out, r_out).
        in_factor: B of orthonormal columns, float64, shape (in, r_in).
        relative_error: ‖K − K̂‖/‖K‖, from the reconstructed kernel; 0 for the zero kernel.
        n_sweeps: Sweeps of orthogonal iteration.
        converged: Whether the error had settled before the last allowed sweep.
    """

    core: Floats
    out_factor: Floats
    in_factor: Floats
    relative_error: float
    n_sweeps: int
    converged: bool

    @property
    def ranks(self) -> tuple[int, int]:
        """(r_out, r_in) as they came out: each at most the other times kh·kw."""
        return self.core.shape[0], self.core.shape[1]

    @property
    def stored_parameters(self) -> int:
        """Entries of the core and the two factors: r_out r_in kh kw + out r_out + in r_in."""
        return self.core.size + self.out_factor.size + self.in_factor.size

    def kernel(self) -> Floats:
        """Return the reconstructed kernel, float64, shape (out, in, kh, kw)."""
        return _tucker2_kernel(self.core, self.out_factor, self.in_factor)


def tucker2(
    kernel: Array,
    ranks: tuple[int, int],
    *,
    max_sweeps: int = 100,
    tolerance: float = 1e-6,
) -> Tucker2:
    """Fit a Tucker decomposition of the modes OUT and IN, by higher-order orthogonal iteration.

    It starts from the truncated higher-order SVD and no sweep raises the error, so that
    max(tails) ≤ ‖K − K̂‖ ≤ √Σ tails², with the tails √Σ_{i>r} s_i² of the cuts OUT and IN.

    Args:
        kernel: Kernel of shape (out, in, kh, kw), of any real dtype.
        ranks: (r_out, r_in), each at most the number of Schmidt values of its cut.
        max_sweeps: Sweeps at most.
        tolerance: Change of the relative error in a sweep below which the fit has converged.

    Raises:
        ValueError: The array does not have four modes, holds NaN or infinity, or a rank is out
            of range.

    Source: De Lathauwer, De Moor and Vandewalle, SIAM J. Matrix Anal. Appl. 21 (2000) 1253,
        Property 10 (upper bound; the lower is Eckart and Young's), and 1324 (iteration).
    """
    from tensorly.decomposition import partial_tucker

    unit, norm, exponent = _unit(kernel)
    _check_ranks(ranks, (CUTS[0], CUTS[1]), unit.shape)
    spatial = unit.shape[2] * unit.shape[3]
    r_out = min(ranks[0], ranks[1] * spatial)
    r_in = min(ranks[1], ranks[0] * spatial)
    if norm == 0:
        core = np.zeros((r_out, r_in, *unit.shape[2:]))
        out_factor, in_factor = np.eye(unit.shape[0], r_out), np.eye(unit.shape[1], r_in)
        return Tucker2(core, out_factor, in_factor, 0.0, 0, True)
    in_first = r_in < ranks[1]  # a lowered rank is fitted first: to the other's space, at no loss
    with _numpy_backend():
        (core, factors), errors = partial_tucker(
            unit.swapaxes(0, 1) if in_first else unit,
            (r_in, r_out) if in_first else (r_out, r_in),
            modes=[0, 1],
            n_iter_max=max_sweeps,
            tol=tolerance,
        )
    out_factor, in_factor = factors
    if in_first:
        core, out_factor, in_factor = core.swapaxes(0, 1), in_factor, out_factor
    difference = unit - _tucker2_kernel(core, out_factor, in_factor)
    return Tucker2(
        core=np.ldexp(core * norm, exponent),
        out_factor=out_factor,
        in_factor=in_factor,
        relative_error=float(np.linalg.norm(difference)),
        n_sweeps=len(errors),
        converged=len(errors) > 1 and abs(errors[-2] - errors[-1]) < tolerance,
    )


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
    def stored_parameters(self) -> int:
        """Entries of the four cores."""
        return sum(core.size for core in self.cores)

    def kernel(self) -> Floats:
        """Return the reconstructed kernel, float64, shape (out, in, kh, kw)."""
        return _tensor_train_kernel(self.cores)


def tensor_train(kernel: Array, ranks: tuple[int, int, int]) -> TensorTrain:
    """Return the tensor train of a kernel in the order OUT, IN, KH, KW, by successive SVDs.

    max(tails) ≤ ‖K − K̂‖ ≤ √Σ tails², with the tails √Σ_{i>r} s_i² of the cuts `TT_CUTS`.

    Args:
        kernel: Kernel of shape (out, in, kh, kw), of any real dtype.
        ranks: (r₁, r₂, r₃), each at most the number of Schmidt values of its cut in `TT_CUTS`.

    Raises:
        ValueError: The array does not have four modes, holds NaN or infinity, or a rank is out
            of range.

    Source: Oseledets, SIAM J. Sci. Comput. 33 (2011) 2295, Theorem 2.2 (upper bound; the lower
        is Eckart and Young's).
    """
    from tensorly.decomposition import tensor_train as tt_svd

    unit, norm, exponent = _unit(kernel)
    _check_ranks(ranks, TT_CUTS, unit.shape)
    with _numpy_backend():
        cores = _four(tt_svd(unit, [1, *ranks, 1]).factors)
    error = float(np.linalg.norm(unit - _tensor_train_kernel(cores)))
    return TensorTrain((*cores[:3], np.ldexp(cores[3] * norm, exponent)), error)


def _tucker2_kernel(core: Floats, out_factor: Floats, in_factor: Floats) -> Floats:
    partial = np.tensordot(out_factor, core, axes=(1, 0))
    return np.tensordot(in_factor, partial, axes=(1, 1)).swapaxes(0, 1)


def _tensor_train_kernel(cores: Sequence[Floats]) -> Floats:
    chain = reduce(lambda left, core: np.tensordot(left, core, axes=(-1, 0)), cores)
    return chain[0, ..., 0]


def _unit(kernel: Array) -> tuple[Floats, float, int]:
    """Return (u, norm, e) with kernel = u · norm · 2^e, ‖u‖ = 1; the zero kernel has norm 0."""
    matrix_shape(kernel.shape, CUTS[0])
    values, exponent = scaled(kernel)
    norm = float(np.linalg.norm(values))
    return values / (norm or 1.0), norm, exponent


def _check_ranks(ranks: Sequence[int], cuts: Sequence[Cut], shape: Sequence[int]) -> None:
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


def _unit_columns(factor: Floats) -> Floats:
    columns: Floats = factor / np.linalg.norm(factor, axis=0)
    return columns


def _four(arrays: Sequence[Any]) -> tuple[Floats, Floats, Floats, Floats]:
    first, second, third, fourth = (np.asarray(array, dtype=np.float64) for array in arrays)
    return first, second, third, fourth


@contextmanager
def _numpy_backend() -> Iterator[None]:
    """Compute on NumPy whatever tensorly's global backend is (importing some packages sets it)."""
    import tensorly

    with tensorly.backend_context("numpy", local_threadsafe=True):
        yield
