"""The Tucker decomposition of a kernel over its channel modes, with its health."""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from compressibility.tensors.arrays import Array, Floats, Shape
from compressibility.tensors.chains import IMAGE_MODES, Chain, Link
from compressibility.tensors.fitting import normalised, on_numpy, require_ranks
from compressibility.tensors.modes import CUTS


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
    def shape(self) -> Shape:
        """Shape (out, in, kh, kw) of the kernel."""
        return len(self.out_factor), len(self.in_factor), self.core.shape[2], self.core.shape[3]

    @property
    def norm_loss(self) -> float:
        """1 − ‖K̂‖/‖K‖. K̂ is an orthogonal projection of K, so that the error alone tells it."""
        discarded = min(self.relative_error, 1.0) ** 2
        return discarded / (1 + sqrt(1 - discarded))

    @property
    def stored_parameters(self) -> int:
        """Entries of the core and the two factors: r_out r_in kh kw + out r_out + in r_in."""
        return self.core.size + self.out_factor.size + self.in_factor.size

    def kernel(self) -> Floats:
        """Return the reconstructed kernel, float64, shape (out, in, kh, kw)."""
        return _tucker2_kernel(self.core, self.out_factor, self.in_factor)

    def chain(self) -> Chain:
        """Return it as small kernels in a row, of `stored_parameters` entries.

        1×1 from IN to r_in channels, the core from these to r_out, 1×1 to OUT.

        Source: Kim et al., ICLR 2016, arXiv:1511.06530.
        """
        links = (
            Link(self.in_factor.T[:, :, None, None]),
            Link(self.core, IMAGE_MODES),
            Link(self.out_factor[:, :, None, None]),
        )
        return Chain(links, self.shape)


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
        kernel: Kernel of shape (out, in, kh, kw), or (out, in), of any real dtype.
        ranks: (r_out, r_in), each at most the number of Schmidt values of its cut.
        max_sweeps: Sweeps at most.
        tolerance: Change of the relative error in a sweep below which the fit has converged.

    Raises:
        ValueError: The array is no kernel, holds NaN or infinity, or a rank is out
            of range.

    Source: De Lathauwer, De Moor and Vandewalle, SIAM J. Matrix Anal. Appl. 21 (2000) 1253,
        Property 10 (upper bound; the lower is Eckart and Young's), and 1324 (iteration).

    Examples:
        >>> kernel = np.random.default_rng(0).standard_normal((16, 8, 3, 3))
        >>> fit = tucker2(kernel, (4, 2))
        >>> fit.ranks, fit.stored_parameters, fit.chain().parameters
        ((4, 2), 152, 152)
        >>> tucker2(kernel, (16, 8)).relative_error < 1e-12
        True
    """
    from tensorly.decomposition import partial_tucker

    unit, norm, exponent = normalised(kernel)
    require_ranks(ranks, (CUTS[0], CUTS[1]), unit.shape)
    spatial = unit.shape[2] * unit.shape[3]
    r_out = min(ranks[0], ranks[1] * spatial)
    r_in = min(ranks[1], ranks[0] * spatial)
    if norm == 0:
        core = np.zeros((r_out, r_in, *unit.shape[2:]))
        out_factor, in_factor = np.eye(unit.shape[0], r_out), np.eye(unit.shape[1], r_in)
        return Tucker2(core, out_factor, in_factor, 0.0, 0, True)
    in_first = r_in < ranks[1]  # a lowered rank is fitted first: to the other's space, at no loss
    with on_numpy():
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


def _tucker2_kernel(core: Floats, out_factor: Floats, in_factor: Floats) -> Floats:
    partial = np.tensordot(out_factor, core, axes=(1, 0))
    return np.tensordot(in_factor, partial, axes=(1, 1)).swapaxes(0, 1)
