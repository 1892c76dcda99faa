"""Replacing kernels, and putting them back."""

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from torch import nn

from compressibility.networks.kernels import (
    find_kernels,
    kernel_array,
    substituted,
    weights_hash,
)
from compressibility.tensors.modes import CUTS
from compressibility.tensors.schmidt import decompose
from property_tests.convolutions import DrawnConvolution, convolutions
from property_tests.strategies import seeds

DTYPES = (torch.float32, torch.float64)


pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


@st.composite
def networks(draw: Callable[..., Any]) -> tuple[nn.Sequential, DrawnConvolution]:
    """A drawn convolution, batch norm, and a classifier; weights of either precision."""
    drawn = draw(convolutions())
    channels = drawn.layer.out_channels
    pool, head = nn.AdaptiveAvgPool2d(1), nn.Linear(channels, 3)
    model = nn.Sequential(
        drawn.layer, nn.BatchNorm2d(channels), nn.ReLU(), pool, nn.Flatten(), head
    )
    generator = torch.Generator().manual_seed(draw(seeds()))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model.to(draw(st.sampled_from(DTYPES))).eval(), drawn


def random_kernels(model: nn.Module, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {layer: rng.standard_normal(kernel_array(model, layer).shape) for layer in ("0", "5")}


@given(networks())
def test_full_rank_substitution_leaves_the_logits_unchanged(
    network: tuple[nn.Sequential, DrawnConvolution],
):
    model, drawn = network
    dtype = model[5].weight.dtype
    images = drawn.images.to(dtype)
    with torch.no_grad():
        before = model(images)
        # each stage's largest gain times its input bounds how far rounding can reach
        reach = images.abs().max() * model[0].weight.abs().sum((1, 2, 3)).max() + 1
        reach = reach * model[1].weight.abs().max() + 10
        reach = reach * model[5].weight.abs().sum(1).max() + 10
        for cut in CUTS:
            full = {}
            for layer in ("0", "5"):
                decomposition = decompose(kernel_array(model, layer), cut)
                full[layer] = decomposition.truncated(len(decomposition.schmidt_values))
            with substituted(model, full):
                difference = (model(images) - before).abs().max()
            assert difference <= 50 * torch.finfo(dtype).eps * reach


@given(networks(), seeds())
def test_substituting_and_leaving_restores_every_bit(
    network: tuple[nn.Sequential, DrawnConvolution], seed: int
):
    model, _ = network
    before = weights_hash(model)
    kernels = random_kernels(model, np.random.default_rng(seed))
    with substituted(model, kernels):
        assert weights_hash(model) != before
        for layer, kernel in kernels.items():
            found = kernel_array(model, layer)
            assert np.array_equal(found, kernel.astype(found.dtype))
    assert weights_hash(model) == before


@given(networks(), seeds())
def test_an_exception_inside_restores_every_bit_too(
    network: tuple[nn.Sequential, DrawnConvolution], seed: int
):
    model, _ = network
    before = weights_hash(model)
    kernels = random_kernels(model, np.random.default_rng(seed))

    def spoil() -> None:
        with torch.no_grad(), substituted(model, kernels):
            model[0].weight.mul_(float("nan"))
            raise InterruptedError

    with pytest.raises(InterruptedError):
        spoil()
    assert weights_hash(model) == before


@given(networks(), seeds())
def test_nested_substitutions_unwind_in_order(
    network: tuple[nn.Sequential, DrawnConvolution], seed: int
):
    model, _ = network
    rng = np.random.default_rng(seed)
    before = weights_hash(model)
    with substituted(model, random_kernels(model, rng)):
        outer = weights_hash(model)
        with substituted(model, random_kernels(model, rng)):
            assert weights_hash(model) not in (before, outer)
        assert weights_hash(model) == outer
    assert weights_hash(model) == before


@given(networks())
def test_multiply_accumulates_are_those_of_the_kernel_at_every_output_position(
    network: tuple[nn.Sequential, DrawnConvolution],
):
    model, drawn = network
    images = drawn.images.to(model[5].weight.dtype)
    kernels = find_kernels(model, images, kinds=("Conv2d", "Linear"))
    with torch.no_grad():
        positions = model[0](images)[0, 0].numel()
    assert [k.macs for k in kernels] == [kernels[0].parameters * positions, kernels[1].parameters]
