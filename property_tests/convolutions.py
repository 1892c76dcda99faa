"""Convolutions of every kind that torch has, on images that they accept."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from property_tests.strategies import seeds

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


@dataclass(frozen=True, eq=False)
class DrawnConvolution:
    """A convolution in float64, and images of a size that its window fits."""

    layer: nn.Conv2d
    images: Tensor

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the kernel as stored, (OUT, IN / groups, KH, KW)."""
        return tuple(self.layer.weight.shape)

    def __repr__(self) -> str:
        return f"<{self.layer} on images {tuple(self.images.shape)}>"


@st.composite
def convolutions(draw: Callable[..., Any]) -> DrawnConvolution:
    """Windows up to 4×4, each axis with its own stride, padding and dilation; all groupings."""
    pair = lambda low, high: st.tuples(st.integers(low, high), st.integers(low, high))  # noqa: E731
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    depthwise = draw(st.booleans())
    in_channels = groups * (1 if depthwise else draw(st.integers(1, 3)))
    out_channels = groups * draw(st.integers(1, 3))
    window, dilation = draw(pair(1, 4)), draw(pair(1, 2))
    padding = draw(st.sampled_from(["same", "valid"]) | st.integers(0, 2) | pair(0, 3))
    stride = (1, 1) if padding == "same" else draw(pair(1, 3))
    layer = nn.Conv2d(
        in_channels,
        out_channels,
        window,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
        padding_mode=draw(st.sampled_from(PADDING_MODES)),
        device="meta",
        dtype=torch.float64,
    ).to_empty(device="cpu")
    generator = torch.Generator().manual_seed(draw(seeds()) % 2**63)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator).double())
    # large enough for the window, and for reflecting the padding
    extra = draw(pair(0, 3))
    height, width = (
        max(d * (k - 1) + 1, 4) + e for k, d, e in zip(window, dilation, extra, strict=True)
    )
    count = draw(st.integers(1, 2))
    images = torch.randn(count, in_channels, height, width, generator=generator)
    return DrawnConvolution(layer, images.double())
