"""Copies of networks, against the networks themselves."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune, weight_norm

from compressibility.errors import UserError
from compressibility.networks.copies import converted, copied


class Remembering(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.kept = {"features": [torch.zeros(())]}

    def forward(self, images):
        values = self.conv(images)
        self.kept["features"][0] = values
        return values


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize(
    "make",
    [
        Remembering,
        lambda: prune.l1_unstructured(nn.Conv2d(3, 4, 3), "weight", 0.5),
        lambda: weight_norm(nn.Conv2d(3, 4, 3)),
    ],
    ids=["remembered features", "pruned", "old weight norm"],
)
def test_a_network_that_keeps_a_computed_tensor_is_copied(make):
    network, images = make(), torch.randn(2, 3, 5, 5)
    answers = network(images)  # computes the tensor, with its graph
    copy = copied(network)
    assert torch.equal(copy(images), answers)
    with torch.no_grad():
        next(copy.parameters()).zero_()
    assert torch.equal(network(images), answers)


def test_what_cannot_be_copied_is_refused():
    network = nn.Sequential(nn.Conv2d(3, 4, 3))
    network.source = (each for each in range(3))
    with pytest.raises(UserError, match=r"cannot be copied .*generator"):
        copied(network)


def test_conversion_touches_floating_point_alone():
    network = nn.Module()
    network.weight = nn.Parameter(torch.ones(2, 3, 4, 4, dtype=torch.float64))
    for name, dtype in (("spectrum", torch.complex64), ("index", torch.int64), ("on", torch.bool)):
        network.register_buffer(name, torch.ones(2, dtype=dtype))
    network.register_buffer("narrow", torch.ones(2, dtype=torch.float16))
    network.register_buffer("volume", torch.ones(1, 1, 2, 2, 2, dtype=torch.float64))
    converted(network, dtype=torch.float32, channels_last=True)
    dtypes = {name: tensor.dtype for name, tensor in network.state_dict().items()}
    assert dtypes == {
        "weight": torch.float32,
        "spectrum": torch.complex64,
        "index": torch.int64,
        "on": torch.bool,
        "narrow": torch.float32,
        "volume": torch.float32,
    }
    assert network.weight.is_contiguous(memory_format=torch.channels_last)


def test_shared_parameters_stay_shared():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[1].weight = network[0].weight
    converted(network, dtype=torch.float64)
    assert network[1].weight is network[0].weight
    assert network[0].weight.dtype == torch.float64
