"""Filters of one channel, which PyTorch's channels-last convolutions misread on CPUs.

With PyTorch 2.15, ``conv2d`` on tensors laid out by ``to(memory_format=torch.channels_last)``, and
the fused operators however they are laid out, give numbers from beyond their input where a filter
of one channel strides over an output of width 1. The oracle is double precision.
"""

import pytest
import torch
from torch import nn

from compressibility.evaluation import Evaluator, Truncations
from compressibility.networks.kernels import kernel_array
from compressibility.tensors.schmidt import decompose

CONVOLUTIONS = {
    "padding 0": ((1, 4), (1, 3), (0, 0), (5, 4)),
    "window 5": ((4, 5), (1, 2), (1, 0), (8, 5)),
    "window 2": ((3, 2), (1, 3), (1, 0), (5, 2)),
    "padded": ((5, 5), (1, 3), (2, 2), (3, 3)),
}


@pytest.mark.parametrize("inner", [False, True], ids=["first", "behind another layer"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_counts_and_losses_are_those_of_double_precision(name: str, inner: bool) -> None:
    window, stride, padding, size = CONVOLUTIONS[name]
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 1, 1) if inner else nn.Identity(),
        nn.Conv2d(1, 16, window, stride, padding),
        nn.ReLU(),
        nn.Conv2d(16, 8, (1, 1)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    ).eval()
    images = torch.randn(64, 3 if inner else 1, *size)
    labels = torch.arange(64) % 4
    evaluator = Evaluator(network, images, labels)
    for layer, cut in (("1", "OUT"), ("1", "OUT,KW"), ("3", "OUT")):
        kernel = kernel_array(network, layer)
        decomposition = decompose(kernel, cut)
        ranks = range(1, len(decomposition.schmidt_values) + 1)
        [found] = evaluator.variants(layer, [Truncations(decomposition, ranks)])
        for rank, evaluation in zip(ranks, found, strict=True):
            exact = nn.Sequential(*network).double()
            weight = exact.get_parameter(f"{layer}.weight")
            own = weight.detach().clone()
            with torch.no_grad():
                weight.copy_(torch.from_numpy(decomposition.truncated(rank)))
                logits = exact(images.double())
                weight.copy_(own)
            network.float()
            loss = float(nn.functional.cross_entropy(logits, labels))
            assert evaluation.loss == pytest.approx(loss, rel=1e-4), (layer, cut, rank)
    assert not evaluator.notes
    if not inner:  # else even the whole network is right in another layout alone
        assert evaluator._form.layout is torch.channels_last
