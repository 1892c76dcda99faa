"""Variants of a network: the kernels that take the place of its own."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

import numpy as np

from compressibility.evaluation import responses
from compressibility.evaluation.responses import Convolution, Response
from compressibility.tensors.arrays import Floating
from compressibility.tensors.chains import Chain
from compressibility.tensors.factors import Factors

Replacement: TypeAlias = Chain | Floating
"""A chain of small kernels, or a kernel (OUT, IN, KH, KW)."""

Variant: TypeAlias = Mapping[str, Replacement]
"""Layer to what takes the place of its kernel; other layers keep theirs."""

Changes: TypeAlias = Mapping[str, bytes]
"""Each layer that a variant changes, and the SHA-256 of its new kernel in float32."""

Answer = TypeVar("Answer")


class Variants(Protocol):
    """Kernels of one layer, of which the outputs can be computed together."""

    def __len__(self) -> int:
        """Number of kernels."""

    @property
    def kernels(self) -> Iterable[Floating]:
        """Each kernel, (OUT, IN, KH, KW)."""

    @property
    def way(self) -> str:
        """What tells how the outputs are computed."""

    def response(self, convolution: Convolution) -> Response:
        """The layer's outputs for each kernel."""

    def distinct(self, layer: str, own: Floating) -> "DistinctVariants":
        """The distinct ones, of a layer whose kernel is ``own``.

        Raises:
            ValueError: A kernel or decomposition does not fit, or a rank is not one of 1, …, n.
        """


@dataclass(frozen=True, eq=False)
class DistinctVariants:
    """Variants without repetitions and without those that are the layer's own kernel.

    Attributes:
        variants: The distinct ones; ranks ascend.
        places: For each variant asked for, its place among the distinct ones; None if it is the
            layer's own kernel, bit for bit in float32.
    """

    variants: Variants
    places: Sequence[int | None]

    def as_asked(self, distinct: Sequence[Answer], unchanged: Answer) -> list[Answer]:
        """What is known of the distinct variants, and of the layer's own, for all asked for."""
        return [unchanged if place is None else distinct[place] for place in self.places]


@dataclass(frozen=True, eq=False)
class Kernels:
    """Replacement kernels of one layer, each (OUT, IN, KH, KW)."""

    kernels: Sequence[Floating]

    def __len__(self) -> int:
        """Number of kernels."""
        return len(self.kernels)

    @property
    def way(self) -> str:
        """One convolution for each kernel."""
        return "kernels"

    def response(self, convolution: Convolution) -> Response:
        """One convolution for each kernel."""
        return responses.of_kernels(convolution, self.kernels)

    def distinct(self, layer: str, own: Floating) -> DistinctVariants:
        """Those that are not the layer's own; repetitions are kept."""
        for kernel in self.kernels:
            require_fit(layer, own, kernel)
        same = [same_in_float32(kernel, own) for kernel in self.kernels]
        kept = [k for k, is_own in zip(self.kernels, same, strict=True) if not is_own]
        numbers = iter(range(len(kept)))
        return DistinctVariants(
            Kernels(kept), [None if is_own else next(numbers) for is_own in same]
        )


@dataclass(frozen=True, eq=False)
class Truncations:
    """Truncations of one kernel across one cut to several ranks, in any order, repeated or not."""

    decomposition: Factors
    ranks: Sequence[int]

    def __len__(self) -> int:
        """Number of ranks."""
        return len(self.ranks)

    @property
    def kernels(self) -> Iterator[Floating]:
        """Each truncated kernel."""
        return (self.decomposition.truncated(rank) for rank in self.ranks)

    @property
    def way(self) -> str:
        """Small kernels in a row."""
        return f"cut {self.decomposition.cut.label}"

    def response(self, convolution: Convolution) -> Response:
        """The layer's outputs for each rank; the ranks ascend strictly."""
        return responses.of_truncations(convolution, self.decomposition, self.ranks)

    def distinct(self, layer: str, own: Floating) -> DistinctVariants:
        """Each rank once, ascending, without full rank where that is the layer's own."""
        self._require_ranks(layer, own)
        distinct = sorted({int(rank) for rank in self.ranks})
        if distinct and distinct[-1] == self.decomposition.size:
            full = self.decomposition.truncated(distinct[-1])
            require_fit(layer, own, full)
            if same_in_float32(full, own):
                distinct.pop()
        place = {rank: number for number, rank in enumerate(distinct)}
        return DistinctVariants(
            Truncations(self.decomposition, distinct), [place.get(int(r)) for r in self.ranks]
        )

    def _require_ranks(self, layer: str, own: Floating) -> None:
        decomposition = self.decomposition
        if decomposition.shape != own.shape:
            raise ValueError(
                f"the decomposition is of a {decomposition.shape} kernel, the kernel of {layer} is "
                f"{own.shape}"
            )
        n = decomposition.size
        for rank in self.ranks:
            if int(rank) != rank:
                raise ValueError(f"rank {rank} is no whole number")
            if not 1 <= rank <= n:
                raise ValueError(
                    f"rank {rank} is not one of the {n} Schmidt values of cut "
                    f"{decomposition.cut.label} of {layer}: choose 1 to {n}"
                )


def kernel_of(replacement: Replacement) -> Floating:
    """The kernel that takes a layer's place, (OUT, IN, KH, KW)."""
    return replacement.kernel() if isinstance(replacement, Chain) else replacement


def changes_of(variant: Variant, own: Mapping[str, Floating]) -> Changes:
    """What a variant changes, of a network whose kernels are ``own``.

    Raises:
        ValueError: A kernel does not fit.
    """
    changes = {}
    for layer, replacement in variant.items():
        kernel = kernel_of(replacement)
        require_fit(layer, own[layer], kernel)
        if not same_in_float32(kernel, own[layer]):
            changes[layer] = hashlib.sha256(kernel.astype(np.float32).tobytes()).digest()
    return changes


def require_fit(layer: str, own: Floating, kernel: Floating) -> None:
    """Refuse a kernel that cannot take a layer's place.

    Raises:
        ValueError: It has another shape, or holds NaN or infinity in float32.
    """
    if kernel.shape != own.shape:
        raise ValueError(f"kernel for {layer} has shape {kernel.shape}: it must be {own.shape}")
    bad = ~np.isfinite(kernel.astype(np.float32))
    if bad.any():
        raise ValueError(
            f"kernel for {layer} holds {bad.sum()} NaN or infinite values in float32, the first "
            f"at index {tuple(int(i) for i in np.argwhere(bad)[0])}"
        )


def same_in_float32(kernel: Floating, own: Floating) -> bool:
    """Whether two kernels are the same, bit for bit in float32."""
    return kernel.astype(np.float32).tobytes() == own.astype(np.float32).tobytes()
