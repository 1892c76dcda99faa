"""The CP decomposition of a kernel, a sum of products, with its health."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np

from compressibility.tensors.arrays import Array, Floats, Shape
from compressibility.tensors.chains import Chain, Link
from compressibility.tensors.fitting import four, normalised, on_numpy
from compressibility.tensors.modes import Mode

CP_FORMS: Final = ("fitted", "corrected")
"""A fit as it was found, and with components as small as they get at its error."""
HIGHEST_RANK: Final = 256
"""Beyond it no kernel is decomposed."""
DIVERGENCE: Final = 10.0
"""Largest component norm / ‖K‖ above which a CP fit counts as diverged: its components cancel."""


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
    def shape(self) -> Shape:
        """Shape (out, in, kh, kw) of the kernel."""
        out, in_, height, width = (len(factor) for factor in self.factors)
        return out, in_, height, width

    @property
    def sensitivity(self) -> float:
        """Expected squared change of K̂ when every factor entry gets noise of variance σ², over σ².

        To first order in σ², each component's weight shared equally by its four columns, where it
        is least: Σ_r λ_r^(3/2) (out + in + kh + kw). It has the units of ‖K‖^(3/2); NaN where the
        fit failed.

        Source: Phan et al., ECCV 2020, arXiv:2008.05441, equation 5, for four modes.
        """
        return float((self.weights**1.5).sum() * sum(self.shape))

    @property
    def norm_loss(self) -> float:
        """1 − ‖K̂‖/‖K‖; below zero where the fit is longer than the kernel, NaN where it failed."""
        if self.weights[0] == 0:  # of the zero kernel, or nothing of another
            return self.relative_error
        fractions = self.weights / self.weights[0] * self.largest_component
        return 1 - float(np.linalg.norm(cp_kernel(fractions, self.factors)))

    @property
    def stored_parameters(self) -> int:
        """Entries of the four factors, the weights absorbed in one: R (out + in + kh + kw)."""
        return sum(factor.size for factor in self.factors)

    def kernel(self) -> Floats:
        """Return the reconstructed kernel, float64, shape (out, in, kh, kw)."""
        return cp_kernel(self.weights, self.factors)

    def chain(self) -> Chain:
        """Return it as small kernels in a row, of `stored_parameters` entries.

        1×1 from IN to R channels, each then with one filter along KH and one along KW, 1×1 to OUT.

        Source: Lebedev et al., ICLR 2015, arXiv:1412.6553.
        """
        A, B, C, D = self.factors
        rank = self.weights.size
        links = (
            Link(B.T[:, :, None, None]),
            Link(C.T[:, None, :, None], (Mode.KH,), groups=rank),
            Link(D.T[:, None, None, :], (Mode.KW,), groups=rank),
            Link((A * self.weights)[:, :, None, None]),
        )
        return Chain(links, self.shape)


@dataclass(frozen=True, eq=False)
class CPStarts:
    """CP fits of one kernel from several starts.

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
        """Largest minus smallest relative error over the fits that did not fail; NaN if all did."""
        errors = np.array([fit.relative_error for fit in self.fits])
        found = errors[np.isfinite(errors)]
        return float(np.ptp(found)) if found.size else float("nan")


