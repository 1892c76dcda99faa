"""Variants of one network: the kernels that take the place of one layer's own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np

from compressibility.evaluation import responses
from compressibility.evaluation.responses import Convolution, Response
from compressibility.tensors.arrays import Floating
from compressibility.tensors.schmidt import SchmidtDecomposition

Answer = TypeVar("Answer")


@dataclass(frozen=True, eq=False)
class Kernels:
    """Replacement kernels of one layer, each (OUT, IN, KH, KW)."""

    kernels: Sequence[Floating]


@dataclass(frozen=True, eq=False)
class Truncations:
    """Truncations of one kernel across one cut to several ranks, in any order, repeated or not."""

    decomposition: SchmidtDecomposition
    ranks: Sequence[int]


Variants: TypeAlias = Kernels | Truncations


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

    @classmethod
    def of(cls, layer: str, own: Floating, asked: Variants) -> "DistinctVariants":
        """The distinct ones among those asked for, of a layer whose kernel is ``own``.

        Raises:
            ValueError: A kernel or decomposition does not fit, or a rank is not one of 1, …, n.
        """
        match asked:
            case Kernels(kernels):
                for kernel in kernels:
                    _require_fit(layer, own, kernel)
                kept = [kernel for kernel in kernels if not _same_in_float32(kernel, own)]
                numbers = iter(range(len(kept)))
                places = [None if _same_in_float32(k, own) else next(numbers) for k in kernels]
                return cls(Kernels(kept), places)
            case Truncations(decomposition, ranks):
                _require_ranks(layer, own, asked)
                distinct = sorted({int(rank) for rank in ranks})
                if distinct and distinct[-1] == len(decomposition.schmidt_values):
                    full = decomposition.truncated(distinct[-1])
                    _require_fit(layer, own, full)
                    if _same_in_float32(full, own):
                        distinct.pop()
                place = {rank: number for number, rank in enumerate(distinct)}
                return cls(Truncations(decomposition, distinct), [place.get(int(r)) for r in ranks])

    def __len__(self) -> int:
        """Number of distinct variants."""
        match self.variants:
            case Kernels(kernels):
                return len(kernels)
            case Truncations(_, ranks):
                return len(ranks)

    @property
    def kernels(self) -> Iterator[Floating]:
        """Each distinct variant's kernel."""
        match self.variants:
            case Kernels(kernels):
                yield from kernels
            case Truncations(decomposition, ranks):
                for rank in ranks:
                    yield decomposition.truncated(rank)

    def response(self, convolution: Convolution) -> Response:
        """The layer's outputs for the distinct variants."""
        match self.variants:
            case Kernels(kernels):
                return responses.of_kernels(convolution, kernels)
            case Truncations(decomposition, ranks):
                return responses.of_truncations(convolution, decomposition, ranks)

    def as_asked(self, distinct: Sequence[Answer], unchanged: Answer) -> list[Answer]:
        """What is known of the distinct variants, and of the layer's own, for all asked for."""
        return [unchanged if place is None else distinct[place] for place in self.places]


def _require_ranks(layer: str, own: Floating, truncations: Truncations) -> None:
    decomposition = truncations.decomposition
    if decomposition.shape != own.shape:
        raise ValueError(
            f"the decomposition is of a {decomposition.shape} kernel, the kernel of {layer} is "
            f"{own.shape}"
        )
    n = len(decomposition.schmidt_values)
    for rank in truncations.ranks:
        if int(rank) != rank:
            raise ValueError(f"rank {rank} is no whole number")
        if not 1 <= rank <= n:
            raise ValueError(
                f"rank {rank} is not one of the {n} Schmidt values of cut "
                f"{decomposition.cut.label} of {layer}: choose 1 to {n}"
            )


def _require_fit(layer: str, own: Floating, kernel: Floating) -> None:
    if kernel.shape != own.shape:
        raise ValueError(f"kernel for {layer} has shape {kernel.shape}: it must be {own.shape}")
    bad = ~np.isfinite(kernel.astype(np.float32))
    if bad.any():
        raise ValueError(
            f"kernel for {layer} holds {bad.sum()} NaN or infinite values in float32, the first "
            f"at index {tuple(int(i) for i in np.argwhere(bad)[0])}"
        )


def _same_in_float32(kernel: Floating, own: Floating) -> bool:
    return kernel.astype(np.float32).tobytes() == own.astype(np.float32).tobytes()
