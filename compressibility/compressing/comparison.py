"""A dense network and the compressed one side by side."""

from dataclasses import dataclass

from safetensors.torch import save as serialize
from torch import Tensor, nn

from compressibility.compressing.cost import Cost, cost_of
from compressibility.compressing.judgement import Judgement
from compressibility.networks.latency import Latency, latencies
from compressibility.networks.peak_memory import peak_activations


@dataclass(frozen=True)
class Side:
    """One of the two networks.

    Attributes:
        judgement: Its answers to the test images, against those of the dense network.
        cost: See `compressibility.compressing.cost.cost_of`.
        bytes: Of its file of weights, float32.
        latency: Of a batch.
        peak_activations: Bytes, of the same batch.
    """

    judgement: Judgement
    cost: Cost
    bytes: int
    latency: Latency
    peak_activations: int


@dataclass(frozen=True)
class Comparison:
    """The two networks, measured on one machine."""

    dense: Side
    compressed: Side

    @property
    def verdict(self) -> str:
        """Whether the compressed network may be called faster here, and why not."""
        dense, small = self.dense.latency, self.compressed.latency
        if small.is_below(dense):
            return f"faster here: {dense.median / small.median:.2f} times"
        if dense.is_below(small):
            return (
                f"slower here, {small.median / dense.median:.2f} times the dense network's time: "
                "two small layers in a row read and write more than the one they replace"
            )
        return (
            "not faster here: the intervals of both medians overlap; fewer multiply-accumulates "
            "save no time where reading, writing and starting layers take most of it"
        )


def compared(
    networks: tuple[nn.Module, nn.Module],
    judgements: tuple[Judgement, Judgement],
    batch: Tensor,
) -> Comparison:
    """A dense network and the compressed one.

    Args:
        networks: Dense, compressed; in evaluation mode, on the device of the batch.
        judgements: Of the two.
        batch: What is timed.
    """
    times = latencies(networks, batch)
    dense, compressed = (
        Side(
            judgement=judgement,
            cost=cost_of(network, batch[:1]),
            bytes=len(serialize({n: t.contiguous() for n, t in network.state_dict().items()})),
            latency=latency,
            peak_activations=peak_activations(network, batch),
        )
        for network, judgement, latency in zip(networks, judgements, times, strict=True)
    )
    return Comparison(dense, compressed)