def cp(
    kernel: Array,
    rank: int,
    rng: np.random.Generator,
    *,
    max_sweeps: int = 500,
    tolerance: float = 1e-8,
    l2_reg: float = 1e-5,
    singular: bool = False,
) -> CP:
    """Fit a CP decomposition from one start, by alternating least squares.

    Args:
        kernel: Kernel of shape (out, in, kh, kw), or (out, in), of any real dtype.
        rank: Number of components, at least 1.
        rng: Source of the start: factors of uniformly distributed unit columns.
        singular: Start from the leading singular vectors of the kernel along each mode instead, and
            from random columns only beyond those.
        max_sweeps: Sweeps at most.
        tolerance: Change of the relative error in a sweep below which the fit has converged.
        l2_reg: Ridge on the factors of the kernel scaled to unit norm. It keeps the components
            from growing and cancelling, but slows the sweeps and leaves a relative error of some
            10 to 50 times itself on a kernel that has an exact fit.

    Raises:
        ValueError: The array is no kernel, holds NaN or infinity, or the rank is
            below 1.

    Source: Kolda and Bader, SIAM Review 51 (2009) 455, section 3.4, both starts included.

    Examples:
        >>> product = np.einsum("o,i,h,w->oihw", *(np.arange(1.0, n + 1) for n in (8, 4, 3, 3)))
        >>> fit = cp(product, 1, np.random.default_rng(0), l2_reg=0)
        >>> fit.relative_error < 1e-12, fit.converged, fit.diverged, fit.stored_parameters
        (True, True, False, 18)
    """
    from tensorly.decomposition import parafac

    unit, norm, exponent = normalised(kernel)
    if rank < 1:
        raise ValueError(f"CP rank {rank} has no component: choose at least 1")
    start = [_unit_columns(rng.standard_normal((size, rank))) for size in unit.shape]
    if singular:
        start = [_led(columns, unit, mode) for mode, columns in enumerate(start)]
    if norm == 0:
        weights, factors = canonical(np.zeros(rank), start)
        return CP(weights, factors, 0.0, 0.0, 0, True)

    errors: list[float] = []
    with on_numpy(), np.errstate(all="ignore"):  # what overflows is reported as diverged
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
        return CP(np.full(rank, np.nan), four(nothing), np.nan, np.nan, n_sweeps, False)

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
    singular_first: bool = False,
) -> CPStarts:
    """Fit a CP decomposition from several starts; see `cp`.

    Args:
        kernel: Kernel of shape (out, in, kh, kw), or (out, in), of any real dtype.
        rank: Number of components, at least 1.
        rng: Source of the starts, one after the other.
        n_starts: Number of starts, at least 1.
        max_sweeps: Sweeps at most, each start.
        tolerance: Change of the relative error in a sweep below which a fit has converged.
        l2_reg: Ridge on the factors.
        singular_first: Take the first start from singular vectors; the others are random.

    Raises:
        ValueError: As for `cp`, or there is no start.

    Examples:
        >>> kernel = np.random.default_rng(0).standard_normal((6, 5, 3, 3))
        >>> starts = cp_starts(kernel, 2, np.random.default_rng(1), max_sweeps=50)
        >>> len(starts.fits), starts.best.relative_error == min(
        ...     fit.relative_error for fit in starts.fits
        ... )
        (3, True)
    """
    if n_starts < 1:
        raise ValueError(f"{n_starts} starts give no fit: choose at least 1")
    return CPStarts(
        tuple(
            cp(
                kernel,
                rank,
                rng,
                max_sweeps=max_sweeps,
                tolerance=tolerance,
                l2_reg=l2_reg,
                singular=singular_first and number == 0,
            )
            for number in range(n_starts)
        )
    )


def highest_rank(shape: Sequence[int]) -> int:
    """The rank beyond which a CP decomposition of a kernel need not go, `HIGHEST_RANK` at most.

    The product of all sizes but the largest: with so many components every kernel is exact.

    Examples:
        >>> highest_rank((64, 3, 3, 3)), highest_rank((64, 32, 3, 3))
        (27, 256)
    """
    sizes = sorted(shape)
    return min(HIGHEST_RANK, int(np.prod(sizes[:-1])))


def cp_kernel(weights: Floats, factors: Sequence[Floats]) -> Floats:
    """Return the kernel Σ_r λ_r A[o,r] B[i,r] C[h,r] D[w,r].

    Args:
        weights: λ, shape (R,).
        factors: A, B, C, D, shapes (out, R), (in, R), (kh, R), (kw, R).

    Examples:
        >>> ones = [np.ones((n, 1)) for n in (4, 2, 3, 3)]
        >>> kernel = cp_kernel(np.array([5.0]), ones)
        >>> kernel.shape, bool((kernel == 5).all())
        ((4, 2, 3, 3), True)
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

    Examples:
        >>> factors = [np.array([[1.0, 3.0]]), *(np.array([[-2.0, 1.0]]) for _ in range(3))]
        >>> weights, (A, B, *_) = canonical(np.array([1.0, 1.0]), factors)
        >>> weights, A, B
        (array([8., 3.]), array([[-1.,  1.]]), array([[1., 1.]]))
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
    return np.abs(signed)[order], four([unit[:, order] for unit in units])


def _led(columns: Floats, unit: Floats, mode: int) -> Floats:
    """Columns that begin with the left singular vectors of a kernel along one mode."""
    matrix = np.moveaxis(unit, mode, 0).reshape(unit.shape[mode], -1)
    vectors = np.linalg.svd(matrix, full_matrices=False)[0][:, : columns.shape[1]]
    return np.hstack([vectors, columns[:, vectors.shape[1] :]])


def _unit_columns(factor: Floats) -> Floats:
    columns: Floats = factor / np.linalg.norm(factor, axis=0)
    return columns
