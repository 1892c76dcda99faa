"""Forward passes of several variants that are entered at one layer."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from compressibility.evaluation.resumption import Entry
from compressibility.evaluation.variants import Kernels, Variants
from compressibility.networks.arithmetic import cast

Values: TypeAlias = Mapping[Any, Any]
"""What lies in front of an entry, by node, for some images."""


class Rounded(NamedTuple):
    """What a variant answers in lower precision, as float32, and the first layer's output."""

    variant: int
    outputs: Tensor
    layer_output: Tensor


class Again(NamedTuple):
    """Images of a variant to be repeated in float32: their numbers, the first layer's output."""

    variant: int
    images: Tensor
    layer_output: Tensor


class Passes(Protocol):
    """Variants that differ from the network at one layer, and perhaps at others behind it."""

    entry: Entry

    def __len__(self) -> int:
        """Number of variants."""

    def exact(self, values: Values) -> Iterator[tuple[int, Tensor]]:
        """Number and outputs of each variant, from what lies in front of the entry, float32."""

    def among(self, values: Values, numbers: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """The same of some variants, computed in the way of all, beside strange images."""

    def rounded(self, values: Values) -> Iterator[Rounded]:
        """The same, where everything behind the first layer runs in the lower precision."""

    def again(self, values: Values, doubts: Sequence[Again]) -> Sequence[Tensor]:
        """The outputs in float32 of some images of some variants."""

    def only(self, variants: Sequence[int]) -> "Passes":
        """Some of the variants, by number."""


class OneLayer:
    """Variants in which the kernel of one layer is replaced."""

    def __init__(self, entry: Entry, groups: Sequence[Variants], stack: int) -> None:
        """Prepare the layer's outputs for each group; ``stack`` variants run at once."""
        self.entry = entry
        self._groups = groups
        self._stack = stack
        self._responses = [group.response(entry.convolution) for group in groups]

    def __len__(self) -> int:
        """Number of variants."""
        return sum(len(group) for group in self._groups)

    def exact(self, values: Values) -> Iterator[tuple[int, Tensor]]:
        """As in :class:`Passes`; several small batches are joined to one."""
        side = [values[node] for node in self.entry.side]
        outputs = self._layer_outputs(values)
        while some := list(itertools.islice(outputs, self._stack)):
            answers = self.entry.suffix(
                _joined([output for _, output in some]),
                *(_repeated(value, len(some)) for value in side),
            )
            variants = [variant for variant, _ in some]
            del some
            yield from zip(variants, answers.chunk(len(variants)), strict=True)

    def among(self, values: Values, numbers: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """As in :class:`Passes`: the images in reverse are the strange ones, where they can be."""
        for number, output in self._layer_outputs(values):
            if number in numbers:
                parts = [output, *(values[node] for node in self.entry.side)]
                if self.entry.independent:
                    parts = [torch.cat([part, part.flip(0)]) for part in parts]
                yield number, self.entry.suffix(*parts)[: len(output)]

    def rounded(self, values: Values) -> Iterator[Rounded]:
        """As in :class:`Passes`."""
        assert self.entry.lower is not None
        _, dtype = self.entry.lower
        side = [cast(values[node], dtype) for node in self.entry.side]
        for variant, output in self._layer_outputs(values):
            yield Rounded(variant, self.entry.lowered(output, *side), output)

    def again(self, values: Values, doubts: Sequence[Again]) -> Sequence[Tensor]:
        """As in :class:`Passes`; all images share one pass."""
        images = _joined([each.images for each in doubts])
        outputs = _joined([each.layer_output for each in doubts])
        answers: Tensor = self.entry.suffix(
            outputs, *(values[node][images] for node in self.entry.side)
        )
        parts: Sequence[Tensor] = torch.split(answers, [len(each.images) for each in doubts])
        return parts

    def only(self, variants: Sequence[int]) -> "OneLayer":
        """As in :class:`Passes`."""
        kernels = [kernel for group in self._groups for kernel in group.kernels]
        return OneLayer(self.entry, [Kernels([kernels[v] for v in variants])], self._stack)

    def _layer_outputs(self, values: Values) -> Iterator[tuple[int, Tensor]]:
        images = values[self.entry.input]
        return enumerate(
            itertools.chain.from_iterable(response(images) for response in self._responses)
        )


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


def _repeated(value: Any, times: int) -> Any:
    if times == 1:
        return value
    assert isinstance(value, Tensor)
    return torch.cat([value] * times)
