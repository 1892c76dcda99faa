"""Kernels drawn from a chosen spectrum, so that the truth about them is known.

Entries drawn independently would mostly make zero or rank-deficient matrices. Here the Schmidt
values across a cut are drawn first, and the kernel is made from them and random Schmidt vectors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from compressibility.tensors.arrays import Shape
from compressibility.tensors.modes import CUTS, Cut, matrix_shape, tensorize
from compressibility.tensors.spectra import Spectrum

EPS = float(np.finfo(np.float64).eps)
SCALES = (1e-30, 1e-6, 1.0, 1e6, 1e30)
DTYPES = (np.float32, np.float64)


class SpectrumKind(Enum):
    GENERIC = "distinct values within a factor of a hundred"
    DEGENERATE = "two equal values at least, none zero"
    DEFICIENT = "a zero value at least, and one that is not"
    DOMINATED = "one value, the others smaller by many orders of magnitude"
    ZERO = "the zero kernel"


class ShapeKind(Enum):
    SQUARE = "k×k, k from 2 to 3"
    OBLONG = "kh≠kw"
    POINTWISE = "1×1"
    DEPTHWISE = "one input channel a group"
    GROUPED = "fewer input than output channels, as a grouped convolution stores them"
    SINGLE = "modes of size one anywhere"


@dataclass(frozen=True, eq=False)
class DrawnKernel:
    """A kernel whose Schmidt values across one cut are known."""

    array: NDArray[Any]
    cut: Cut
    schmidt_values: NDArray[np.float64]
    kind: SpectrumKind

    @property
    def exact(self) -> NDArray[np.float64]:
        """The kernel in float64: the same numbers."""
        return self.array.astype(np.float64)

    @property
    def norm(self) -> float:
        return float(np.linalg.norm(self.exact))

    @property
    def tolerance(self) -> float:
        """Rounding of a decomposition and of a product in float64."""
        return 50 * EPS * self.norm

    def __repr__(self) -> str:
        return (
            f"<{self.kind.name} {self.array.dtype} kernel {self.array.shape}, cut "
            f"{self.cut.label}, Schmidt values {self.schmidt_values.tolist()}>"
        )


def cuts() -> st.SearchStrategy[Cut]:
    return st.sampled_from(CUTS)


def seeds() -> st.SearchStrategy[int]:
    return st.integers(0, 2**32 - 1)


@st.composite
def shapes(draw: Callable[..., Any], kind: ShapeKind | None = None) -> Shape:
    """Shapes of small kernels, of one kind or of all."""
    kind = draw(st.sampled_from(ShapeKind)) if kind is None else kind
    out = draw(st.integers(2, 7))
    in_ = draw(st.integers(2, 5))
    height = draw(st.integers(2, 3))
    match kind:
        case ShapeKind.SQUARE:
            return out, in_, height, height
        case ShapeKind.OBLONG:
            width = draw(st.sampled_from([k for k in (1, 2, 3) if k != height]))
            return (out, in_, height, width) if draw(st.booleans()) else (out, in_, width, height)
        case ShapeKind.POINTWISE:
            return out, in_, 1, 1
        case ShapeKind.DEPTHWISE:
            return out, 1, height, height
        case ShapeKind.GROUPED:
            return draw(st.integers(2, 3)) * in_, in_, height, height
        case ShapeKind.SINGLE:
            return tuple(draw(st.integers(1, 2)) for _ in range(4))


def possible_kinds(n: int) -> tuple[SpectrumKind, ...]:
    """The kinds that n Schmidt values can have."""
    return tuple(SpectrumKind) if n > 1 else (SpectrumKind.GENERIC, SpectrumKind.ZERO)


@st.composite
def schmidt_values(draw: Callable[..., Any], n: int, kind: SpectrumKind) -> NDArray[np.float64]:
    """Descending Schmidt values of a kind, the largest about 1 (0 for the zero kernel)."""
    if kind is SpectrumKind.ZERO:
        return np.zeros(n)
    if kind is SpectrumKind.DOMINATED:
        exponents = draw(st.lists(st.integers(3, 15), min_size=n - 1, max_size=n - 1))
        return np.array([1.0, *sorted((10.0**-k for k in exponents), reverse=True)])
    steps = st.integers(1, 100)  # hundredths
    if kind is SpectrumKind.GENERIC:
        drawn = draw(st.lists(steps, min_size=n, max_size=n, unique=True))
    elif kind is SpectrumKind.DEFICIENT:
        rank = draw(st.integers(1, n - 1))
        drawn = draw(st.lists(steps, min_size=rank, max_size=rank)) + [0] * (n - rank)
    else:
        levels = draw(st.lists(steps, min_size=1, max_size=n - 1, unique=True))
        chosen = st.sampled_from(levels)
        drawn = draw(st.lists(chosen, min_size=n, max_size=n))
    return np.array(sorted(drawn, reverse=True)) / 100


@st.composite
def spectra(draw: Callable[..., Any], kind: SpectrumKind | None = None) -> Spectrum:
    """Spectra of 1 (2 where the kind needs it) to 12 values, at all scales."""
    kind = draw(st.sampled_from(SpectrumKind)) if kind is None else kind
    n = draw(st.integers(1 if kind in possible_kinds(1) else 2, 12))
    return Spectrum(draw(schmidt_values(n, kind)) * draw(st.sampled_from(SCALES)))


@st.composite
def kernels(
    draw: Callable[..., Any],
    kinds: tuple[SpectrumKind, ...] = tuple(SpectrumKind),
    shape: st.SearchStrategy[Shape] | None = None,
) -> DrawnKernel:
    """Kernels of drawn shape, cut, Schmidt values, scale and dtype.

    Where the cut of the drawn shape has a single Schmidt value, so that some kinds cannot be, the
    kind is drawn from those of ``kinds`` that can (GENERIC if none can).
    """
    drawn_shape = draw(shapes() if shape is None else shape)
    cut = draw(cuts())
    rows, columns = matrix_shape(drawn_shape, cut)
    n = min(rows, columns)
    possible = [kind for kind in kinds if kind in possible_kinds(n)] or [SpectrumKind.GENERIC]
    kind = draw(st.sampled_from(possible))
    values = draw(schmidt_values(n, kind)) * draw(st.sampled_from(SCALES))
    rng = np.random.default_rng(draw(seeds()))
    U, Vh = orthonormal(rows, n, rng), orthonormal(columns, n, rng).T
    array = tensorize((U * values) @ Vh, cut, drawn_shape)
    return DrawnKernel(array.astype(draw(st.sampled_from(DTYPES))), cut, values, kind)


def nonzero_kernels(**options: Any) -> st.SearchStrategy[DrawnKernel]:
    return kernels(kinds=tuple(k for k in SpectrumKind if k is not SpectrumKind.ZERO), **options)


@dataclass(frozen=True, eq=False)
class DrawnComponents:
    """A kernel that is a sum of R products, and the only such sum of R or fewer."""

    weights: NDArray[np.float64]
    factors: tuple[NDArray[np.float64], ...]

    @property
    def rank(self) -> int:
        return self.weights.size

    def __repr__(self) -> str:
        shape = tuple(factor.shape[0] for factor in self.factors)
        return f"<{shape} kernel of {self.rank} components, weights {self.weights.tolist()}>"


@st.composite
def components(draw: Callable[..., Any], max_rank: int = 3) -> DrawnComponents:
    """Unit components of known weights, well apart, in all scales.

    The factors of OUT, IN and KH have linearly independent columns, so that by Kruskal's theorem
    (Linear Algebra Appl. 18 (1977) 95) no other sum of as few products is the same kernel.
    """
    rank = draw(st.integers(1, max_rank))
    rng = np.random.default_rng(draw(seeds()))
    sizes = (
        rank + draw(st.integers(1, 4)),
        rank + draw(st.integers(0, 3)),
        draw(st.integers(max(rank, 1), 3)),
        draw(st.integers(1, 3)),
    )
    factors = []
    for axis, size in enumerate(sizes):
        factor = rng.standard_normal((size, rank))
        if axis < 3:
            factor = orthonormal(size, rank, rng) + 0.15 * factor / np.linalg.norm(factor, axis=0)
        factors.append(factor / np.linalg.norm(factor, axis=0))
    tenths = draw(st.lists(st.integers(5, 14), min_size=rank, max_size=rank, unique=True))
    scale = draw(st.sampled_from(SCALES))
    return DrawnComponents(np.array(sorted(tenths, reverse=True)) / 10 * scale, tuple(factors))


def orthonormal(rows: int, columns: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A random matrix of orthonormal columns."""
    return np.linalg.qr(rng.standard_normal((rows, columns)))[0]
