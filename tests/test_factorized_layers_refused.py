"""Layers and cuts that cannot be realised are refused with the reason; the rest is laid out."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from compressibility.errors import UserError
from compressibility.networks.compression import compress, truncations
from compressibility.networks.factorized import SharedConv2d, factorize
from compressibility.tensors.chains import Chain, Link
from compressibility.tensors.modes import Cut, Mode
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
            "the chain is of a (4, 4, 3, 3) kernel: the layer's is (4, 2, 3, 3)",
        ),
        (
            nn.Linear(4, 3),
            (3, 4, 1, 1),
            "KH",
            "link 1 of the chain is shared by 4 blocks of channels, and a linear layer by none",
        ),
        (nn.Linear(4, 3), (3, 4, 1, 1), "OUT,IN", "link 1 of the chain is shared by 4 blocks"),
    ],
)
def test_what_cannot_be_realised_is_refused_with_the_reason(
    layer: nn.Module, shape: tuple[int, ...], cut: str, message: str
):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        factorize(layer, decomposition(shape, cut).chain(1))
    assert message in str(error.value)


IMAGE = (Mode.KH, Mode.KW)
SCALES = Link(np.ones((4, 1, 1, 1)), groups=4)
WHOLE = Link(np.ones((4, 4, 1, 1)), IMAGE)


@pytest.mark.parametrize(
    ("layer", "chain", "message"),
    [
        (
            nn.Linear(4, 4),
            Chain((SCALES, WHOLE), (4, 4, 1, 1)),
            "link 1 of the chain has 4 groups, and a linear layer none",
        ),
        (
            nn.Conv2d(8, 4, 1, groups=2),
            Chain((WHOLE, SCALES), (4, 4, 1, 1)),
            "it has 2 groups, which the last link keeps apart",
        ),
        (
            nn.Conv2d(4, 4, 1),
            Chain((WHOLE, Link(np.ones((1, 1, 1, 1)))), (4, 4, 1, 1)),
            "4 blocks of channels share the last link, which then cannot hold a bias",
        ),
    ],
)
def test_chains_that_cannot_be_realised_are_refused_with_the_reason(
    layer: nn.Module, chain: Chain, message: str
):
    with pytest.raises(ValueError, match=message):
        factorize(layer, chain)


def test_blocks_may_share_the_last_link_where_there_is_no_bias():
    layer = nn.Conv2d(4, 4, 1, bias=False)
    chain = Chain((WHOLE, Link(np.full((1, 1, 1, 1), 3.0))), (4, 4, 1, 1))
    image = torch.arange(4.0).reshape(1, 4, 1, 1)
    assert factorize(layer, chain)(image).flatten().tolist() == [18.0] * 4


def test_a_rank_out_of_range_is_refused():
    with pytest.raises(ValueError, match="rank 5 exceeds the 4 Schmidt values of cut OUT"):
        factorize(nn.Conv2d(4, 4, 3), decomposition((4, 4, 3, 3)).chain(5))


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
    found = factorize(layer, decomposition((8, 3, 3, 5), cut).chain(2))
    inwards, outwards = found
    assert isinstance(inwards, SharedConv2d)
    assert tuple(inwards.convolution.weight.shape) == first
    assert tuple(outwards.weight.shape) == second
    assert inwards.convolution.bias is None
    assert torch.equal(outwards.bias, layer.bias)


def test_dtype_and_training_state_are_the_layers_own():
    layer = nn.Conv2d(4, 4, 3).to(torch.float16).eval()
    found = factorize(layer, decomposition((4, 4, 3, 3)).chain(2))
    assert {parameter.dtype for parameter in found.parameters()} == {torch.float16}
    assert not found.training
    assert not found[1].training
    assert all(parameter.requires_grad for parameter in found.parameters())
    assert factorize(layer.train(), decomposition((4, 4, 3, 3)).chain(2)).training


def test_single_images_and_empty_batches_pass_as_through_the_layer():
    layer = nn.Conv2d(4, 6, 3, groups=2)
    found = factorize(layer, decomposition((6, 2, 3, 3), "KH").chain(3))
    for shape in [(4, 5, 5), (0, 4, 5, 5)]:
        assert found(torch.zeros(shape)).shape == layer(torch.zeros(shape)).shape
    with pytest.raises(RuntimeError):
        found(torch.zeros(1, 8, 5, 5))


def test_gradients_reach_both_factors():
    found = factorize(nn.Conv2d(4, 6, 3), decomposition((6, 4, 3, 3), "IN").chain(2))
    found(torch.ones(1, 4, 5, 5)).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in found.parameters())


@pytest.mark.parametrize("frozen", ["weight", "bias"])
def test_what_is_frozen_stays_frozen(frozen: str):
    layer = nn.Conv2d(4, 6, 3)
    getattr(layer, frozen).requires_grad_(False)
    small = factorize(layer, decomposition((6, 4, 3, 3)).chain(2))
    weights = {each.weight.requires_grad for each in small}
    assert weights == {frozen != "weight"}
    assert small[-1].bias.requires_grad == (frozen != "bias")


def test_a_layer_with_a_hook_is_refused():
    layer = nn.Conv2d(4, 6, 3)
    layer.register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="it carries a forward hook, which small kernels"):
        factorize(layer, decomposition((6, 4, 3, 3)).chain(2))


def test_a_layer_in_a_module_with_a_function_set_on_it_is_refused():
    """The copy's function would call the original layer."""
    network = nn.Sequential(nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU()), nn.Conv2d(8, 8, 3))
    chains = truncations(network, torch.zeros(1, 8, 8, 8), norm_loss=0.5)
    original = network[0].forward
    network[0].forward = lambda images: original(images) + 1
    with pytest.raises(UserError, match=r"'0\.0' cannot be replaced: module '0', in which it lies"):
        compress(network, chains)
    compress(network, {"1": chains["1"]})


def test_a_compiled_network_is_compressed_as_what_is_in_it():
    network, images = nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU()).eval(), torch.randn(2, 8, 8, 8)
    compiled = torch.compile(network, backend="eager")
    compiled(images)
    chains = truncations(compiled, images, norm_loss=0.5)
    ours, theirs = (compress(each, chains)(images) for each in (compiled, network))
    assert torch.equal(ours, theirs)
