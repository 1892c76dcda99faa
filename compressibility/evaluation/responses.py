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

from compressibility.tensors.arrays import Floating
from compressibility.tensors.chains import Chain
from compressibility.tensors.modes import Mode
from compressibility.tensors.schmidt import SchmidtDecomposition

Response: TypeAlias = Callable[[Tensor], Iterator[Tensor]]
"""From a layer's input to its outputs, one after the other, each a tensor of its own."""


@dataclass(frozen=True, eq=False)
class Convolution:
    """What a ``Conv2d`` does beside its kernel; a ``Linear`` layer is one of 1 by 1.

    Attributes:
        stride: Of height and width.
        padding: Zeros on both sides of height and width.
        beforehand: Padding that ``conv2d`` cannot add: the arguments of ``pad``, or none.
        dilation: Of height and width.
        groups: As in ``Conv2d``.
        bias: Shape (OUT,), or none.
        factor: Shape (OUT,), float64: what every kernel is multiplied by along OUT, for a batch
            norm that was folded into the layer.
        linear: Whether the input has its channels last and no image axes.
        device: Where the kernels go.
    """

    stride: tuple[int, int]
    padding: tuple[int, int]
    beforehand: tuple[list[int], str] | None
    dilation: tuple[int, int]
    groups: int
    bias: Tensor | None
    factor: NDArray[np.float64] | None
    linear: bool
    device: torch.device

    @classmethod
    def of(cls, module: nn.Module, factor: Tensor | None = None) -> "Convolution":
        """The convolution of a plain ``Conv2d`` or ``Linear``."""
        scale = None if factor is None else factor.detach().cpu().numpy()
        linear = isinstance(module, nn.Linear)
        if isinstance(module, nn.Conv2d):
            left, right, top, bottom = module._reversed_padding_repeated_twice
            mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
            own = mode == "constant" and left == right and top == bottom
            return cls(
                stride=_pair(module.stride),
                padding=(top, left) if own else (0, 0),
                beforehand=None if own else ([left, right, top, bottom], mode),
                dilation=_pair(module.dilation),
                groups=module.groups,
                bias=module.bias,
                factor=scale,
                linear=linear,
                device=module.weight.device,
            )
        assert isinstance(module, nn.Linear)
        return cls(
            stride=(1, 1),
            padding=(0, 0),
            beforehand=None,
            dilation=(1, 1),
            groups=1,
            bias=module.bias,
            factor=scale,
            linear=linear,
            device=module.weight.device,
        )

    def padded(self, images: Tensor) -> Tensor:
        """The input with the padding that ``conv2d`` cannot add."""
        return images if self.beforehand is None else functional.pad(images, *self.beforehand)

    def tensor(self, kernel: Floating) -> Tensor:
        """A kernel as float32 on the device, channels last."""
        array = torch.from_numpy(np.ascontiguousarray(kernel, dtype=np.float32))
        return array.to(self.device).contiguous(memory_format=torch.channels_last)

    def folded(self, kernel: Floating) -> Floating:
        """A kernel, OUT its first axis, times the factor of its output channels."""
        if self.factor is None:
            return kernel
        return kernel * self.factor.reshape(-1, *(1,) * (kernel.ndim - 1))

    def apply(self, padded: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
        """The layer's output for a kernel that is folded already."""
        if self.linear:
            return functional.linear(padded, kernel[:, :, 0, 0], bias)
        return functional.conv2d(
            padded, kernel, bias, self.stride, self.padding, self.dilation, self.groups
        )

    def along(self, modes: Collection[Mode]) -> "Convolution":
        """The stride, padding and dilation of some image axes, without those of the others."""

        def kept(values: tuple[int, int], otherwise: int) -> tuple[int, int]:
            height, width = values
            return (
                height if Mode.KH in modes else otherwise,
                width if Mode.KW in modes else otherwise,
            )

        return replace(
            self,
            stride=kept(self.stride, 1),
            padding=kept(self.padding, 0),
            dilation=kept(self.dilation, 1),
        )


def of_kernels(layer: Convolution, kernels: Sequence[Floating]) -> Response:
    """One convolution for each kernel (OUT, IN, KH, KW)."""
    weights = [layer.tensor(layer.folded(kernel)) for kernel in kernels]

    def outputs(images: Tensor) -> Iterator[Tensor]:
        padded = layer.padded(images)
        for weight in weights:
            yield layer.apply(padded, weight, layer.bias)

    return outputs


def of_truncations(
    layer: Convolution, decomposition: SchmidtDecomposition, ranks: Sequence[int]
) -> Response:
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
        layer.groups > 1
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
    parts = [
        (part, folded[:, part].contiguous(memory_format=torch.channels_last)) for part in intervals
    ]

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
    before, after = replace(layer.along(first.modes), groups=channels), layer.along(second.modes)
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


def _pair(value: tuple[int, ...] | int) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
