"""Answers in bfloat16, with what is in doubt repeated, against the plain loop in float32."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from compressibility.evaluation import Evaluation, Evaluator, Truncations, plain_evaluation
from compressibility.networks.kernels import kernel_array
from compressibility.tensors.modes import Cut
from compressibility.tensors.schmidt import decompose

LAYER, N_IMAGES, N_SAMPLED = "2", 400, 64


def _network() -> nn.Module:
    """Two convolutions, and classes whose logits lie close together."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 24, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 24, 10),
    )
    with torch.no_grad():
        network[-1].weight.add_(0.05)
    return network.eval()


def _sampled_images_alone_are_small() -> Tensor:
    """A thousand times the error where it is not measured."""
    scale = torch.full((N_IMAGES,), 100.0)
    scale[torch.linspace(0, N_IMAGES - 1, N_SAMPLED).round().long()] = 0.1
    return scale


def _both_ways(scale: Tensor) -> tuple[Sequence[Evaluation], Sequence[Evaluation]]:
    network = _network()
    images = scale[:, None, None, None] * torch.randn(N_IMAGES, 3, 8, 8)
    labels = network(images).argmax(dim=1)  # so that every change of an answer counts
    decomposition = decompose(kernel_array(network, LAYER).astype(np.float64), Cut.parse("OUT"))
    n = len(decomposition.schmidt_values)
    ranks = list(range(1, n + 1))
    evaluator = Evaluator(network, images, labels, precision="bfloat16")
    assert evaluator.precision_behind(LAYER) == "bfloat16"
    found = evaluator.variants(LAYER, [Truncations(decomposition, ranks)])[0]
    plain = [
        plain_evaluation(network, images, labels, {LAYER: decomposition.truncated(rank)})
        for rank in ranks
    ]
    return found, plain


@pytest.mark.parametrize(
    "scale",
    [torch.ones(N_IMAGES), _sampled_images_alone_are_small()],
    ids=["errors as sampled", "errors beyond those sampled"],
)
def test_counts_are_those_of_float32_and_no_loss_is_given(scale: Tensor) -> None:
    found, plain = _both_ways(scale)
    assert [(e.n_correct, e.n_lost, e.n_gained) for e in found] == [
        (e.n_correct, e.n_lost, e.n_gained) for e in plain
    ]
    assert len({e.n_lost for e in plain}) > 3
    assert np.isnan([e.loss for e in found]).all()
