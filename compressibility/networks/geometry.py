"""How a convolution moves: what it does beside multiplying its kernel."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from torch import nn

from compressibility.tensors.modes import Mode

Pair: TypeAlias = tuple[int, int]
PaddingMode: TypeAlias = Literal["zeros", "reflect", "replicate", "circular"]


@dataclass(frozen=True)
class Geometry:
    """What a ``Conv2d`` does beside its kernel, as its forward pass reads it.

    A convolution whose padding is zeros pads by ``.padding``, which may have been assigned anew;
    one of another padding mode pads by what was computed when it was made.

    Attributes:
        stride: Of height and width.
        dilation: Of height and width.
        vertical: Rows added above and below.
        horizontal: Columns added on the left and on the right.
        padding_mode: As in ``Conv2d``.
        groups: As in ``Conv2d``.
    """

    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    vertical: Pair = (0, 0)
    horizontal: Pair = (0, 0)
    padding_mode: PaddingMode = "zeros"
    groups: int = 1

    @classmethod
    def of(cls, layer: nn.Conv2d) -> "Geometry":
        """That of a plain ``Conv2d``.

        >>> layer = nn.Conv2d(3, 4, 3)
        >>> layer.padding = (2, 1)
        >>> Geometry.of(layer).vertical, Geometry.of(layer).horizontal
        ((2, 2), (1, 1))
        """
        dilation = _pair(layer.dilation)
        vertical, horizontal = _padding(layer, dilation)
        return cls(
            stride=_pair(layer.stride),
            dilation=dilation,
            vertical=vertical,
            horizontal=horizontal,
            padding_mode=layer.padding_mode,
            groups=layer.groups,
        )

    def along(self, modes: Collection[Mode]) -> "Geometry":
        """The stride, padding and dilation of some image axes, without those of the others."""
        high, wide = (self if mode in modes else Geometry() for mode in (Mode.KH, Mode.KW))
        return replace(
            self,
            stride=(high.stride[0], wide.stride[1]),
            dilation=(high.dilation[0], wide.dilation[1]),
            vertical=high.vertical,
            horizontal=wide.horizontal,
        )

    @property
    def symmetric(self) -> bool:
        """Whether as much is added on one side as on the other."""
        return self.vertical[0] == self.vertical[1] and self.horizontal[0] == self.horizontal[1]


def _padding(layer: nn.Conv2d, dilation: Pair) -> tuple[Pair, Pair]:
    if layer.padding_mode != "zeros":
        left, right, top, bottom = layer._reversed_padding_repeated_twice
        return (top, bottom), (left, right)
    if layer.padding == "same":
        totals = [d * (k - 1) for d, k in zip(dilation, layer.weight.shape[2:], strict=True)]
        vertical, horizontal = ((total // 2, total - total // 2) for total in totals)
        return vertical, horizontal
    height, width = (0, 0) if layer.padding == "valid" else _pair(layer.padding)
    return (height, height), (width, width)


def _pair(value: str | int | tuple[int, ...]) -> Pair:
    """As ``conv2d`` reads a number, or one or two in a row."""
    assert not isinstance(value, str)
    height, *rest = (value,) if isinstance(value, int) else value
    return int(height), int(rest[0] if rest else height)
