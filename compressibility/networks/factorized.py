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

from compressibility.networks.refusals import refusal
from compressibility.tensors.chains import Chain, Link
from compressibility.tensors.modes import Mode


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
    ``layer``: those of each image axis go to the link that moves along it, the bias to the last.

    Args:
        layer: A Conv2d or Linear; it is not changed.
        chain: Stands for a kernel of the layer's shape, (OUT, IN / groups, KH, KW).

    Returns:
        One Conv2d, :class:`SharedConv2d` or Linear for each link, in the layer's dtype, device and
        training state, with ``chain.parameters`` entries and the bias.

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
    if not isinstance(layer, nn.Conv2d | nn.Linear) or refusal(layer):
        reason = refusal(layer) or f"{type(layer).__name__} is no Conv2d or Linear"
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
    if layer.groups > 1 and (link.groups > 1 or repeats > 1):
        raise ValueError(
            f"the layer cannot be factorised: it has {layer.groups} groups, which the last link "
            "keeps apart: that link can neither have groups nor be shared by blocks of channels"
        )
    if layer.bias is not None and repeats > 1:
        raise ValueError(
            f"the layer cannot be factorised: {repeats} blocks of channels share the last link, "
            "which then cannot hold a bias for each output"
        )
    layers = [
        _shared(_convolution(layer, link, groups=link.groups, bias=None), repeats * layer.groups)
        for link, repeats in inner
    ]
    groups = link.groups * layer.groups
    return [*layers, _shared(_convolution(layer, link, groups=groups, bias=layer.bias), repeats)]


def _shared(convolution: nn.Conv2d, blocks: int) -> nn.Module:
    return convolution if blocks == 1 else SharedConv2d(convolution, blocks)


def _convolution(layer: nn.Conv2d, link: Link, *, groups: int, bias: Tensor | None) -> nn.Conv2d:
    """A convolution that moves as ``layer`` does, along those image axes that the link does."""

    def along(values: tuple[int, ...], otherwise: int) -> tuple[int, int]:
        vertical, horizontal = values
        return (
            vertical if Mode.KH in link.modes else otherwise,
            horizontal if Mode.KW in link.modes else otherwise,
        )

    padding = layer.padding
    outputs, inputs, height, width = link.kernel.shape
    convolution = nn.Conv2d(
        groups * inputs,
        outputs,
        (height, width),
        stride=along(layer.stride, 1),
        padding=padding if isinstance(padding, str) else along(padding, 0),
        dilation=along(layer.dilation, 1),
        groups=groups,
        bias=bias is not None,
        padding_mode=layer.padding_mode,
        device="meta",
        dtype=layer.weight.dtype,
    ).to_empty(device=layer.weight.device)
    _fill(convolution, link.kernel, bias)
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
        _fill(linear, link.kernel[:, :, 0, 0], bias)
        layers.append(linear)
    return layers


@torch.no_grad()
def _fill(
    module: nn.Conv2d | nn.Linear, weight: npt.NDArray[np.float64], bias: Tensor | None
) -> None:
    module.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
    if module.bias is not None and bias is not None:
        module.bias.copy_(bias)
