"""The outputs of one layer for many kernels, which share as much work as they can."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from compressibility.tensors.arrays import Floating
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

    def mixed(self, images: Tensor, matrix: Tensor) -> Tensor:
        """The channels mixed by a 1 by 1 kernel."""
        return (
            functional.linear(images, matrix[:, :, 0, 0])
            if self.linear
            else functional.conv2d(images, matrix)
        )

    def restricted(self, axis: int) -> "Convolution":
        """The stride, padding and dilation of height (axis 0) or width (1) alone."""
        keep = (axis == 0, axis == 1)
        return replace(
            self,
            stride=_where(keep, self.stride, 1),
            padding=_where(keep, self.padding, 0),
            dilation=_where(keep, self.dilation, 1),
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

    A convolution is linear in its kernel. So the terms s_i u_i v_i of a Schmidt decomposition are
    convolved once, and summed up to each rank in turn: one convolution (two for OUT,KH and OUT,KW)
    serves all ranks. Where that costs more than a convolution for each rank, as along KH and KW
    with their few ranks and for grouped layers, each rank has its own.
    """
    terms = {
        "OUT": _of_output_channels,
        "IN": _of_input_channels,
        "OUT,KH": _of_filters_along_height,
        "OUT,KW": _of_filters_along_width,
        "OUT,IN": _of_spatial_filters,
    }
    shared = terms.get(decomposition.cut.label)
    separate_cost = len(ranks) * prod(decomposition.shape)
    if (
        shared is None
        or layer.groups > 1
        or (layer.linear and decomposition.cut.label not in ("OUT", "IN"))
        or _cost(decomposition, ranks[-1]) >= separate_cost
    ):
        return of_kernels(layer, [decomposition.truncated(rank) for rank in ranks])
    return _summed(layer, shared(layer, decomposition, ranks))


def _cost(decomposition: SchmidtDecomposition, rank: int) -> int:
    """Multiplications for one output position, where every rank up to ``rank`` is convolved."""
    (rows, _), (_, columns) = decomposition.U.shape, decomposition.Vh.shape
    if decomposition.cut.label == "OUT,IN":
        columns *= 4 * decomposition.shape[1]  # a filter for each channel runs a quarter as fast
    return int(rank * (rows + columns))


def _summed(layer: Convolution, terms: Response) -> Response:
    def outputs(images: Tensor) -> Iterator[Tensor]:
        total: Tensor | None = None
        if layer.bias is not None:
            total = layer.bias if layer.linear else layer.bias.reshape(1, -1, 1, 1)
        for term in terms(layer.padded(images)):
            total = term if total is None else total + term
            yield total

    return outputs


def _intervals(ranks: Sequence[int]) -> list[slice]:
    return [slice(start, stop) for start, stop in itertools.pairwise([0, *ranks])]


def _parts(kernel: Tensor, intervals: Sequence[slice]) -> list[tuple[slice, Tensor]]:
    """The input channels of a kernel, interval by interval."""
    layout = torch.channels_last
    return [(part, kernel[:, part].contiguous(memory_format=layout)) for part in intervals]


def _channels(layer: Convolution, values: Tensor, interval: slice) -> Tensor:
    return values[..., interval] if layer.linear else values[:, interval]


def _of_output_channels(
    layer: Convolution, decomposition: SchmidtDecomposition, ranks: Sequence[int]
) -> Response:
    """K = Σ_r U[OUT, r] V[r, IN, KH, KW]."""
    U, V = decomposition.factors(ranks[-1])
    kernel = layer.tensor(V.reshape(-1, *decomposition.shape[1:]))
    parts = _parts(layer.tensor(layer.folded(U)[:, :, None, None]), _intervals(ranks))

    def terms(padded: Tensor) -> Iterator[Tensor]:
        filtered = layer.apply(padded, kernel)
        for interval, part in parts:
            yield layer.mixed(_channels(layer, filtered, interval), part)

    return terms


def _of_input_channels(
    layer: Convolution, decomposition: SchmidtDecomposition, ranks: Sequence[int]
) -> Response:
    """K = Σ_r U[IN, r] V[r, OUT, KH, KW]."""
    out, _, *window = decomposition.shape
    U, V = decomposition.factors(ranks[-1])
    mixing = layer.tensor(U.T[:, :, None, None])
    kernel = layer.folded(np.moveaxis(V.reshape(-1, out, *window), 0, 1))
    parts = _parts(layer.tensor(kernel), _intervals(ranks))

    def terms(padded: Tensor) -> Iterator[Tensor]:
        mixed = layer.mixed(padded, mixing)
        for interval, part in parts:
            yield layer.apply(_channels(layer, mixed, interval), part)

    return terms


def _of_filters_along_height(
    layer: Convolution, decomposition: SchmidtDecomposition, ranks: Sequence[int]
) -> Response:
    """K = Σ_r U[OUT, KH, r] V[r, IN, KW]."""
    out, in_, height, width = decomposition.shape
    U, V = decomposition.factors(ranks[-1])
    first = layer.tensor(V.reshape(-1, in_, 1, width))
    second = layer.folded(np.moveaxis(U.reshape(out, height, -1), 2, 1)[:, :, :, None])
    return _of_filters(layer, ranks, (1, first), (0, layer.tensor(second)))


def _of_filters_along_width(
    layer: Convolution, decomposition: SchmidtDecomposition, ranks: Sequence[int]
) -> Response:
    """K = Σ_r U[OUT, KW, r] V[r, IN, KH]."""
    out, in_, height, width = decomposition.shape
    U, V = decomposition.factors(ranks[-1])
    first = layer.tensor(V.reshape(-1, in_, height, 1))
    second = layer.folded(np.moveaxis(U.reshape(out, width, -1), 2, 1)[:, :, None, :])
    return _of_filters(layer, ranks, (0, first), (1, layer.tensor(second)))


def _of_filters(
    layer: Convolution,
    ranks: Sequence[int],
    first: tuple[int, Tensor],
    second: tuple[int, Tensor],
) -> Response:
    """Filters along one axis to as many channels as the highest rank, then along the other."""
    before, after = layer.restricted(first[0]), layer.restricted(second[0])
    parts = _parts(second[1], _intervals(ranks))

    def terms(padded: Tensor) -> Iterator[Tensor]:
        filtered = before.apply(padded, first[1])
        for interval, part in parts:
            yield after.apply(filtered[:, interval], part)

    return terms


def _of_spatial_filters(
    layer: Convolution, decomposition: SchmidtDecomposition, ranks: Sequence[int]
) -> Response:
    """K = Σ_r U[OUT, IN, r] V[r, KH, KW]."""
    out, in_, *window = decomposition.shape
    U, V = decomposition.factors(ranks[-1])
    filters = [layer.tensor(np.broadcast_to(each.reshape(window), (in_, 1, *window))) for each in V]
    mixing = [layer.tensor(layer.folded(each.reshape(out, in_))[:, :, None, None]) for each in U.T]
    depthwise = replace(layer, groups=in_)

    def terms(padded: Tensor) -> Iterator[Tensor]:
        for interval in _intervals(ranks):
            parts = (
                layer.mixed(depthwise.apply(padded, filters[index]), mixing[index])
                for index in range(interval.start, interval.stop)
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


def _where(keep: tuple[bool, bool], values: tuple[int, int], other: int) -> tuple[int, int]:
    return (values[0] if keep[0] else other, values[1] if keep[1] else other)
