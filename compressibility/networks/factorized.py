"""The layers that realise a truncation with fewer parameters: a chain of small kernels in a row.

Each link becomes a layer. Where a link takes fewer channels than arrive, blocks of channels share
its filters, and so do the groups of a grouped convolution, whose kernel is taken as stored: the
filters are kept once, and the blocks are folded into the batch.
"""

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from compressibility.networks.geometry import Geometry
from compressibility.networks.plainness import peculiarity
from compressibility.networks.refusals import refusal
from compressibility.tensors.chains import Chain, Link


class SharedConv2d(nn.Module):
    """A convolution that blocks of channels share: it is applied to each of them in turn.

    Attributes:
        convolution: Takes the channels of one block.
        blocks: Their number; the outputs of the first block come first.
    """

    def __init__(self, convolution: nn.Conv2d, blocks: int) -> None:
        """Share the convolution among ``blocks`` times the channels that it takes."""
        super().__init__()
        self.convolution = convolution
        self.blocks = blocks

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) or (C, H, W), C the channels of all blocks."""
        folded = math.prod(images.shape[:-3]) * self.blocks
        alone = images.reshape(folded, self.convolution.in_channels, *images.shape[-2:])
        features: Tensor = self.convolution(alone)
        channels = self.blocks * self.convolution.out_channels
        return features.reshape(*images.shape[:-3], channels, *features.shape[-2:])


def factorize(layer: nn.Module, chain: Chain) -> nn.Sequential:
    """The layers that realise a chain of small kernels in the place of the kernel of ``layer``.

    Stride, padding (also "same" and the padding modes), dilation, groups and bias are those of
    ``layer``, as its forward pass reads them: those of each image axis go to the link that moves
    along it, the bias to the last.

    Args:
        layer: A Conv2d or Linear; it is not changed.
        chain: Stands for a kernel of the layer's shape, (OUT, IN / groups, KH, KW).

    Returns:
        One Conv2d, :class:`SharedConv2d` or Linear for each link, in the layer's dtype, device and
        training state, frozen where the layer is, with ``chain.parameters`` entries and the bias.

    Raises:
        ValueError: The layer or the chain cannot be realised (the message says why), or the chain
            is of another shape.

    Examples:
        >>> from compressibility.tensors.schmidt import decompose
        >>> layer = nn.Conv2d(64, 128, 3, padding=1)
        >>> small = factorize(layer, decompose(layer.weight.detach().numpy(), "OUT").chain(8))
        >>> [tuple(each.weight.shape) for each in small]
        [(8, 64, 3, 3), (128, 8, 1, 1)]
        >>> small(torch.zeros(1, 64, 32, 32)).shape
        torch.Size([1, 128, 32, 32])
    """
    if not isinstance(layer, nn.Conv2d | nn.Linear) or refusal(layer) or peculiarity(layer):
        reason = refusal(layer) or f"{type(layer).__name__} is no Conv2d or Linear"
        if isinstance(layer, nn.Conv2d | nn.Linear) and not refusal(layer):
            reason = f"it {peculiarity(layer)}, which small kernels in its place would not do"
        raise ValueError(f"the layer cannot be factorised: {reason}")
    shape = (*layer.weight.shape, 1, 1)[:4]
    if chain.shape != shape:
        raise ValueError(f"the chain is of a {chain.shape} kernel: the layer's is {shape}")
    realised = (
        _convolutions(layer, chain) if isinstance(layer, nn.Conv2d) else _linears(layer, chain)
    )
    return nn.Sequential(*realised).train(layer.training)


def _convolutions(layer: nn.Conv2d, chain: Chain) -> list[nn.Module]:
    *inner, last = zip(chain.links, chain.repeats, strict=True)
    link, repeats = last
    geometry = Geometry.of(layer)
    if geometry.groups > 1 and (link.groups > 1 or repeats > 1):
        raise ValueError(
            f"the layer cannot be factorised: it has {geometry.groups} groups, which the last link "
            "keeps apart: that link can neither have groups nor be shared by blocks of channels"
        )
    if layer.bias is not None and repeats > 1:
        raise ValueError(
            f"the layer cannot be factorised: {repeats} blocks of channels share the last link, "
            "which then cannot hold a bias for each output"
        )
    layers = [
        _shared(_convolution(layer, link, groups=link.groups, bias=None), repeats * geometry.groups)
        for link, repeats in inner
    ]
    groups = link.groups * geometry.groups
    return [*layers, _shared(_convolution(layer, link, groups=groups, bias=layer.bias), repeats)]


def _shared(convolution: nn.Conv2d, blocks: int) -> nn.Module:
    return convolution if blocks == 1 else SharedConv2d(convolution, blocks)


def _convolution(layer: nn.Conv2d, link: Link, *, groups: int, bias: Tensor | None) -> nn.Conv2d:
    """A convolution that moves as ``layer`` does, along those image axes that the link does."""
    geometry = Geometry.of(layer).along(link.modes)
    outputs, inputs, height, width = link.kernel.shape
    (top, bottom), (left, right) = geometry.vertical, geometry.horizontal
    same = geometry.padding_mode == "zeros" and not geometry.symmetric
    convolution = nn.Conv2d(
        groups * inputs,
        outputs,
        (height, width),
        stride=geometry.stride,
        padding="same" if same else (top, left),
        dilation=geometry.dilation,
        groups=groups,
        bias=bias is not None,
        padding_mode=geometry.padding_mode,
        device="meta",
        dtype=layer.weight.dtype,
    ).to_empty(device=layer.weight.device)
    convolution._reversed_padding_repeated_twice = [left, right, top, bottom]
    _fill(convolution, link.kernel, layer, bias)
    return convolution


def _linears(layer: nn.Linear, chain: Chain) -> list[nn.Module]:
    for number, (link, blocks) in enumerate(zip(chain.links, chain.repeats, strict=True), start=1):
        if blocks > 1 or link.groups > 1:
            raise ValueError(
                f"the layer cannot be factorised: link {number} of the chain "
                + (
                    f"is shared by {blocks} blocks of channels, and a linear layer by none"
                    if blocks > 1
                    else f"has {link.groups} groups, and a linear layer none"
                )
            )
    layers: list[nn.Module] = []
    for link in chain.links:
        bias = layer.bias if link is chain.links[-1] else None
        linear = nn.Linear(
            link.inputs,
            link.outputs,
            bias=bias is not None,
            device="meta",
            dtype=layer.weight.dtype,
        ).to_empty(device=layer.weight.device)
        _fill(linear, link.kernel[:, :, 0, 0], layer, bias)
        layers.append(linear)
    return layers


@torch.no_grad()
def _fill(
    module: nn.Conv2d | nn.Linear,
    weight: npt.NDArray[np.float64],
    layer: nn.Conv2d | nn.Linear,
    bias: Tensor | None,
) -> None:
    """Fill in a weight and a bias, trainable where those of ``layer`` are."""
    module.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
    module.weight.requires_grad_(layer.weight.requires_grad)
    if module.bias is not None and bias is not None:
        module.bias.copy_(bias)
        module.bias.requires_grad_(bias.requires_grad)
