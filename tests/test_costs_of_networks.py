"""Oracles: layers counted by hand, and a module that waits as long as it is told."""

import time

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from compressibility.networks.compression import compress
from compressibility.networks.image_sizes import ImageSizes, image_sizes
from compressibility.networks.kernels import kernel_array
from compressibility.networks.latency import WARM_UP, Latency, latencies
from compressibility.networks.peak_memory import peak_activations
from compressibility.tensors.schmidt import decompose


class Waits(nn.Module):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def forward(self, images: Tensor) -> Tensor:
        time.sleep(self.seconds)
        return images


def test_a_network_that_waits_longer_has_the_longer_latency() -> None:
    batch = torch.zeros(3, 1)
    short, long = latencies([Waits(0.001), Waits(0.003)], batch, passes=20)
    assert short.is_below(long)
    assert not long.is_below(short)
    for latency, seconds in ((short, 0.001), (long, 0.003)):
        assert seconds <= latency.low <= latency.median <= latency.high
        assert latency.median < 3 * seconds
        assert (latency.batch, latency.passes) == (3, 20)
        assert latency.threads == torch.get_num_threads()


class Begins(nn.Module):
    """Waits in its first passes, as what is compiled or loaded then does."""

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def forward(self, images: Tensor) -> Tensor:
        self.passes += 1
        time.sleep(0.02 if self.passes <= WARM_UP else 0)
        return images


def test_what_a_network_does_in_its_first_passes_does_not_count() -> None:
    network = Begins()
    [latency] = latencies([network], torch.zeros(1, 1), passes=8)
    assert network.passes == WARM_UP + 8
    assert latency.high < 0.01


def test_intervals_that_overlap_are_no_order() -> None:
    one, other = (Latency(m, m - 0.2, m + 0.2, 50, 1, 1) for m in (1.0, 1.3))
    assert not one.is_below(other)
    assert not other.is_below(one)


def test_the_interval_of_the_median_is_that_of_the_sign_test() -> None:
    import numpy as np
    from scipy.stats import binom

    from compressibility.networks.latency import _latency

    seconds = np.arange(1.0, 51.0)
    found = _latency(np.random.default_rng(0).permutation(seconds), 1)
    lowest = int(binom.ppf(0.025, 50, 0.5))  # the order statistics that leave 2.5 % outside
    assert found.median == 25.5
    assert binom.cdf(found.low - 1, 50, 0.5) <= 0.025
    assert abs(found.low - lowest) <= 1
    assert abs(found.high - (51 - lowest)) <= 1


@pytest.mark.parametrize(
    ("network", "peak"),
    [
        # float32 images of 8 by 8: 256 bytes a channel
        (nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU()), 256 * (2 + 2)),
        (nn.Sequential(nn.Conv2d(1, 2, 1), *(nn.ReLU() for _ in range(5))), 256 * (2 + 2)),
        (nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(inplace=True)), 256 * 2),
        (nn.Sequential(nn.Conv2d(1, 8, 1), nn.Conv2d(8, 1, 1), nn.ReLU()), 256 * (8 + 1)),
        (nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(128, 1000)), 512 + 4000),
    ],
)
def test_activations_count_while_they_live(network, peak) -> None:
    assert peak_activations(network, torch.zeros(1, 1, 8, 8)) == peak


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, stride=2, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(self.conv(images))


def test_every_call_of_a_layer_has_its_sizes() -> None:
    assert image_sizes(Twice(), torch.zeros(1, 2, 8, 12), ["conv"]) == {
        "conv": (ImageSizes((8, 12), (4, 6)), ImageSizes((4, 6), (2, 3)))
    }


class Tokens(nn.Module):
    """A linear layer on 6 tokens of each image, and one on their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.each, self.head = nn.Linear(40, 30), nn.Linear(30, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.each(tokens).mean(dim=1))


def test_the_costs_of_realised_linear_layers_are_those_that_pytorch_counts() -> None:
    network, example = Tokens().eval(), torch.zeros(1, 6, 40)
    sizes = image_sizes(network, torch.zeros(3, 6, 40), ["each", "head"])
    chains = {
        layer: decompose(kernel_array(network, layer), "OUT").chain(rank)
        for layer, rank in (("each", 5), ("head", 3))
    }
    small = compress(network, chains)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        small(example)
    macs = {
        layer: sum(chain.macs(each.outputs, inputs=each.inputs) for each in sizes[layer])
        for layer, chain in chains.items()
    }
    assert macs == {"each": 6 * 5 * (40 + 30), "head": 3 * (30 + 20)}
    assert 2 * sum(macs.values()) == counted.get_total_flops()
