"""A truncated kernel as a chain of small kernels in a row, whatever decomposition it comes from.

A convolution with the first small kernel, then one with the second, and so on, is one convolution
with the kernel that the chain stands for. Between the links run r channels, r the rank:

    cut OUT (SVD)     r filters of all modes but OUT; 1×1 from r to OUT
    cut OUT,KH        r filters along KW from IN; filters along KH from r to OUT
    cut OUT,IN        r filters KH×KW, applied to each channel in turn; 1×1 from IN·r to OUT
    Tucker-2          1×1 from IN; KH×KW from r_in to r_out; 1×1 to OUT
    CP                1×1 from IN to R; R filters along KH, one a channel; R along KW; 1×1 to OUT
    tensor train      r₃ filters along KW, each channel in turn; along KH from r₃ to r₂, likewise;
                      1×1 from IN·r₂ to r₁; 1×1 to OUT
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np

from compressibility.tensors.arrays import Floats, Shape
from compressibility.tensors.modes import Mode

IMAGE_MODES: Final = (Mode.KH, Mode.KW)
"""The modes that move along an axis of the image."""


@dataclass(frozen=True, eq=False)
class Link:
    """One small kernel of a chain.

    Attributes:
        kernel: float64, shape (OUT, IN / groups, KH, KW); sizes are those of this link.
        modes: The image axes it moves along, of `IMAGE_MODES`: stride, padding and dilation of the
            whole chain along an axis are those of the link that moves along it.
        groups: Groups of its channels, each with filters of its own, as in a convolution.

    Raises:
        ValueError: The kernel does not have four modes, its outputs do not divide into the groups,
            a mode moves along no image axis, or a window is larger than 1 along an axis that the
            link does not move along.
    """

    kernel: Floats = field(repr=False)
    modes: tuple[Mode, ...] = ()
    groups: int = 1

    def __post_init__(self) -> None:
        """Take the kernel as float64."""
        kernel = np.asarray(self.kernel, dtype=np.float64)
        if kernel.ndim != 4 or kernel.size == 0:
            raise ValueError(
                f"a link's kernel has shape {kernel.shape}: it needs four sizes (out, in / groups, "
                "kh, kw), each at least 1"
            )
        if self.groups < 1 or len(kernel) % self.groups:
            raise ValueError(
                f"a link's {len(kernel)} outputs do not divide into {self.groups} groups"
            )
        for mode in self.modes:
            if mode not in IMAGE_MODES:
                raise ValueError(f"a link moves along KH, KW, both or neither: not {mode.value}")
        for mode in IMAGE_MODES:
            if mode not in self.modes and kernel.shape[mode.axis] > 1:
                raise ValueError(
                    f"a link's kernel has {kernel.shape[mode.axis]} entries along {mode.value}, "
                    "which it does not move along: name the mode, or give one entry"
                )
        object.__setattr__(self, "kernel", kernel)

    @property
    def inputs(self) -> int:
        """Channels that it takes."""
        return self.groups * int(self.kernel.shape[1])

    @property
    def outputs(self) -> int:
        """Channels that it gives."""
        return len(self.kernel)


@dataclass(frozen=True, eq=False)
class Chain:
    """Small kernels in a row, the one next to the input first.

    A link that takes fewer channels than arrive at it is applied to each block of them in turn,
    with the same entries, which are stored once; the outputs of the first block come first.

    In a layer with groups the kernel is the stored one, (OUT, IN / groups, KH, KW): every link but
    the last is applied to the channels of each group in turn, and the last keeps the groups apart.

    Attributes:
        links: At least one.
        shape: Shape (OUT, IN, KH, KW) of the kernel that the chain stands for.

    Raises:
        ValueError: There is no link, the links do not fit to each other or to the shape, or not
            exactly one link moves along an image axis.

    Examples:
        >>> inwards = Link(np.ones((2, 64, 3, 3)), IMAGE_MODES)
        >>> chain = Chain((inwards, Link(np.ones((128, 2, 1, 1)))), (128, 64, 3, 3))
        >>> chain.parameters, chain.macs((32, 32)), chain.kernel().shape
        (1408, 1441792, (128, 64, 3, 3))
    """

    links: tuple[Link, ...]
    shape: Shape

    def __post_init__(self) -> None:
        """Follow the channels from the first link to the last."""
        if not self.links:
            raise ValueError("a chain without links stands for no kernel: give at least one")
        channels = self.shape[1]
        for number, link in enumerate(self.links, start=1):
            if channels % link.inputs:
                raise ValueError(
                    f"link {number} takes {link.inputs} channels, and {channels} arrive: they must "
                    "be a multiple of those"
                )
            channels = channels // link.inputs * link.outputs
        if channels != self.shape[0]:
            raise ValueError(f"the chain gives {channels} channels, not the {self.shape[0]} of OUT")
        for mode in IMAGE_MODES:
            moving = [link for link in self.links if mode in link.modes]
            if len(moving) != 1:
                raise ValueError(
                    f"{len(moving)} links of the chain move along {mode.value}: it must be one"
                )
            if moving[0].kernel.shape[mode.axis] != self.shape[mode.axis]:
                raise ValueError(
                    f"the link along {mode.value} has {moving[0].kernel.shape[mode.axis]} entries "
                    f"there, the kernel {self.shape[mode.axis]}"
                )

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels in front of each link and behind the last, in a layer without groups."""
        channels = [self.shape[1]]
        for link in self.links:
            channels.append(channels[-1] // link.inputs * link.outputs)
        return tuple(channels)

    @property
    def repeats(self) -> tuple[int, ...]:
        """Blocks of channels that each link is applied to in turn, in a layer without groups."""
        return tuple(
            arriving // link.inputs
            for arriving, link in zip(self.channels, self.links, strict=False)
        )

    @property
    def parameters(self) -> int:
        """Entries stored: those of the links, without bias."""
        return sum(link.kernel.size for link in self.links)

    def macs(
        self,
        positions: tuple[int, int],
        *,
        inputs: tuple[int, int] | None = None,
        groups: int = 1,
    ) -> int:
        """Return the multiply-accumulates of the links for one image.

        Padding counts as image, as in the count for a whole kernel.

        Args:
            positions: Height and width of the outputs; (1, 1) for a vector.
            inputs: Height and width of the images, if not those of the outputs: an axis keeps them
                up to the link that moves along it.
            groups: Groups of the layer.
        """
        sizes = dict(zip(IMAGE_MODES, positions if inputs is None else inputs, strict=True))
        after = dict(zip(IMAGE_MODES, positions, strict=True))
        total = 0
        for number, (link, repeats) in enumerate(zip(self.links, self.repeats, strict=True)):
            sizes |= {mode: after[mode] for mode in link.modes}
            times = repeats if number == len(self.links) - 1 else repeats * groups
            total += link.kernel.size * times * sizes[Mode.KH] * sizes[Mode.KW]
        return total

    def kernel(self) -> Floats:
        """Return the kernel that the chain stands for, float64, shape (OUT, IN, KH, KW)."""
        inputs = self.shape[1]
        whole = np.eye(inputs).reshape(inputs, inputs, 1, 1)
        for link, (arriving, leaving) in zip(self.links, pairwise(self.channels), strict=True):
            _, taken, height, width = link.kernel.shape
            filters = link.kernel.reshape(link.groups, -1, taken, height, width)
            matrices = filters.transpose(0, 1, 3, 4, 2).reshape(link.groups, -1, taken)
            before = whole.reshape(arriving // link.inputs, link.groups, taken, -1)
            product = (matrices @ before).reshape(leaving, height, width, *whole.shape[1:])
            # along each image axis either the link or what lies before it has one entry
            whole = product.transpose(0, 3, 1, 4, 2, 5).reshape(
                leaving, inputs, height * whole.shape[2], width * whole.shape[3]
            )
        return whole
