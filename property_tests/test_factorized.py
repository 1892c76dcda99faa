"""A truncated convolution and the smaller layers that realise it are one map.

For chains that come from no cut, that map is the convolution with the kernel that they stand for.
"""

import copy

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from compressibility.networks.factorized import factorize
from compressibility.networks.kernels import kernel_array, substituted
from compressibility.tensors.chains import Chain
from compressibility.tensors.modes import Cut
from compressibility.tensors.schmidt import decompose, stored_parameters
from property_tests.convolutions import DrawnConvolution, convolutions
from property_tests.strategies import EPS, cuts, seeds
from property_tests.test_chains import cp_chain, separable_chain, train_chain, tucker_chain

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


def scale(layer: nn.Module, images: torch.Tensor) -> float:
    """An upper bound of every output, up to the bias: |K| summed, times the largest |pixel|."""
    return float(layer.weight.detach().abs().sum() * images.abs().max())


@given(convolutions(), cuts(), st.data())
def test_a_truncated_convolution_equals_its_factorised_form_on_images(
    drawn: DrawnConvolution, cut: Cut, data: st.DataObject
):
    model = nn.Sequential(drawn.layer)
    decomposition = decompose(kernel_array(model, "0"), cut)
    rank = data.draw(st.integers(1, len(decomposition.schmidt_values)), label="rank")
    factors = factorize(drawn.layer, decomposition.chain(rank))
    with torch.no_grad(), substituted(model, {"0": decomposition.truncated(rank)}):
        truth = model(drawn.images)
        found = factors(drawn.images)
    assert found.shape == truth.shape
    assert (found - truth).abs().max() <= 50 * EPS * scale(drawn.layer, drawn.images)


@given(convolutions(), cuts())
def test_at_full_rank_the_factorised_form_is_the_convolution_itself(
    drawn: DrawnConvolution, cut: Cut
):
    decomposition = decompose(drawn.layer.weight.detach().numpy(), cut)
    factors = factorize(drawn.layer, decomposition.chain(len(decomposition.schmidt_values)))
    with torch.no_grad():
        difference = factors(drawn.images) - drawn.layer(drawn.images)
    assert difference.abs().max() <= 50 * EPS * scale(drawn.layer, drawn.images)


@given(convolutions(), cuts(), st.data())
def test_the_factorised_form_stores_the_counted_parameters_and_the_bias(
    drawn: DrawnConvolution, cut: Cut, data: st.DataObject
):
    decomposition = decompose(drawn.layer.weight.detach().numpy(), cut)
    rank = data.draw(st.integers(1, len(decomposition.schmidt_values)), label="rank")
    factors = factorize(drawn.layer, decomposition.chain(rank))
    bias = 0 if drawn.layer.bias is None else drawn.layer.bias.numel()
    stored = sum(parameter.numel() for parameter in factors.parameters())
    assert stored == stored_parameters(drawn.shape, cut, rank) + bias


def chains(shape: tuple[int, ...]) -> st.SearchStrategy[Chain]:
    """Chains of random entries in four formats."""
    out, in_, height, width = shape

    def drawn(format_: str, ranks: tuple[int, int, int], seed: int) -> Chain:
        draw, (a, b, c) = np.random.default_rng(seed).standard_normal, ranks
        match format_:
            case "CP":
                return cp_chain(*(draw((size, a)) for size in shape))
            case "Tucker-2":
                return tucker_chain(draw((a, b, height, width)), draw((out, a)), draw((in_, b)))
            case "separable":
                return separable_chain(draw((out, in_, a)), draw((height, a)), draw((width, a)))
            case _:
                cores = ((out, a), (a, in_, b), (b, height, c), (c, width))
                return train_chain([draw(core) for core in cores])

    formats = st.sampled_from(["CP", "Tucker-2", "separable", "tensor train"])
    return st.builds(drawn, formats, st.tuples(*[st.integers(1, 3)] * 3), seeds())


@given(convolutions(), st.data())
def test_any_chain_is_the_convolution_with_the_kernel_that_it_stands_for(
    drawn: DrawnConvolution, data: st.DataObject
):
    chain = data.draw(chains(drawn.shape))
    model = nn.Sequential(drawn.layer)
    factors = factorize(drawn.layer, chain)
    with torch.no_grad(), substituted(model, {"0": chain.kernel()}):
        difference = factors(drawn.images) - model(drawn.images)
    bound = np.prod([np.abs(link.kernel).sum() for link in chain.links])
    assert difference.abs().max() <= 50 * EPS * float(bound * drawn.images.abs().max())
    bias = 0 if drawn.layer.bias is None else drawn.layer.bias.numel()
    stored = sum(parameter.numel() for parameter in factors.parameters())
    assert stored == chain.parameters + bias


@given(convolutions(), st.data())
def test_multiplications_are_those_that_torch_counts(drawn: DrawnConvolution, data: st.DataObject):
    if data.draw(st.booleans(), label="a cut"):
        decomposition = decompose(drawn.layer.weight.detach().numpy(), data.draw(cuts()))
        chain = decomposition.chain(1)
    else:
        chain = data.draw(chains(drawn.shape))
    factors = factorize(drawn.layer, chain)
    image = drawn.images[:1]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        positions = factors(image).shape[-2:]
    counted = chain.macs(positions, inputs=image.shape[-2:], groups=drawn.layer.groups)
    assert 2 * counted == counter.get_total_flops()


@given(convolutions(), cuts())
def test_factorising_changes_neither_the_layer_nor_the_global_generator(
    drawn: DrawnConvolution, cut: Cut
):
    before = copy.deepcopy(drawn.layer.state_dict())
    state = torch.get_rng_state()
    factorize(drawn.layer, decompose(drawn.layer.weight.detach().numpy(), cut).chain(1))
    after = drawn.layer.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert torch.equal(torch.get_rng_state(), state)


@given(st.integers(1, 6), st.integers(1, 6), st.booleans(), seeds(), st.data())
def test_a_truncated_linear_layer_equals_its_two_factors(
    inputs: int, outputs: int, bias: bool, seed: int, data: st.DataObject
):
    rng = np.random.default_rng(seed)
    layer = nn.Linear(inputs, outputs, bias, device="meta", dtype=torch.float64).to_empty(
        device="cpu"
    )
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.from_numpy(rng.standard_normal(tuple(parameter.shape))))
    vectors = torch.from_numpy(rng.standard_normal((3, inputs)))
    cut = Cut.parse(data.draw(st.sampled_from(["OUT", "IN", "OUT,KH", "OUT,KW"]), label="cut"))
    model = nn.Sequential(layer)
    decomposition = decompose(kernel_array(model, "0"), cut)
    rank = data.draw(st.integers(1, min(inputs, outputs)), label="rank")
    factors = factorize(layer, decomposition.chain(rank))
    with torch.no_grad(), substituted(model, {"0": decomposition.truncated(rank)}):
        difference = factors(vectors) - model(vectors)
    assert difference.abs().max() <= 50 * EPS * scale(layer, vectors)
    stored = sum(parameter.numel() for parameter in factors.parameters())
    assert stored == rank * (inputs + outputs) + (outputs if bias else 0)
