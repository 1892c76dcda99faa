"""The layers that realise a truncation with fewer parameters.

Across a cut the truncated kernel is a sum of r products of two smaller kernels: one of the modes
on the side of OUT, one of the others. A convolution with the others, to r channels, and then one
with the side of OUT is the same map. Where IN is not among the others, all channels share the r
filters; where the convolution has groups, all groups share them, since a grouped kernel is taken
as stored. The shared filters are kept once: channels and groups are folded into the batch.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from compressibility.networks.kernels import refusal
from compressibility.tensors.modes import Mode
from compressibility.tensors.schmidt import SchmidtDecomposition


class FactorizedConv2d(nn.Module):
    """Two convolutions in a row, the first shared by all channels, or by all groups.

    Attributes:
        first: From 1 channel, or those of one group, to r; applied to each in turn.
        second: From the r channels of each to the output channels; it holds the bias.
    """

    def __init__(self, first: nn.Conv2d, second: nn.Conv2d) -> None:
        """Join the two; ``second`` takes a multiple of the channels that ``first`` gives."""
        super().__init__()
        self.first = first
        self.second = second

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) or (C, H, W) as the truncated convolution does."""
        shares = self.second.in_channels // self.first.out_channels
        folded = math.prod(images.shape[:-3]) * shares
        alone = images.reshape(folded, self.first.in_channels, *images.shape[-2:])
        features: Tensor = self.first(alone)
        together = (*images.shape[:-3], self.second.in_channels, *features.shape[-2:])
        output: Tensor = self.second(features.reshape(together))
        return output


def factorize(layer: nn.Module, decomposition: SchmidtDecomposition, rank: int) -> nn.Module:
    """The layers that realise the truncation of ``layer`` to ``rank`` across a cut.

    Stride, padding (also "same" and the padding modes), dilation, groups and bias are those of
    ``layer``: those of each image axis go to the convolution that moves along it.

    Args:
        layer: A Conv2d or Linear; it is not changed.
        decomposition: Of a kernel of the layer's shape; it gives cut and factors.
        rank: Schmidt values to keep, 1 to n.

    Returns:
        :class:`FactorizedConv2d`, or two linear layers in a row, in the layer's dtype, device and
        training state, with ``tensors.schmidt.stored_parameters`` entries and the bias.

    Raises:
        ValueError: The layer cannot be realised (the message says why), the decomposition is of
            another shape, or the rank is out of range.
    """
    if not isinstance(layer, nn.Conv2d | nn.Linear) or refusal(layer):
        reason = refusal(layer) or f"{type(layer).__name__} is no Conv2d or Linear"
        raise ValueError(f"the layer cannot be factorised: {reason}")
    shape = (*layer.weight.shape, 1, 1)[:4]
    if decomposition.shape != shape:
        raise ValueError(
            f"the decomposition is of a {decomposition.shape} kernel: the layer's is {shape}"
        )
    others, output = _sides(decomposition, rank)
    if isinstance(layer, nn.Conv2d):
        factors: nn.Module = _convolutions(layer, others, output)
    elif Mode.IN in others.modes:
        factors = _linears(layer, others, output)
    else:
        raise ValueError(
            f"the layer cannot be factorised: cut {decomposition.cut.label} of a linear layer "
            "leaves one side without a mode"
        )
    return factors.train(layer.training)


@dataclass(frozen=True, eq=False)
class _Side:
    """One side of a cut: its modes, and its r small kernels (r, OUT, IN, KH, KW).

    Absent modes have size 1.
    """

    modes: tuple[Mode, ...]
    kernels: npt.NDArray[np.float64]


def _sides(decomposition: SchmidtDecomposition, rank: int) -> tuple[_Side, _Side]:
    """The side without OUT, then the side with it."""
    left, right = decomposition.factors(rank)
    cut = decomposition.cut
    written, other = (
        _Side(
            modes,
            kernels.reshape(
                rank, *(decomposition.shape[m.axis] if m in modes else 1 for m in Mode)
            ),
        )
        for modes, kernels in ((cut.modes, left.T), (cut.complement.modes, right))
    )
    return (other, written) if Mode.OUT in cut.modes else (written, other)


def _convolutions(layer: nn.Conv2d, others: _Side, output: _Side) -> FactorizedConv2d:
    first = _convolution(layer, others, others.kernels[:, 0], groups=1, bias=None)
    # (OUT, IN, r, KH, KW): of the channels of one group, r counts fastest
    filters = np.moveaxis(output.kernels, 0, 2)
    filters = filters.reshape(len(filters), -1, *filters.shape[3:])
    second = _convolution(layer, output, filters, groups=layer.groups, bias=layer.bias)
    return FactorizedConv2d(first, second)


def _convolution(
    layer: nn.Conv2d,
    side: _Side,
    weight: npt.NDArray[np.float64],
    *,
    groups: int,
    bias: Tensor | None,
) -> nn.Conv2d:
    """A convolution that moves as ``layer`` does, along those image axes that the side holds."""

    def along(values: tuple[int, ...], otherwise: int) -> tuple[int, int]:
        vertical, horizontal = values
        return (
            vertical if Mode.KH in side.modes else otherwise,
            horizontal if Mode.KW in side.modes else otherwise,
        )

    padding = layer.padding
    convolution = nn.Conv2d(
        groups * weight.shape[1],
        weight.shape[0],
        weight.shape[2:],
        stride=along(layer.stride, 1),
        padding=padding if isinstance(padding, str) else along(padding, 0),
        dilation=along(layer.dilation, 1),
        groups=groups,
        bias=bias is not None,
        padding_mode=layer.padding_mode,
        device="meta",
        dtype=layer.weight.dtype,
    ).to_empty(device=layer.weight.device)
    _fill(convolution, weight, bias)
    return convolution


def _linears(layer: nn.Linear, others: _Side, output: _Side) -> nn.Sequential:
    inwards, outwards = others.kernels[:, 0, :, 0, 0], output.kernels[:, :, 0, 0, 0].T
    rank, dtype = len(inwards), layer.weight.dtype
    bias = layer.bias is not None
    first = nn.Linear(layer.in_features, rank, bias=False, device="meta", dtype=dtype)
    second = nn.Linear(rank, layer.out_features, bias=bias, device="meta", dtype=dtype)
    factors = nn.Sequential(first, second).to_empty(device=layer.weight.device)
    _fill(first, inwards, None)
    _fill(second, outwards, layer.bias)
    return factors


@torch.no_grad()
def _fill(
    module: nn.Conv2d | nn.Linear, weight: npt.NDArray[np.float64], bias: Tensor | None
) -> None:
    module.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
    if module.bias is not None and bias is not None:
        module.bias.copy_(bias)
