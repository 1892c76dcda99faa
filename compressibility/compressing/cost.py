"""What a layer or a network costs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from torch import Tensor, nn

from compressibility.networks.kernels import find_kernels

Measure: TypeAlias = Literal["macs", "parameters"]
MEASURES: Final[tuple[Measure, ...]] = get_args(Measure)
"""What can be limited."""


@dataclass(frozen=True)
class Cost:
    """Parameters, and multiply-accumulates for one image; or shares of them."""

    parameters: float
    macs: float

    def of(self, measure: Measure) -> float:
        """One of the two."""
        return self.macs if measure == "macs" else self.parameters

    def __add__(self, other: "Cost") -> "Cost":
        """Both together."""
        return Cost(self.parameters + other.parameters, self.macs + other.macs)

    def __sub__(self, other: "Cost") -> "Cost":
        """Without the other."""
        return Cost(self.parameters - other.parameters, self.macs - other.macs)

    def __truediv__(self, whole: "Cost") -> "Cost":
        """As shares of a whole."""
        return Cost(self.parameters / whole.parameters, self.macs / whole.macs)

    def is_below(self, other: "Cost") -> bool:
        """Whether it is less in either."""
        return self.parameters < other.parameters and self.macs < other.macs


def total(costs: Iterable[Cost]) -> Cost:
    """All together."""
    return sum(costs, Cost(0, 0))


def cost_of(network: nn.Module, example: Tensor) -> Cost:
    """Of a network: all that training changes; the MACs of convolutions and linear layers.

    Args:
        network: In evaluation mode.
        example: A batch that it takes, (N, ...).
    """
    kernels = find_kernels(network, example, kinds=("Conv2d", "Linear"))
    return Cost(
        sum(parameter.numel() for parameter in network.parameters()),
        sum(kernel.macs for kernel in kernels),
    )
