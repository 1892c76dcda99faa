"""Layers and cuts that cannot be realised are refused with the reason; the rest is laid out."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from compressibility.networks.factorized import FactorizedConv2d, factorize
from compressibility.tensors.modes import Cut
from compressibility.tensors.schmidt import SchmidtDecomposition, decompose

OUT = Cut.parse("OUT")


def decomposition(shape: tuple[int, ...], cut: str = "OUT") -> SchmidtDecomposition:
    return decompose(np.random.default_rng(0).standard_normal(shape), Cut.parse(cut))


@pytest.mark.parametrize(
    ("layer", "shape", "cut", "message"),
    [
        (
            nn.ConvTranspose2d(4, 4, 3),
            (4, 4, 3, 3),
            "OUT",
            "factorised: ConvTranspose2d (holding w",
        ),
        (
            nn.Conv1d(4, 4, 3),
            (4, 4, 3, 1),
            "OUT",
            "factorised: Conv1d (holding weight) is no Conv2d",
        ),
        (nn.BatchNorm2d(4), (4, 1, 1, 1), "OUT", "factorised: BatchNorm2d is no Conv2d or Linear"),
        (
            parametrizations.weight_norm(nn.Conv2d(4, 4, 3)),
            (4, 4, 3, 3),
            "OUT",
            "factorised: its weight is computed anew in every pass, from _WeightNorm",
        ),
        (
            nn.Conv2d(4, 4, 3, groups=2),
            (4, 4, 3, 3),
            "OUT",
            "the decomposition is of a (4, 4, 3, 3) kernel: the layer's is (4, 2, 3, 3)",
        ),
        (
            nn.Linear(4, 3),
            (3, 4, 1, 1),
            "KH",
            "cut KH of a linear layer leaves one side without a mode",
        ),
        (nn.Linear(4, 3), (3, 4, 1, 1), "OUT,IN", "cut OUT,IN of a linear layer leaves one side"),
    ],
)
def test_what_cannot_be_realised_is_refused_with_the_reason(
    layer: nn.Module, shape: tuple[int, ...], cut: str, message: str
):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        factorize(layer, decomposition(shape, cut), 1)
    assert message in str(error.value)


def test_a_rank_out_of_range_is_refused():
    with pytest.raises(ValueError, match="rank 5 exceeds the 4 Schmidt values of cut OUT"):
        factorize(nn.Conv2d(4, 4, 3), decomposition((4, 4, 3, 3)), 5)


@pytest.mark.parametrize(
    ("cut", "first", "second"),
    [
        ("OUT", (2, 3, 3, 5), (8, 2, 1, 1)),
        ("IN", (2, 3, 1, 1), (8, 2, 3, 5)),
        ("KH", (2, 1, 3, 1), (8, 6, 1, 5)),
        ("KW", (2, 1, 1, 5), (8, 6, 3, 1)),
        ("OUT,IN", (2, 1, 3, 5), (8, 6, 1, 1)),
        ("OUT,KH", (2, 3, 1, 5), (8, 2, 3, 1)),
        ("OUT,KW", (2, 3, 3, 1), (8, 2, 1, 5)),
    ],
)
def test_each_cut_is_two_convolutions_of_the_documented_windows(
    cut: str, first: tuple[int, ...], second: tuple[int, ...]
):
    layer = nn.Conv2d(6, 8, (3, 5), groups=2, stride=(2, 3), dilation=(2, 1), padding=(1, 2))
    found = factorize(layer, decomposition((8, 3, 3, 5), cut), 2)
    assert isinstance(found, FactorizedConv2d)
    assert tuple(found.first.weight.shape) == first
    assert tuple(found.second.weight.shape) == second
    assert found.first.bias is None
    assert torch.equal(found.second.bias, layer.bias)


def test_dtype_and_training_state_are_the_layers_own():
    layer = nn.Conv2d(4, 4, 3).to(torch.float16).eval()
    found = factorize(layer, decomposition((4, 4, 3, 3)), 2)
    assert {parameter.dtype for parameter in found.parameters()} == {torch.float16}
    assert not found.training
    assert not found.second.training
    assert all(parameter.requires_grad for parameter in found.parameters())
    assert factorize(layer.train(), decomposition((4, 4, 3, 3)), 2).training


def test_single_images_and_empty_batches_pass_as_through_the_layer():
    layer = nn.Conv2d(4, 6, 3, groups=2)
    found = factorize(layer, decomposition((6, 2, 3, 3), "KH"), 3)
    for shape in [(4, 5, 5), (0, 4, 5, 5)]:
        assert found(torch.zeros(shape)).shape == layer(torch.zeros(shape)).shape
    with pytest.raises(RuntimeError):
        found(torch.zeros(1, 8, 5, 5))


def test_gradients_reach_both_factors():
    found = factorize(nn.Conv2d(4, 6, 3), decomposition((6, 4, 3, 3), "IN"), 2)
    found(torch.ones(1, 4, 5, 5)).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in found.parameters())
