"""The modes of a convolution kernel, its seven cuts, and the matrix of a cut.

A kernel is a four-way array ``K[out, in, kh, kw]``, the layout in which PyTorch stores the weight
of a ``Conv2d``; a grouped kernel is taken as stored, ``(OUT, IN / groups, KH, KW)``. The matrix
``(OUT, IN)`` of a linear layer is the kernel ``(OUT, IN, 1, 1)``, as an array and as a shape.

Wherever a cut is asked for, its name will do: ``"OUT"``, or either side in any order of modes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import permutations
from math import prod
from typing import Final

import numpy as np

from compressibility.errors import UserError
from compressibility.tensors.arrays import Array, Shape

TRIVIAL: Final = "trivial"


class Mode(Enum):
    """A mode of the kernel; the value is its name."""

    OUT = "OUT"
    IN = "IN"
    KH = "KH"
    KW = "KW"

    @property
    def axis(self) -> int:
        """The axis of the kernel that this mode is."""
        return _AXES[self]


_AXES: Final = {mode: axis for axis, mode in enumerate(Mode)}


@dataclass(frozen=True)
class Cut:
    """A bipartition of the four modes, written by one side.

    ``modes`` are the modes of the written side; they are kept in the order of their axes, so that
    two cuts with the same side are equal.

    Raises:
        ValueError: A mode is repeated, or one of the two sides has no mode.
    """

    modes: tuple[Mode, ...]

    def __post_init__(self) -> None:
        """Put the modes into the order of their axes."""
        modes = tuple(sorted(self.modes, key=lambda mode: mode.axis))
        if len(set(modes)) != len(modes) or not 0 < len(modes) < len(Mode):
            names = ",".join(mode.value for mode in self.modes)
            raise ValueError(f"cut '{names}' is no bipartition: name one to three different modes")
        object.__setattr__(self, "modes", modes)

    @property
    def label(self) -> str:
        """The names of the written side, as in ``OUT,KW``."""
        return ",".join(mode.value for mode in self.modes)

    @property
    def complement(self) -> "Cut":
        """The same bipartition, written by its other side."""
        return Cut(tuple(mode for mode in Mode if mode not in self.modes))

    @classmethod
    def parse(cls, label: str) -> "Cut":
        """Return the cut of a label, written as in `CUTS`.

        Args:
            label: The modes of either side, in any order: ``OUT,KW`` and ``KH,IN`` are one cut.

        Raises:
            UserError: The label names no cut.

        Examples:
            >>> Cut.parse("KW,OUT").label
            'OUT,KW'
            >>> Cut.parse("IN,KH") == Cut.parse("OUT,KW")
            True
        """
        if label not in _NAMED:
            labels = "; ".join(cut.label for cut in CUTS)
            raise UserError(
                f"unknown cut {label!r}: choose from {labels}, or name the other side of one"
            )
        return _NAMED[label]

    @classmethod
    def of(cls, cut: "Cut | str") -> "Cut":
        """Return the cut itself, or that of a label (see `parse`)."""
        return cls.parse(cut) if isinstance(cut, str) else cut


CUTS: Final = (
    Cut((Mode.OUT,)),
    Cut((Mode.IN,)),
    Cut((Mode.KH,)),
    Cut((Mode.KW,)),
    Cut((Mode.OUT, Mode.IN)),
    Cut((Mode.OUT, Mode.KH)),
    Cut((Mode.OUT, Mode.KW)),
)
"""All bipartitions of the four modes."""

_NAMED: Final = {
    ",".join(mode.value for mode in modes): cut
    for cut in CUTS
    for side in (cut, cut.complement)
    for modes in permutations(side.modes)
}


def matricize(kernel: Array, cut: Cut | str) -> Array:
    """Return the matrix of a kernel across a cut.

    Args:
        kernel: Kernel of shape (out, in, kh, kw), or (out, in).
        cut: The cut; its modes make the rows, the others the columns, each in the order of the
            axes, the last fastest.

    Returns:
        Matrix of shape (rows, columns), with the kernel's dtype.

    Raises:
        ValueError: The array is no kernel.
        UserError: The label names no cut.

    Examples:
        >>> kernel = np.arange(12).reshape(2, 3, 2, 1)
        >>> matricize(kernel, "OUT").shape
        (2, 6)
        >>> matricize(kernel, "OUT,KH")
        array([[ 0,  2,  4],
               [ 1,  3,  5],
               [ 6,  8, 10],
               [ 7,  9, 11]])
    """
    four_way = as_kernel(kernel)
    return four_way.transpose(_order(Cut.of(cut))).reshape(matrix_shape(four_way.shape, cut))


def tensorize(matrix: Array, cut: Cut | str, shape: Sequence[int]) -> Array:
    """Return the kernel whose matrix across a cut this is: the inverse of `matricize`.

    Args:
        matrix: Matrix of shape (rows, columns).
        cut: The cut.
        shape: Shape (out, in, kh, kw) of the kernel.

    Returns:
        Kernel of shape (out, in, kh, kw), with the matrix's dtype.

    Raises:
        ValueError: The matrix does not have the shape that the cut gives to such a kernel.
        UserError: The label names no cut.

    Examples:
        >>> kernel = np.random.default_rng(0).standard_normal((4, 3, 2, 2))
        >>> matrix = matricize(kernel, "OUT,KW")
        >>> bool((tensorize(matrix, "OUT,KW", kernel.shape) == kernel).all())
        True
    """
    cut, sizes = Cut.of(cut), _four_way(shape)
    expected = matrix_shape(sizes, cut)
    if matrix.shape != expected:
        raise ValueError(
            f"matrix of shape {matrix.shape} does not fit cut {cut.label} of a kernel of shape "
            f"{sizes}: it needs shape {expected}"
        )
    order = _order(cut)
    return matrix.reshape([sizes[axis] for axis in order]).transpose(np.argsort(order))


def matrix_shape(shape: Sequence[int], cut: Cut | str) -> tuple[int, int]:
    """Return (rows, columns) of the matricization of a kernel of this shape.

    Raises:
        ValueError: The shape is no kernel's.
        UserError: The label names no cut.

    Examples:
        >>> matrix_shape((64, 32, 3, 3), "OUT,IN")
        (2048, 9)
    """
    cut, sizes = Cut.of(cut), _four_way(shape)
    rows = prod(sizes[mode.axis] for mode in cut.modes)
    columns = prod(sizes[mode.axis] for mode in cut.complement.modes)
    return rows, columns


def same_as(shape: Sequence[int], cut: Cut | str) -> str:
    """Return the label under which the values of a cut stand.

    Modes of size one correlate with nothing, so they are dropped; cuts that then bipartition the
    remaining modes alike are one cut.

    Args:
        shape: Shape (out, in, kh, kw) of the kernel.
        cut: The cut.

    Returns:
        The label of the first of `CUTS` that is equal to the cut, which is the cut's own label
        where no earlier one is; ``trivial`` where one side has no mode larger than one.

    Raises:
        ValueError: The shape is no kernel's.
        UserError: The label names no cut.

    Examples:
        >>> same_as((64, 32, 1, 1), "IN"), same_as((64, 32, 1, 1), "KH")
        ('OUT', 'trivial')
    """
    sizes = _four_way(shape)
    sides = _sides(sizes, Cut.of(cut))
    if frozenset() in sides:
        return TRIVIAL
    return next(other.label for other in CUTS if _sides(sizes, other) == sides)


def distinct_cuts(shape: Sequence[int]) -> tuple[Cut, ...]:
    """Return the cuts that are neither trivial nor equal to an earlier one.

    Args:
        shape: Shape (out, in, kh, kw) of the kernel.

    Returns:
        Cuts in the order of `CUTS`; seven for a kernel without size-one modes, one for a 1×1
        kernel, none for a kernel with fewer than two modes larger than one.

    Raises:
        ValueError: The shape is no kernel's.

    Examples:
        >>> [cut.label for cut in distinct_cuts((64, 32, 1, 1))]
        ['OUT']
        >>> len(distinct_cuts((64, 32, 3, 3)))
        7
    """
    return tuple(cut for cut in CUTS if same_as(shape, cut) == cut.label)


def as_kernel(weight: Array) -> Array:
    """Return a weight as a four-way kernel.

    Args:
        weight: Kernel (out, in, kh, kw), or the matrix (out, in) of a linear layer.

    Returns:
        The kernel itself, or a view of shape (out, in, 1, 1).

    Raises:
        ValueError: The weight has neither two nor four modes, or one of size zero.
        TypeError: It is no NumPy array.

    Examples:
        >>> as_kernel(np.ones((10, 4))).shape
        (10, 4, 1, 1)
    """
    if not isinstance(weight, np.ndarray):
        raise TypeError(
            f"kernel is a {type(weight).__name__}: pass a NumPy array, such as "
            "weight.detach().numpy()"
        )
    if weight.ndim not in (2, 4) or weight.size == 0:
        raise ValueError(
            f"weight of shape {weight.shape} is no kernel: it needs the four modes "
            "(out, in, kh, kw) of a convolution or the two modes (out, in) of a linear layer"
        )
    return weight[:, :, None, None] if weight.ndim == 2 else weight


def _order(cut: Cut) -> tuple[int, ...]:
    return tuple(mode.axis for mode in (*cut.modes, *cut.complement.modes))


def _sides(shape: Sequence[int], cut: Cut) -> frozenset[frozenset[Mode]]:
    return frozenset(
        frozenset(mode for mode in side if shape[mode.axis] > 1)
        for side in (cut.modes, cut.complement.modes)
    )


def _four_way(shape: Sequence[int]) -> Shape:
    if len(shape) not in (2, 4) or min(shape) < 1:
        raise ValueError(
            f"shape {tuple(shape)} is no kernel's: it needs four sizes (out, in, kh, kw), or the "
            "two of a linear layer, each at least 1"
        )
    out, in_, height, width = (*shape, 1, 1)[:4]
    return out, in_, height, width
