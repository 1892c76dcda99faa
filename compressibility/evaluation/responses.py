"""The outputs of one layer for many kernels, which share as much work as they can."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from compressibility.networks.geometry import Geometry, Pair
from compressibility.tensors.arrays import Floating
from compressibility.tensors.chains import Chain
from compressibility.tensors.factors import Factors
from compressibility.tensors.modes import Mode

Response: TypeAlias = Callable[[Tensor], Iterator[Tensor]]
"""From a layer's input to its outputs, one after the other, each a tensor of its own."""


@dataclass(frozen=True, eq=False)
class Convolution:
    """What a ``Conv2d`` does beside its kernel; a ``Linear`` layer is one of 1 by 1.

    Attributes:
        geometry: Its stride, padding, dilation and groups.
        bias: Shape (OUT,), or none.
        factor: Shape (OUT,), float64: what every kernel is multiplied by along OUT, for a batch
            norm that was folded into the layer.
        linear: Whether the input has its channels last and no image axes.
        device: Where the kernels go.
        layout: How the kernels lie in memory.
    """

    geometry: Geometry
    bias: Tensor | None
    factor: NDArray[np.float64] | None
    linear: bool
    device: torch.device
    layout: torch.memory_format = torch.channels_last

    @classmethod
    def of(
        cls,
        module: nn.Module,
        factor: Tensor | None = None,
        layout: torch.memory_format = torch.channels_last,
    ) -> "Convolution":
        """The convolution of a plain ``Conv2d`` or ``Linear``."""
        assert isinstance(module, nn.Conv2d | nn.Linear)
        return cls(
            geometry=Geometry.of(module) if isinstance(module, nn.Conv2d) else Geometry(),
            bias=module.bias,
            factor=None if factor is None else factor.detach().cpu().numpy(),
            linear=isinstance(module, nn.Linear),
            device=module.weight.device,
            layout=layout,
        )

    @property
    def pads_itself(self) -> bool:
        """Whether ``conv2d`` can add the padding: as many zeros on both sides."""
        return self.geometry.padding_mode == "zeros" and self.geometry.symmetric

    @property
    def arguments(self) -> tuple[Pair, Pair, Pair, int]:
        """Stride, padding, dilation and groups, as ``conv2d`` takes them."""
        geometry = self.geometry
        padding = (geometry.vertical[0], geometry.horizontal[0]) if self.pads_itself else (0, 0)
        return geometry.stride, padding, geometry.dilation, geometry.groups

    def padded(self, images: Tensor) -> Tensor:
        """The input with the padding that ``conv2d`` cannot add."""
        if self.pads_itself:
            return images
        mode = "constant" if self.geometry.padding_mode == "zeros" else self.geometry.padding_mode
        sides = [*self.geometry.horizontal, *self.geometry.vertical]
        return functional.pad(images, sides, mode)

    def tensor(self, kernel: Floating) -> Tensor:
        """A kernel as float32 on the device."""
        array = torch.from_numpy(np.ascontiguousarray(kernel, dtype=np.float32))
        return array.to(self.device).contiguous(memory_format=self.layout)

    def folded(self, kernel: Floating) -> Floating:
        """A kernel, OUT its first axis, times the factor of its output channels."""
        if self.factor is None:
            return kernel
        return kernel * self.factor.reshape(-1, *(1,) * (kernel.ndim - 1))

    def apply(self, padded: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
        """The layer's output for a kernel that is folded already."""
        if self.linear:
            return functional.linear(padded, kernel[:, :, 0, 0], bias)
        if padded.shape[-3] == 1 and self.geometry.stride != (1, 1):
            # see networks/copies.py on the strides of a single channel
            padded, kernel = (each.flatten().view(each.shape) for each in (padded, kernel))
        return functional.conv2d(padded, kernel, bias, *self.arguments)

    def along(self, modes: Collection[Mode]) -> "Convolution":
        """One that moves along some image axes alone, on an input that is padded already."""
        geometry = self.geometry
        if not self.pads_itself:
            geometry = replace(geometry, vertical=(0, 0), horizontal=(0, 0))
        return replace(self, geometry=geometry.along(modes))


def of_kernels(layer: Convolution, kernels: Sequence[Floating]) -> Response:
    """One convolution for each kernel (OUT, IN, KH, KW)."""
    weights = [layer.tensor(layer.folded(kernel)) for kernel in kernels]

    def outputs(images: Tensor) -> Iterator[Tensor]:
        padded = layer.padded(images)
        for weight in weights:
            yield layer.apply(padded, weight, layer.bias)

    return outputs


def of_truncations(layer: Convolution, decomposition: Factors, ranks: Sequence[int]) -> Response:
    """The outputs for the truncations to ``ranks``, which ascend strictly.

    A convolution is linear in its kernel, and the truncation to a rank is that to a lower rank
    and the channels in between of the same two small kernels in a row. So the first small kernel
    of the highest rank is convolved once, and the second interval by interval, summed up to each
    rank in turn: two convolutions serve all ranks. Where that costs more than a convolution for
    each rank, as along KH or KW alone with their few ranks, for grouped layers, and for cuts of a
    linear layer that are OUT or IN by another name, each rank has its own.
    """
    chain = decomposition.chain(ranks[-1])
    if (
        layer.geometry.groups > 1
        or set(decomposition.cut.modes) in ({Mode.KH}, {Mode.KW})
        or (layer.linear and len(decomposition.cut.modes) > 1)
        or _cost(chain) >= len(ranks) * prod(chain.shape)
    ):
        return of_kernels(layer, [decomposition.truncated(rank) for rank in ranks])
    return _summed(layer, _of_intervals(layer, chain, ranks))


def _cost(chain: Chain) -> int:
    """Multiplications for one output position; those of filters for each channel count fourfold.

    Such filters run a quarter as fast.
    """
    first, second = chain.links
    repeats = chain.repeats[0]
    slowness = 1 if repeats == 1 else 4
    return slowness * repeats * first.kernel.size + second.kernel.size


def _summed(layer: Convolution, terms: Response) -> Response:
    def outputs(images: Tensor) -> Iterator[Tensor]:
        total: Tensor | None = None
        if layer.bias is not None:
            total = layer.bias if layer.linear else layer.bias.reshape(1, -1, 1, 1)
        for term in terms(layer.padded(images)):
            total = term if total is None else total + term
            yield total

    return outputs


def _of_intervals(layer: Convolution, chain: Chain, ranks: Sequence[int]) -> Response:
    """The terms between one rank and the next, from two small kernels of the highest rank."""
    intervals = [slice(start, stop) for start, stop in pairwise([0, *ranks])]
    if chain.repeats[0] > 1:
        return _of_filters_for_each_channel(layer, chain, intervals)
    first, second = chain.links
    before, after = layer.along(first.modes), layer.along(second.modes)
    shared = layer.tensor(first.kernel)
    folded = layer.tensor(layer.folded(second.kernel))
    parts = [(part, folded[:, part].contiguous(memory_format=layer.layout)) for part in intervals]

    def terms(padded: Tensor) -> Iterator[Tensor]:
        values = before.apply(padded, shared)
        for interval, part in parts:
            channels = values[..., interval] if layer.linear else values[:, interval]
            yield after.apply(channels, part)

    return terms


def _of_filters_for_each_channel(
    layer: Convolution, chain: Chain, intervals: Sequence[slice]
) -> Response:
    """The same where all channels share the filters of the first link, one filter at a time."""
    first, second = chain.links
    channels, rank = chain.repeats[0], first.outputs
    before, after = layer.along(first.modes), layer.along(second.modes)
    before = replace(before, geometry=replace(before.geometry, groups=channels))
    filters = [
        layer.tensor(np.broadcast_to(each, (channels, *each.shape))) for each in first.kernel
    ]
    folded = layer.folded(second.kernel)
    mixing = [layer.tensor(folded[:, number::rank]) for number in range(rank)]

    def terms(padded: Tensor) -> Iterator[Tensor]:
        for interval in intervals:
            parts = (
                after.apply(before.apply(padded, filters[number]), mixing[number])
                for number in range(interval.start, interval.stop)
            )
            yield _total(parts)

    return terms


def _total(parts: Iterator[Tensor]) -> Tensor:
    total = next(parts)
    for part in parts:
        total = total + part
    return total
